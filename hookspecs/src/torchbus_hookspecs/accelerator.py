"""The base class of accelerators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import device
    from torchbus import Trainer

__all__ = ["Accelerator"]


class Accelerator(ABC):
    """A kind of device to train on: how many there are, which of them were asked for, how one is made ready."""

    @staticmethod
    @abstractmethod
    def parse_devices(devices: Any) -> Any:
        """Turn what the user wrote (an int, a list, ``"0,1"``, ``-1``) into what ``get_parallel_devices`` takes.

        Raises:
            MisconfigurationException: the request cannot be met; the message says what is there.
        """

    @staticmethod
    @abstractmethod
    def get_parallel_devices(devices: Any) -> list[device]:
        """The ``torch.device`` objects for parsed ``devices``."""

    @staticmethod
    @abstractmethod
    def auto_device_count() -> int:
        """How many devices ``devices="auto"`` means."""

    @staticmethod
    @abstractmethod
    def is_available() -> bool:
        """Whether this machine has at least one such device."""

    @staticmethod
    @abstractmethod
    def name() -> str:
        """The name under which ``Trainer(accelerator=...)`` finds this accelerator."""

    def setup_device(self, device: device) -> None:
        """Make one device ready for this process, before the model is moved to it."""

    def setup(self, trainer: Trainer) -> None:
        """A run begins on this accelerator."""

    def get_device_stats(self, device: device | str | int) -> dict[str, Any]:
        """Figures of a device, such as memory in use, by name."""
        return {}

    def teardown(self) -> None:
        """The run is over: give back what ``setup_device`` took."""
