"""The CPU as an accelerator."""

from __future__ import annotations

import torch
from torchbus_hookspecs import Accelerator, MisconfigurationException

__all__ = ["CPUAccelerator"]


class CPUAccelerator(Accelerator):
    """Trains on the CPU. ``devices`` counts processes: there is one CPU, however many cores it has."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> int:
        """How many processes.

        Raises:
            MisconfigurationException: it is no whole number of at least 1.
        """
        given = len(devices) if isinstance(devices, list) else devices
        try:
            count = int(given)
        except (TypeError, ValueError):
            count = 0
        if count < 1:
            raise MisconfigurationException(
                f"Trainer(accelerator='cpu', devices={devices!r}): it must be a number of processes, 1 or more."
            )
        return count

    @staticmethod
    def get_parallel_devices(devices: int | str | list[int]) -> list[torch.device]:
        """The CPU, once for each process."""
        return [torch.device("cpu")] * CPUAccelerator.parse_devices(devices)

    @staticmethod
    def auto_device_count() -> int:
        """One process."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    @staticmethod
    def name() -> str:
        """``"cpu"``."""
        return "cpu"
