"""Fetch the batches of one loader, knowing which is the last, and find the way back to any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._rng import capture_rng, restore_rng
from .length import sized_length
from .skipping import skip_one

__all__ = ["Fetcher"]

_NOTHING = object()


class Fetcher:
    """One pass over a loader after the other.

    A loader with a length is read when a batch is needed; one without is read one batch ahead, since only so can the last
    batch be known.

    Args:
        loader: any iterable.
        limit: how many batches to take at most; may be infinite.

    Attributes:
        fetched: batches given out in this pass.
        done: whether the batch given out last is the last of this pass.
    """

    def __init__(self, loader: Any, limit: int | float = float("inf")) -> None:
        self.loader = loader
        self.length = min(sized_length(loader), limit)
        self.limit = limit
        self.fetched = 0
        self.done = False
        self._reads_ahead = sized_length(loader) == float("inf")
        self._ahead: Any = _NOTHING
        self._again: Any = _NOTHING
        self._iterator: Iterator[Any] | None = None
        self._rng_at_start: dict[str, Any] | None = None

    def start(self) -> None:
        """Begin a pass."""
        self._rng_at_start = capture_rng()
        self._iterator = iter(self.loader)
        self.fetched = 0
        self._again = _NOTHING
        self.done = self.length == 0
        if self._reads_ahead:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.done or self._iterator is None:
            raise StopIteration
        if not self._reads_ahead:
            if self._again is _NOTHING:
                batch = next(self._iterator)
            else:
                batch, self._again = self._again, _NOTHING
            self.fetched += 1
            self.done = self.fetched >= self.length
            return batch
        batch = self._ahead
        self.fetched += 1
        if self.fetched >= self.limit:
            self._ahead, self.done = _NOTHING, True
        else:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING
        return batch

    # ---- position ----------------------------------------------------------------------------------------------------

    def position(self) -> dict[str, Any]:
        """Where this pass is: what ``resume`` needs to go on from here."""
        position = {"fetched": self.fetched, "rng_at_start": self._rng_at_start}
        restarts = getattr(self.loader, "restarts", None)
        return position if restarts is None else {**position, "restarts": restarts}

    def resume(self, position: dict[str, Any], fetched: int) -> None:
        """Begin a pass as an earlier one began, ``fetched`` batches further on.

        A stock ``DataLoader`` that loads in this process skips without loading; others load and drop what they skip.
        A batch that was read ahead of the interruption, or begun before it, is read again here: its random numbers were
        drawn before those of the steps to come.
        """
        if position.get("rng_at_start") is not None:
            restore_rng(position["rng_at_start"])
        self._rng_at_start = capture_rng()
        self.fetched = int(min(fetched, self.length))
        if "restarts" in position:
            self._iterator = self.loader.batches_from(self.fetched, position["restarts"])
        else:
            self._iterator = iter(self.loader)
            for _ in range(self.fetched):
                if not skip_one(self.loader, self._iterator):
                    break
        self.done = self.fetched >= self.length
        if not self._reads_ahead and not self.done and position.get("fetched", 0) > self.fetched:
            self._again = next(self._iterator)
        if self._reads_ahead and not self.done:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING
