"""Tell out-of-memory errors from others, and give memory back."""

from __future__ import annotations

import gc

import torch

__all__ = ["free_memory", "is_out_of_memory"]

_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUBLAS_STATUS_ALLOC",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on any kind of device."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(one.lower() in str(error).lower() for one in _PHRASES)


def free_memory() -> None:
    """Give back what nobody refers to any more, so that the next trial starts with all there is."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
