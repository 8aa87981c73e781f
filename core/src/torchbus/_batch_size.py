"""How many samples a batch holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from ._errors import MisconfigurationException

__all__ = ["extract_batch_size"]


# to go through an iterator would be to use it up
_NO_COLLECTIONS = (str, bytes, Iterator)


def _sizes(batch: Any) -> Iterator[int]:
    if isinstance(batch, Tensor):
        yield batch.size(0) if batch.dim() else 1
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _sizes(value)
    elif isinstance(batch, Iterable) and not isinstance(batch, _NO_COLLECTIONS) and not hasattr(batch, "__array__"):
        for value in batch:
            yield from _sizes(value)
    elif is_dataclass(batch) and not isinstance(batch, type):
        for one in fields(batch):
            yield from _sizes(getattr(batch, one.name))


def extract_batch_size(batch: Any) -> int:
    """The size of the first dimension of a batch's tensors, wherever they are in it.

    Where tensors disagree, the first one found counts, with a warning.

    Raises:
        MisconfigurationException: there is no tensor in it.
    """
    found = _sizes(batch)
    first = next(found, None)
    if first is None:
        raise MisconfigurationException(
            f"The size of a batch of type {type(batch).__name__} cannot be found: it has no tensor."
            " To fix: pass it, as in self.log(..., batch_size=n)."
        )
    # two tensors tell enough; a batch of many tensors need not be walked through
    second = next(found, first)
    if second != first:
        warnings.warn(
            f"The tensors of a batch have first dimensions {first} and {second}; {first} is taken for the batch size."
            " To be sure, pass it: self.log(..., batch_size=n).",
            UserWarning,
            stacklevel=2,
        )
    return first
