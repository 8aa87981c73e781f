"""Bring a batch to the device, through the hooks that may change it on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs.events import AfterBatchTransfer, BeforeBatchTransfer, TransferBatchToDevice

from .._data.transfer import move_data_to_device
from .._profiling import is_profiled, strategy_action, timed

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Transfer", "make_transfer"]


def make_transfer(trainer: Trainer) -> Callable[[Any, int], Any]:
    """What brings the batches of one loop to the device: a function of the batch and its loader's number."""
    return timed(trainer, strategy_action(trainer, "batch_to_device"), Transfer(trainer))


class Transfer:
    """Calls the transfer hooks for the batches of one loop; where nobody implements them, moves batches itself."""

    def __init__(self, trainer: Trainer) -> None:
        bus = trainer.bus
        self.trainer = trainer
        self.module = trainer.lightning_module
        self.device = trainer.strategy.root_device
        self.precision = trainer.precision_plugin
        self.before = bus.emitter(BeforeBatchTransfer)
        self.transfer = bus.emitter(TransferBatchToDevice)
        self.after = bus.emitter(AfterBatchTransfer)
        self.changes_seen = -1
        self.is_plain = False

    def __call__(self, batch: Any, dataloader_idx: int) -> Any:
        trainer, module = self.trainer, self.module
        if self.changes_seen != trainer.bus.changes:
            self.changes_seen = trainer.bus.changes
            untouched = trainer.bus.is_left_to(
                "torchbus", BeforeBatchTransfer, TransferBatchToDevice, AfterBatchTransfer
            )
            self.is_plain = untouched and self.precision.is_plain and not is_profiled(trainer)
        if self.is_plain:
            return move_data_to_device(batch, self.device)
        if not self.precision.is_plain:
            batch = self.precision.convert_input(batch)
        batch = self.before(trainer, module, batch, dataloader_idx)
        batch = self.transfer(trainer, module, batch, self.device, dataloader_idx)
        return self.after(trainer, module, batch, dataloader_idx)
