"""The base class of strategies: where the model lives and how processes work together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.nn import Module

    from .accelerator import Accelerator

__all__ = ["Strategy"]

T = TypeVar("T")


class Strategy:
    """One process on one device. Strategies of several processes override what differs.

    Args:
        accelerator: the accelerator that makes the device ready.
        devices: the devices of this machine; this process uses ``devices[local_rank]``.
    """

    def __init__(self, accelerator: Accelerator, devices: list[device]) -> None:
        self.accelerator = accelerator
        self.parallel_devices = devices

    @property
    def root_device(self) -> device:
        """The device of this process."""
        return self.parallel_devices[self.local_rank]

    @property
    def global_rank(self) -> int:
        """The number of this process among all, from 0."""
        return 0

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine, from 0."""
        return 0

    @property
    def node_rank(self) -> int:
        """The number of this machine, from 0."""
        return 0

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return 1

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes files and prints."""
        return self.global_rank == 0

    def setup_environment(self) -> None:
        """Make the device ready and, where there are several processes, join them."""
        self.accelerator.setup_device(self.root_device)

    def setup_model(self, model: Module) -> Module:
        """Move the model to the device and wrap it where needed; what is returned runs the steps."""
        return model.to(self.root_device)

    def process_dataloader(self, dataloader: T) -> T:
        """Give a loader what this strategy needs, such as a sampler for each rank."""
        return dataloader

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """The tensor of every rank, stacked in a new first dimension where there are several."""
        return tensor

    def reduce(self, tensor: Tensor, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        """One value from the values of all ranks."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # Lightning's name
        """Whether all ranks (or any of them) said yes."""
        return decision

    def broadcast(self, obj: T, src: int = 0) -> T:
        """The object of rank ``src``, on every rank."""
        return obj

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks."""

    def teardown(self) -> None:
        """The run is over: give back devices and process groups."""
        self.accelerator.teardown()
