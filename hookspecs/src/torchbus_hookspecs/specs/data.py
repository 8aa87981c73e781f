"""Where batches come from and how they reach the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import provider, transform

if TYPE_CHECKING:
    from torch import device
    from torchbus import LightningModule, Trainer

__all__ = [
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
]


@provider
def train_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """TrainDataloader."""


@provider
def val_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """ValDataloader."""


@provider
def test_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """TestDataloader."""


@provider
def predict_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """PredictDataloader."""


@transform
def on_before_batch_transfer(trainer: Trainer, pl_module: LightningModule, batch: Any, dataloader_idx: int) -> Any:
    """BeforeBatchTransfer."""


@provider
def transfer_batch_to_device(
    trainer: Trainer, pl_module: LightningModule, batch: Any, device: device, dataloader_idx: int
) -> Any:
    """TransferBatchToDevice."""


@transform
def on_after_batch_transfer(trainer: Trainer, pl_module: LightningModule, batch: Any, dataloader_idx: int) -> Any:
    """AfterBatchTransfer."""
