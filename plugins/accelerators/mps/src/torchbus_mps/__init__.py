"""GPUs of Apple silicon as an accelerator of torchbus."""

from ._accelerator import MPSAccelerator

__all__ = ["MPSAccelerator"]
