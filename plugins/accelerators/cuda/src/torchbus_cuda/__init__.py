"""CUDA devices as accelerators of torchbus."""

from ._accelerator import CUDAAccelerator

__all__ = ["CUDAAccelerator"]
