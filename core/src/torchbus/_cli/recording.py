"""Hear a run: which hooks came, in their order, and which of them came while another one ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torchbus_hookspecs import hookimpl
from torchbus_hookspecs.events import Event
from torchbus_hookspecs.specs import HOOKS

from .._bus import Bus

__all__ = ["Call", "recorded"]


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
    calls: list[Call] = []
    running = [calls]
    subscription = bus.subscribe(Event, lambda event: running[-1].append(Call(event.hook_name)))
    bus.register(_Ends(running), _NAME)
    try:
        yield calls
    finally:
        bus.unregister(_NAME)
        subscription.cancel()


_NAME = "recording"


class _Ends:
    """Knows when a hook ends, which its event cannot tell: wraps every hook but those that ask each plugin by itself."""

    def __init__(self, running: list[list[Call]]) -> None:
        self.running = running


def _wrapper(hook: str) -> Callable[[_Ends], Iterator[Any]]:
    def wrap(self: _Ends) -> Any:
        self.running.append(self.running[-1][-1].inside)
        try:
            return (yield)
        finally:
            self.running.pop()

    wrap.__name__ = hook
    return hookimpl(wrapper=True, tryfirst=True)(wrap)


for _hook in set(HOOKS) - {"state_dict", "load_state_dict"}:
    setattr(_Ends, _hook, _wrapper(_hook))
