"""Handlers of typed events, and their filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torchbus_hookspecs.events import Event

__all__ = ["Subscription"]

E = TypeVar("E", bound=Event)


@dataclass(slots=True, eq=False)
class Subscription(Generic[E]):
    """A handler of events. ``cancel()`` ends it.

    Attributes:
        every: hear only each n-th event.
        once: hear only the n-th event.
        before: hear only events before the n-th.
        after: hear only events after the n-th.
    """

    event: type[E]
    handler: Callable[[E], object]
    end: Callable[[Subscription[E]], None]
    every: int = 1
    once: int | None = None
    before: int | None = None
    after: int = 0
    count: int = 0

    def __call__(self, event: E) -> None:
        self.count += 1
        count = self.count
        if (
            count % self.every == 0
            and (self.once is None or count == self.once)
            and (self.before is None or count < self.before)
            and count > self.after
        ):
            self.handler(event)

    def cancel(self) -> None:
        """Stop hearing."""
        self.end(self)
