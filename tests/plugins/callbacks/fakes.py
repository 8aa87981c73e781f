"""The batches of a fake trainer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace


class FakeBatches:
    """What a trainer knows of training batches, played by hand."""

    def __init__(self) -> None:
        self.fit_loop = SimpleNamespace(progress=SimpleNamespace(total_batches=0, batches_done=0))
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    def before_batch(self, function: Callable[[], None], skip: int = 0) -> None:
        self._waiting.append((self.fit_loop.progress.total_batches + skip, function))

    def end_batch(self) -> None:
        """A batch ends, and the next is about to begin."""
        progress = self.fit_loop.progress
        progress.total_batches += 1
        progress.batches_done += 1
        due = [one for one in self._waiting if one[0] <= progress.total_batches]
        self._waiting = [one for one in self._waiting if one not in due]
        for _, function in due:
            function()
