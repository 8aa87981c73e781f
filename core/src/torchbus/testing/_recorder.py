"""Hear every event of a run, and say in a test in which order they came."""

from __future__ import annotations

from typing import TypeVar

from torchbus_hookspecs.events import Event

from .._bus import Bus
from .._trainer import Trainer

__all__ = ["EventRecorder"]

E = TypeVar("E", bound=Event)


class EventRecorder:
    """Keeps the events of one trainer or bus, from now on, in their order.

    Args:
        source: whose events.
        only: event classes; default: all.

    Attributes:
        events: what happened so far.
    """

    def __init__(self, source: Trainer | Bus, only: tuple[type[Event], ...] = (Event,)) -> None:
        self.events: list[Event] = []
        bus = source if isinstance(source, Bus) else source.bus
        self._subscriptions = [bus.subscribe(event, self.events.append) for event in only]

    @property
    def names(self) -> list[str]:
        """The names of the events' classes."""
        return [type(event).__name__ for event in self.events]

    def of(self, event: type[E]) -> list[E]:
        """The events of one class."""
        return [one for one in self.events if isinstance(one, event)]

    def stop(self) -> None:
        """Hear no more."""
        for one in self._subscriptions:
            one.cancel()

    def assert_order(self, *events: type[Event] | str) -> None:
        """Fail unless these happened in this order; others may have happened in between.

        Raises:
            AssertionError: they did not; the message says how far it went, and what came then.
        """
        wanted = [event if isinstance(event, str) else event.__name__ for event in events]
        position = 0
        for index, name in enumerate(wanted):
            rest = self.names[position:]
            if name not in rest:
                found = " -> ".join(wanted[:index]) or "nothing"
                raise AssertionError(
                    f"{name} did not come after {found}. "
                    + (f"It came before. After that came: {_few(rest)}." if name in self.names else "It never came.")
                )
            position += rest.index(name) + 1

    def assert_counts(self, **counts: int) -> None:
        """Fail unless each event, by the name of its class, happened so often: ``assert_counts(TrainBatchEnd=8)``.

        Raises:
            AssertionError: the message has all counts that differ.
        """
        found = {name: self.names.count(name) for name in counts}
        wrong = [f"{name}: {found[name]} instead of {count}" for name, count in counts.items() if found[name] != count]
        assert not wrong, "; ".join(wrong)


def _few(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "nothing"
