"""The CPU as an accelerator of torchbus."""

from ._accelerator import CPUAccelerator

__all__ = ["CPUAccelerator"]
