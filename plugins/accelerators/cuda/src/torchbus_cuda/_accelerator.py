"""CUDA devices as accelerators; PyTorch's ROCm builds show AMD GPUs as such too."""

from __future__ import annotations

from typing import Any

import torch
from torchbus_hookspecs import Accelerator, MisconfigurationException
from torchbus_hookspecs.device_numbers import device_numbers

__all__ = ["CUDAAccelerator"]


class CUDAAccelerator(Accelerator):
    """Trains on GPUs. ``devices`` is how many (2), which ([0, 2] or ``"0,2"``), or all of them (-1 or ``"auto"``)."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """The numbers of the devices.

        Raises:
            TypeError, ValueError: the request has no such form.
            MisconfigurationException: it asks for a device that is not there, or for none.
        """
        return device_numbers("cuda", devices, torch.cuda.device_count(), torch.cuda.get_device_name)

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        """The devices of these numbers."""
        return [torch.device("cuda", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """One: several need a strategy for several processes, which is asked for by name."""
        return min(1, torch.cuda.device_count())

    @staticmethod
    def is_available() -> bool:
        """Whether PyTorch sees a device."""
        return torch.cuda.device_count() > 0

    @staticmethod
    def name() -> str:
        """``"cuda"``."""
        return "cuda"

    def setup_device(self, device: torch.device) -> None:
        """Make it the current device of this process."""
        if device.type != "cuda":
            raise MisconfigurationException(f"The CUDA accelerator cannot set up {device}.")
        torch.cuda.set_device(device)

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """PyTorch's own memory statistics: bytes allocated and reserved, now and at most."""
        return dict(torch.cuda.memory_stats(device))

    def teardown(self) -> None:
        """Give memory that no tensor uses back to the device."""
        torch.cuda.empty_cache()
