"""Bring a batch to the device, through the hooks that may change it on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs.events import AfterBatchTransfer, BeforeBatchTransfer, TransferBatchToDevice

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Transfer"]


class Transfer:
    """Calls the transfer hooks for the batches of one loop."""

    def __init__(self, trainer: Trainer) -> None:
        bus = trainer.bus
        self.trainer = trainer
        self.module = trainer.lightning_module
        self.device = trainer.strategy.root_device
        self.precision = trainer.precision_plugin
        self.before = bus.emitter(BeforeBatchTransfer)
        self.transfer = bus.emitter(TransferBatchToDevice)
        self.after = bus.emitter(AfterBatchTransfer)

    def __call__(self, batch: Any, dataloader_idx: int) -> Any:
        trainer, module = self.trainer, self.module
        if not self.precision.is_plain:
            batch = self.precision.convert_input(batch)
        batch = self.before(trainer, module, batch, dataloader_idx)
        batch = self.transfer(trainer, module, batch, self.device, dataloader_idx)
        return self.after(trainer, module, batch, dataloader_idx)
