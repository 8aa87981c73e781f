"""The CPU as an accelerator."""

from __future__ import annotations

from typing import Any

import torch
from torchbus_hookspecs import Accelerator

__all__ = ["CPUAccelerator"]


class CPUAccelerator(Accelerator):
    """Trains on the CPU. ``devices`` counts processes: there is one CPU, however many cores it has."""

    @staticmethod
    def parse_devices(devices: Any) -> int:
        """How many processes.

        Raises:
            TypeError: it is no whole number of at least 1.
        """
        is_number = isinstance(devices, int) or (isinstance(devices, str) and devices.strip().isdigit())
        if not is_number or int(devices) < 1:
            raise TypeError(
                f"Trainer(accelerator='cpu', devices={devices!r}): `devices` selected with `CPUAccelerator` should be an"
                " int > 0, the number of processes: there is one CPU, which has no number."
            )
        return int(devices)

    @staticmethod
    def get_parallel_devices(devices: int | str) -> list[torch.device]:
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
