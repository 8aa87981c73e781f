"""Hear a run: which hooks came, in their order, and which of them came while another one ran."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from torchbus_hookspecs import hookimpl
from torchbus_hookspecs.events import Event
from torchbus_hookspecs.specs import HOOKS

from .._bus import Bus

__all__ = ["Call", "quietly", "recorded"]


@dataclass(slots=True)
class Call:
    """A hook that came.

    Attributes:
        hook: its name.
        inside: what came before all of its implementations had returned.
    """

    hook: str
    inside: list[Call] = field(default_factory=list)


@contextmanager
def recorded(bus: Bus) -> Iterator[list[Call]]:
    """Inside, the list grows with every hook of the bus that comes; what was heard stays in it afterwards."""
    recording = _Recording()
    subscription = bus.subscribe(Event, recording.hear)
    bus.register(recording, _NAME)
    try:
        yield recording.whole.inside
    finally:
        bus.unregister(_NAME)
        subscription.cancel()


@contextmanager
def quietly() -> Iterator[None]:
    """Inside, a run says nothing: no results on stdout, no warnings, no records below a warning."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


_NAME = "recording"


class _Recording:
    """Hears the event of each hook, and wraps it, since an event cannot tell when its hook ends."""

    def __init__(self) -> None:
        self.whole = Call("")
        self.running = [self.whole]
        self.heard: Call | None = None

    def hear(self, event: Event) -> None:
        self.heard = Call(event.hook_name)
        self.running[-1].inside.append(self.heard)

    def entered(self, hook: str) -> Call:
        """The call that this is: the one just heard, or that which ``super()`` goes on with, or one without an event."""
        if self.heard is not None and self.heard.hook == hook:
            call, self.heard = self.heard, None
        elif self.running[-1].hook == hook:
            call = self.running[-1]
        else:
            call = Call(hook)
            self.running[-1].inside.append(call)
        return call


def _wrapper(hook: str) -> Callable[[_Recording], Any]:
    def wrap(self: _Recording) -> Any:
        self.running.append(self.entered(hook))
        try:
            return (yield)
        finally:
            self.running.pop()

    wrap.__name__ = hook
    return hookimpl(wrapper=True, tryfirst=True)(wrap)


for _hook in set(HOOKS) - {"state_dict", "load_state_dict"}:  # asked of each plugin by itself
    setattr(_Recording, _hook, _wrapper(_hook))
