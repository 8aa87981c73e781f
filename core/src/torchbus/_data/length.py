"""How many batches a loader has, and how many of them a run takes."""

from __future__ import annotations

import warnings
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from .._errors import MisconfigurationException

__all__ = ["limited_length", "sized_length"]


def sized_length(loader: Any) -> int | float:
    """The number of batches of a loader; infinity if it cannot be known.

    The length that a ``DataLoader`` guesses for an iterable dataset is not trusted with several workers, since each of
    them may yield the whole.
    """
    dataset = getattr(loader, "dataset", None)
    if isinstance(loader, DataLoader) and isinstance(dataset, IterableDataset) and not hasattr(dataset, "__len__"):
        return float("inf")
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return float("inf")


def limited_length(length: int | float, limit: int | float, name: str) -> int | float:
    """How many batches a limit leaves: a whole number counts batches, a fraction is of all of them.

    Raises:
        MisconfigurationException: a fraction of an unknown length, or one that leaves nothing of something.
    """
    if length == 0:
        warnings.warn(
            f"A {name.removeprefix('limit_').removesuffix('_batches')} loader has no batches (its total length is zero): its"
            " dataset is empty, or `drop_last` drops its only batch. Please make sure that this was your intention.",
            UserWarning,
            stacklevel=2,
        )
    if limit == 0 or length == 0:
        return 0
    if isinstance(limit, int):
        return min(length, limit)
    if length == float("inf"):
        if limit == 1.0:
            return length
        raise MisconfigurationException(
            f"Trainer({name}={limit}): a fraction of a loader without length cannot be taken."
            f" To fix: give a whole number of batches, or {name}=1.0 for all."
        )
    taken = int(length * limit)
    if taken == 0:
        raise MisconfigurationException(
            f"Trainer({name}={limit}): that is less than one of the loader's {length} batches."
            f" To fix: use at least {1 / length:.3g}, or a whole number of batches."
        )
    return taken
