"""Calls at a later batch, for those who look on only now and then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._bus import Bus

__all__ = ["Alarms"]


class Alarms:
    """Functions to call right before a training batch, once so many are done.

    In between, they cost nothing: a plugin that looks at a run every thousand batches needs no hook that is called in each
    of them. ``Trainer.before_batch`` is what plugins use.

    Args:
        bus: the bus of the loop, which is told of new alarms.

    Attributes:
        due: the count of batches at which the next call is due; infinite without one.
    """

    __slots__ = ("_bus", "_calls", "_ringing_at", "due")

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ringing_at: int | None = None
        self.due: int | float = float("inf")
        self._calls: list[tuple[int, Callable[[], None]]] = []

    def set(self, batches: int, function: Callable[[], None]) -> None:
        """Call ``function`` once, before the first batch after that many (``trainer.fit_loop.progress.total_batches``).

        One that is set while alarms ring, rings one batch later at the earliest. A failure is that of the plugin whose
        method the function is; once that is switched off, it is not called.
        """
        if self._ringing_at is None:
            self._bus.changes += 1  # the loop is on its way, perhaps beyond it
        else:
            batches = max(batches, self._ringing_at + 1)
        self._calls.append((batches, self._attributed(function)))
        self.due = min(self.due, batches)

    def ring(self, batches: int) -> None:
        """Call those that are due; they may set the next alarm."""
        due = [function for when, function in self._calls if when <= batches]
        self._calls = [one for one in self._calls if one[0] > batches]
        self.due = min((when for when, _ in self._calls), default=float("inf"))
        self._ringing_at = batches
        try:
            for function in due:
                function()
        finally:
            self._ringing_at = None

    def clear(self) -> None:
        """Forget them all: they were those of another run."""
        self._calls, self.due = [], float("inf")

    def _attributed(self, function: Callable[[], None]) -> Callable[[], None]:
        bus = self._bus
        method = function.func if isinstance(function, partial) else function
        plugin = bus.record_of(getattr(method, "__self__", None))
        if plugin is None:
            return function

        def call() -> None:
            if bus.record_of(plugin.object) is plugin:
                bus.call_as(plugin, method.__name__, function)

        return call
