"""Events of the way of the data: one for each hook of ``specs/data.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from torch import device

__all__ = [
    "AfterBatchTransfer",
    "BeforeBatchTransfer",
    "PredictDataloader",
    "TestDataloader",
    "TrainDataloader",
    "TransferBatchToDevice",
    "ValDataloader",
]


@event("train_dataloader")
class TrainDataloader(RunEvent):
    """The training data is needed: ``train_dataloader`` fires."""


@event("val_dataloader")
class ValDataloader(RunEvent):
    """The validation data is needed: ``val_dataloader`` fires."""


@event("test_dataloader")
class TestDataloader(RunEvent):
    """The test data is needed: ``test_dataloader`` fires."""


@event("predict_dataloader")
class PredictDataloader(RunEvent):
    """The data to predict on is needed: ``predict_dataloader`` fires."""


@event("on_before_batch_transfer")
class BeforeBatchTransfer(RunEvent):
    """A batch came from its loader, not yet on the device: ``on_before_batch_transfer`` fires."""

    batch: Any
    dataloader_idx: int


@event("transfer_batch_to_device")
class TransferBatchToDevice(RunEvent):
    """A batch is to be moved to the device: ``transfer_batch_to_device`` fires."""

    batch: Any
    device: device
    dataloader_idx: int


@event("on_after_batch_transfer")
class AfterBatchTransfer(RunEvent):
    """A batch has arrived on the device: ``on_after_batch_transfer`` fires."""

    batch: Any
    dataloader_idx: int
