"""Step over batches that an interrupted run has seen already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

__all__ = ["skip_one"]

_NOTHING = object()


def skip_one(loader: Any, iterator: Iterator[Any]) -> bool:
    """Step over one batch; tell whether there was one.

    A stock ``DataLoader`` that loads in this process only moves its sampler; others load the batch, and drop it.
    """
    in_process = type(loader) is DataLoader and loader.num_workers == 0
    only_sampler = in_process and not isinstance(loader.dataset, IterableDataset)
    source = getattr(iterator, "_sampler_iter", iterator) if only_sampler else iterator
    return next(source, _NOTHING) is not _NOTHING
