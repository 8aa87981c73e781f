"""Strategies: where the model lives and how processes work together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchbus_hookspecs import Strategy

from ._errors import MisconfigurationException

if TYPE_CHECKING:
    import torch
    from torchbus_hookspecs import Accelerator

__all__ = ["SingleDeviceStrategy", "Strategy"]


class SingleDeviceStrategy(Strategy):
    """One process on one device.

    Raises:
        MisconfigurationException: several devices were asked for.
    """

    def __init__(self, accelerator: Accelerator, devices: list[torch.device]) -> None:
        if len(devices) != 1:
            raise MisconfigurationException(
                f"Trainer(devices=...) asks for {len(devices)} devices, and the strategy `single_device` uses one."
                " To fix: set devices=1, or a strategy for several processes."
            )
        super().__init__(accelerator, devices)
