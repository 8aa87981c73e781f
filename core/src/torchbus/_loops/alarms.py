"""Calls at a later batch, for those who look on only now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._bus import Bus

__all__ = ["Alarms"]


class Alarms:
    """Functions to call between two training batches, once so many are done.

    In between, the loop compares one number a batch: a plugin that looks at a run every thousand batches needs no hook
    that is called in each of them.

    Args:
        bus: the bus of the loop, which is told of new alarms.

    Attributes:
        due: the count of batches at which the next call is due; infinite without one.
    """

    __slots__ = ("_bus", "_calls", "_is_ringing", "due")

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._is_ringing = False
        self.due: int | float = float("inf")
        self._calls: list[tuple[int, Callable[[], None]]] = []

    def set(self, batches: int, function: Callable[[], None]) -> None:
        """Call ``function`` once, when that many batches (``trainer.fit_loop.progress.total_batches``) are done."""
        self._calls.append((batches, function))
        self.due = min(self.due, batches)
        if not self._is_ringing:
            self._bus.changes += 1  # the loop is on its way, perhaps beyond it

    def ring(self, batches: int) -> None:
        """Call those that are due; they may set the next alarm."""
        due = [function for when, function in self._calls if when <= batches]
        self._calls = [one for one in self._calls if one[0] > batches]
        self.due = min((when for when, _ in self._calls), default=float("inf"))
        self._is_ringing = True
        try:
            for function in due:
                function()
        finally:
            self._is_ringing = False

    def clear(self) -> None:
        """Forget them all: they were those of another run."""
        self._calls, self.due = [], float("inf")
