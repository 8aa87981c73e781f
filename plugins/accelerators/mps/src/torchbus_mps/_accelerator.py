"""The GPU of Apple silicon, through PyTorch's Metal backend."""

from __future__ import annotations

from typing import Any

import torch
from torchbus_hookspecs import Accelerator, MisconfigurationException
from torchbus_hookspecs.device_numbers import device_numbers

__all__ = ["MPSAccelerator"]


class MPSAccelerator(Accelerator):
    """Trains on the GPU of a Mac. There is one: ``devices`` is 1, [0], ``"0,"``, -1 or ``"auto"``."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """The numbers of the devices.

        Raises:
            TypeError, ValueError: the request has no such form.
            MisconfigurationException: it asks for a device that is not there, or for none.
        """
        return device_numbers("mps", devices, int(MPSAccelerator.is_available()), lambda _: "Apple GPU")

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        """The devices of these numbers."""
        return [torch.device("mps", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """One: that is how many there are."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Whether PyTorch was built with Metal, and the system has it."""
        return torch.backends.mps.is_available()

    @staticmethod
    def name() -> str:
        """``"mps"``."""
        return "mps"

    def setup_device(self, device: torch.device) -> None:
        """See that it is such a device; there is none to choose."""
        if device.type != "mps":
            raise MisconfigurationException(f"The MPS accelerator cannot set up {device}.")

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Memory in bytes: held by tensors, held by Metal in all, and how much Metal recommends at most."""
        return {
            "allocated_bytes": torch.mps.current_allocated_memory(),
            "driver_allocated_bytes": torch.mps.driver_allocated_memory(),
            "recommended_max_bytes": torch.mps.recommended_max_memory(),
        }

    def teardown(self) -> None:
        """Give memory that no tensor uses back to the system."""
        torch.mps.empty_cache()
