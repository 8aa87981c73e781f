"""CUDA devices as accelerators; PyTorch's ROCm builds show AMD GPUs as such too."""

from __future__ import annotations

from typing import Any

import torch
from torchbus_hookspecs import Accelerator, MisconfigurationException

__all__ = ["CUDAAccelerator"]


class CUDAAccelerator(Accelerator):
    """Trains on GPUs. ``devices`` is how many (2), which ([0, 2] or ``"0,2"``), or all of them (-1 or ``"auto"``)."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """The numbers of the devices.

        Raises:
            MisconfigurationException: the request has no such form, or asks for a device that is not there.
        """
        there = torch.cuda.device_count()
        wanted = _numbers(devices, there)
        if wanted is None:
            raise MisconfigurationException(
                f"Trainer(accelerator='cuda', devices={devices!r}): it must be a number of devices, a list of their"
                " numbers such as [0, 2] or '0,2', or -1 for all."
            )
        missing = [one for one in wanted if not 0 <= one < there]
        if missing or not wanted or len(set(wanted)) != len(wanted):
            names = ", ".join(f"{index} ({torch.cuda.get_device_name(index)})" for index in range(there)) or "none"
            raise MisconfigurationException(
                f"Trainer(accelerator='cuda', devices={devices!r}) asks for devices {wanted}; there are: {names}."
            )
        return wanted

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


def _numbers(devices: Any, there: int) -> list[int] | None:
    """The numbers that a request means, or ``None`` if it has no known form."""
    if isinstance(devices, str):
        parts = [part.strip() for part in devices.split(",") if part.strip()]
        if not all(part.lstrip("-").isdigit() for part in parts) or not parts:
            return None
        numbers = [int(part) for part in parts]
        devices = numbers if "," in devices else numbers[0]
    if isinstance(devices, bool):
        return None
    if isinstance(devices, int):
        return list(range(there)) if devices == -1 else list(range(devices))
    if isinstance(devices, list | tuple) and all(type(one) is int for one in devices):
        return list(devices)
    return None
