"""Fetch the batches of one loader, knowing which is the last, and find the way back to any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from .._rng import capture_rng, restore_rng
from .length import sized_length

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
        self._iterator: Iterator[Any] | None = None
        self._rng_at_start: dict[str, Any] | None = None

    def start(self) -> None:
        """Begin a pass."""
        self._rng_at_start = capture_rng()
        self._iterator = iter(self.loader)
        self.fetched = 0
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
            batch = next(self._iterator)
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
        return {"fetched": self.fetched, "rng_at_start": self._rng_at_start}

    def resume(self, position: dict[str, Any], fetched: int) -> None:
        """Begin a pass as an earlier one began, ``fetched`` batches further on.

        A stock ``DataLoader`` that loads in this process skips without loading; others load and drop what they skip.
        """
        if position.get("rng_at_start") is not None:
            restore_rng(position["rng_at_start"])
        self._rng_at_start = capture_rng()
        self._iterator = iter(self.loader)
        skip = min(fetched, self.length)
        self.fetched = int(skip)
        for _ in range(self.fetched):
            if not _skip_one(self.loader, self._iterator):
                break
        self.done = self.fetched >= self.length
        if self._reads_ahead and not self.done:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING


def _skip_one(loader: Any, iterator: Iterator[Any]) -> bool:
    """Step over one batch; tell whether there was one."""
    sampler_iter = getattr(iterator, "_sampler_iter", None)
    in_process = type(loader) is DataLoader and loader.num_workers == 0
    map_style = (
        in_process and getattr(loader, "_index_sampler", None) is not None and hasattr(loader.dataset, "__getitem__")
    )
    source = sampler_iter if map_style and sampler_iter is not None else iterator
    return next(source, _NOTHING) is not _NOTHING
