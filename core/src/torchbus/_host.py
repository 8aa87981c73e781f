"""The device that is always there: what a run falls back to where no accelerator is installed."""

from __future__ import annotations

from typing import Any

import torch
from torchbus_hookspecs import Accelerator, MisconfigurationException

__all__ = ["HostAccelerator"]


class HostAccelerator(Accelerator):
    """The CPU, for one process. Who asks for ``accelerator="cpu"`` by name gets the plugin ``torchbus-cpu``."""

    @staticmethod
    def parse_devices(devices: Any) -> int:
        """One.

        Raises:
            MisconfigurationException: more were asked for.
        """
        if str(devices) != "1":
            raise MisconfigurationException(
                f"Trainer(devices={devices!r}): no accelerator is installed, so a run has the CPU of this process alone."
                " To fix: leave it out, or pip install torchbus-cpu (or -cuda, -mps)."
            )
        return 1

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        """The CPU."""
        return [torch.device("cpu")]

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    @staticmethod
    def name() -> str:
        """``"cpu"``."""
        return "cpu"
