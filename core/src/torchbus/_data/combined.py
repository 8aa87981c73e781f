"""Several loaders as one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal, get_args

from torch.utils import _pytree as pytree

from .._rng import capture_rng, restore_rng
from .length import sized_length
from .skipping import skip_one

__all__ = ["CombinationMode", "CombinedLoader"]

Restarts = dict[int, tuple[int, dict[str, Any]]]
CombinationMode = Literal["min_size", "max_size_cycle", "max_size", "sequential"]


class CombinedLoader(Iterable[Any]):
    """Iterate over several loaders at once, or one after the other.

    Args:
        iterables: loaders in any nesting of lists, tuples and dictionaries; batches come in the same nesting.
        mode: ``"min_size"`` stops with the shortest, ``"max_size_cycle"`` starts shorter ones over until the longest is
            through, ``"max_size"`` gives ``None`` for those that are through, ``"sequential"`` takes one loader after the
            other.

    Iterating gives ``(batch, batch_idx, dataloader_idx)``; ``dataloader_idx`` is 0 but in ``"sequential"`` mode.

    Raises:
        ValueError: the mode is unknown.
    """

    def __init__(self, iterables: Any, mode: CombinationMode = "min_size") -> None:
        if mode not in get_args(CombinationMode):
            choices = ", ".join(get_args(CombinationMode))
            raise ValueError(f"CombinedLoader(mode={mode!r}): unknown; it must be one of {choices}.")
        self._iterables = iterables
        self._flattened, self._spec = pytree.tree_flatten(iterables, is_leaf=_is_loader)
        self._mode: CombinationMode = mode
        self._limits: list[int | float] | None = None
        self._iterator: Iterator[tuple[Any, int, int]] | None = None
        self._restarts: Restarts = {}

    @property
    def mode(self) -> CombinationMode:
        """How loaders are combined."""
        return self._mode

    @property
    def iterables(self) -> Any:
        """The loaders, in their nesting."""
        return self._iterables

    @property
    def flattened(self) -> list[Any]:
        """The loaders in a flat list. May be set, to replace each by another."""
        return self._flattened

    @flattened.setter
    def flattened(self, loaders: list[Any]) -> None:
        if len(loaders) != len(self._flattened):
            raise ValueError(f"CombinedLoader has {len(self._flattened)} loaders, and cannot take {len(loaders)}.")
        self._flattened = loaders
        self._iterables = pytree.tree_unflatten(loaders, self._spec)

    @property
    def limits(self) -> list[int | float] | None:
        """How many batches to take of each loader. Side by side, ``len()`` says for how many rows that is enough."""
        return self._limits

    @limits.setter
    def limits(self, limits: int | float | list[int | float] | None) -> None:
        if isinstance(limits, int | float):
            limits = [limits] * len(self._flattened)
        if limits is not None and len(limits) != len(self._flattened):
            raise ValueError(f"CombinedLoader has {len(self._flattened)} loaders, and was given {len(limits)} limits.")
        self._limits = limits

    @property
    def sampler(self) -> Any:
        """The loaders' samplers, in the loaders' nesting."""
        return self._each(lambda loader: getattr(loader, "sampler", None))

    @property
    def batch_sampler(self) -> Any:
        """The loaders' batch samplers, in the loaders' nesting."""
        return self._each(lambda loader: getattr(loader, "batch_sampler", None))

    def _each(self, read: Callable[[Any], Any]) -> Any:
        return pytree.tree_unflatten([read(loader) for loader in self._flattened], self._spec)

    def reset(self) -> None:
        """Forget the iterator, and with it the loaders' workers."""
        self._iterator = None

    def lengths(self) -> list[int | float]:
        """The length of each loader; infinity for one without."""
        return [sized_length(loader) for loader in self._flattened]

    def total_length(self) -> int | float:
        """How many times iteration yields; infinity if a loader without length decides."""
        lengths = self.lengths()
        limited = [
            min(one, limit) for one, limit in zip(lengths, self._limits or [float("inf")] * len(lengths), strict=True)
        ]
        if not lengths:
            return 0
        if self._mode == "sequential":
            return sum(limited)
        return min(limited) if self._mode == "min_size" else max(limited)

    def __len__(self) -> int:
        length = self.total_length()
        if length == float("inf"):  # of this type, for which Python itself looks where a length is only a hint
            raise TypeError("A loader in this CombinedLoader has no length, so neither has the whole.")
        return int(length)

    def __getstate__(self) -> dict[str, Any]:
        return {"iterables": self._iterables, "mode": self._mode, "limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # a copy begins anew: an iterator can be neither pickled nor shared
        self.__init__(state["iterables"], state["mode"])  # type: ignore[misc]  # of an object that has no state yet
        self._limits = state["limits"]

    def batches(self) -> Iterator[tuple[Any, int, int]]:
        """An iterator of its own, for one pass."""
        return self._sequence() if self._mode == "sequential" else self._side_by_side()

    def as_one(self) -> Any:
        """An iterable of batches alone, without their numbers: the loader itself where it is the only one."""
        is_single = len(self._flattened) == 1 and self._iterables is self._flattened[0]
        return self._flattened[0] if is_single else _Batches(self)

    def __iter__(self) -> Iterator[tuple[Any, int, int]]:
        self._iterator = self.batches()
        return self

    def __next__(self) -> tuple[Any, int, int]:
        if self._iterator is None:
            raise RuntimeError("Call iter() on this CombinedLoader first.")
        return next(self._iterator)

    def _sequence(self) -> Iterator[tuple[Any, int, int]]:
        # the first iterator now, the others when it is their turn: each draws random numbers when it is made
        limits = [None if limit == float("inf") else int(limit) for limit in self._limits or []]
        first = iter(self._flattened[0]) if self._flattened and (not limits or limits[0] != 0) else None

        def run() -> Iterator[tuple[Any, int, int]]:
            for index, loader in enumerate(self._flattened):
                limit = limits[index] if limits else None
                if limit == 0:
                    continue
                batches = first if index == 0 and first is not None else iter(loader)
                for batch_idx, batch in enumerate(islice(batches, limit)):
                    yield batch, batch_idx, index

        return run()

    def _side_by_side(self) -> Iterator[tuple[Any, int, int]]:
        self._restarts = {}
        return self._rows([iter(loader) for loader in self._flattened], 0)

    def _rows(self, iterators: list[Iterator[Any]], first: int) -> Iterator[tuple[Any, int, int]]:
        if self._mode == "max_size_cycle":
            batches = self._cycled(iterators, first)
        else:
            batches = (_shortest if self._mode == "min_size" else _longest)(iterators)
        limit = self.total_length() if self._limits else float("inf")
        limited = islice(batches, None if limit == float("inf") else max(0, int(limit) - first))
        return ((pytree.tree_unflatten(row, self._spec), index, 0) for index, row in enumerate(limited, first))

    def _cycled(self, iterators: list[Iterator[Any]], first: int) -> Iterator[list[Any]]:
        for index in itertools.count(first):
            row = []
            for number, loader in enumerate(self._flattened):
                batch = next(iterators[number], _END)
                if batch is _END:
                    self._restarts[number] = (index, capture_rng())
                    if len(self._restarts) == len(iterators):
                        return
                    iterators[number] = iter(loader)
                    batch = next(iterators[number], _END)
                    if batch is _END:  # an empty loader: nothing to start over
                        return
                row.append(batch)
            yield row

    # ---- going on inside a pass ------------------------------------------------------------------------------------------

    @property
    def restarts(self) -> Restarts:
        """Of each loader that was started over in this pass: before which row, and the random generators at that moment."""
        return dict(self._restarts)

    def batches_from(self, row: int, restarts: Restarts) -> Iterator[tuple[Any, int, int]]:
        """The rest of a pass over loaders side by side, of which ``row`` rows were taken.

        The random generators must be as they were at its beginning; ``restarts`` tells of those started over since.
        """
        iterators = [iter(loader) for loader in self._flattened]
        for skipped in range(row):
            for number, loader in enumerate(self._flattened):
                if skipped == 0 or number not in restarts:  # all take part in the first row: each draws its order there
                    skip_one(loader, iterators[number])
        for number, (begun, generators) in restarts.items():
            restore_rng(generators)
            iterators[number] = iter(self._flattened[number])
            for _ in range(begun, row):
                skip_one(self._flattened[number], iterators[number])
        self._restarts = dict(restarts)
        return self._rows(iterators, row)


class _Batches:
    """A combined loader as one that yields just its batches."""

    def __init__(self, combined: CombinedLoader) -> None:
        self.combined = combined

    def __len__(self) -> int:
        return len(self.combined)

    def __iter__(self) -> Iterator[Any]:
        return (batch for batch, _, _ in self.combined.batches())

    @property
    def restarts(self) -> Restarts:
        return self.combined.restarts

    def batches_from(self, row: int, restarts: Restarts) -> Iterator[Any]:
        return (batch for batch, _, _ in self.combined.batches_from(row, restarts))


def _is_loader(node: Any) -> bool:
    """Whether to stop here: at anything but a container of loaders; one of numbers or texts holds batches itself."""
    if not isinstance(node, list | tuple | dict):
        return True
    items = node.values() if isinstance(node, dict) else node
    return all(isinstance(item, int | float | str) for item in items)


def _shortest(iterators: list[Iterator[Any]]) -> Iterator[list[Any]]:
    while iterators:
        row = []
        for iterator in iterators:
            try:
                row.append(next(iterator))
            except StopIteration:
                return
        yield row


def _longest(iterators: list[Iterator[Any]]) -> Iterator[list[Any]]:
    finished = [False] * len(iterators)
    while True:
        row = []
        for index, iterator in enumerate(iterators):
            batch = None if finished[index] else next(iterator, _END)
            if batch is _END:
                finished[index], batch = True, None
            row.append(batch)
        if all(finished):
            return
        yield row


_END = object()
