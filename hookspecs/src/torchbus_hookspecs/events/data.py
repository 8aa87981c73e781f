"""Events of data: one for each hook of ``specs/data.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from torch import device

__all__ = [
    "TrainDataloader",
    "ValDataloader",
    "TestDataloader",
    "PredictDataloader",
    "BeforeBatchTransfer",
    "TransferBatchToDevice",
    "AfterBatchTransfer",
]


@event("train_dataloader")
class TrainDataloader(RunEvent):
    """``train_dataloader`` fires."""


@event("val_dataloader")
class ValDataloader(RunEvent):
    """``val_dataloader`` fires."""


@event("test_dataloader")
class TestDataloader(RunEvent):
    """``test_dataloader`` fires."""


@event("predict_dataloader")
class PredictDataloader(RunEvent):
    """``predict_dataloader`` fires."""


@event("on_before_batch_transfer")
class BeforeBatchTransfer(RunEvent):
    """``on_before_batch_transfer`` fires."""

    batch: Any
    dataloader_idx: int


@event("transfer_batch_to_device")
class TransferBatchToDevice(RunEvent):
    """``transfer_batch_to_device`` fires."""

    batch: Any
    device: device
    dataloader_idx: int


@event("on_after_batch_transfer")
class AfterBatchTransfer(RunEvent):
    """``on_after_batch_transfer`` fires."""

    batch: Any
    dataloader_idx: int
