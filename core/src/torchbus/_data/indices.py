"""Tell which samples each batch holds: listen to the batch samplers of loaders while they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

__all__ = ["drawn_indices"]


class _Listening:
    """A batch sampler that notes what it draws."""

    def __init__(self, sampler: Any, drawn: deque[list[Any]]) -> None:
        self.wrapped = sampler
        self.drawn = drawn

    def __iter__(self) -> Iterator[Any]:
        for indices in self.wrapped:
            self.drawn.append(list(indices))
            yield indices

    def __len__(self) -> int:
        return len(self.wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


@contextmanager
def drawn_indices(loaders: Sequence[Any]) -> Iterator[list[deque[list[Any]]]]:
    """Inside, what loaders draw arrives in a queue for each, batch by batch, also where workers read ahead.

    The queue stays empty for a loader that does not choose samples by number.
    """
    queues: list[deque[list[Any]]] = [deque() for _ in loaders]
    replaced = []
    for loader, queue in zip(loaders, queues, strict=True):
        sampler = getattr(loader, "batch_sampler", None)
        chooses = isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)
        if chooses and sampler is not None:
            # past DataLoader.__setattr__, which refuses it: the sampler stays the same, and comes back in the end
            loader.__dict__["batch_sampler"] = _Listening(sampler, queue)
            replaced.append((loader, sampler))
    try:
        yield queues
    finally:
        for loader, sampler in replaced:
            loader.__dict__["batch_sampler"] = sampler
