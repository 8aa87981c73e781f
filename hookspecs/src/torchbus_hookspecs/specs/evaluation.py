"""Validation, test and the sanity check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from .._types import StepOutput
    from torchbus import LightningModule, Trainer

__all__ = [
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_validation_model_zero_grad",
    "on_validation_model_eval",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "validation_step",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_validation_model_train",
    "on_test_model_eval",
    "on_test_start",
    "on_test_epoch_start",
    "on_test_batch_start",
    "test_step",
    "on_test_batch_end",
    "on_test_epoch_end",
    "on_test_end",
    "on_test_model_train",
]


@broadcast
def on_sanity_check_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """SanityCheckStart."""


@broadcast
def on_sanity_check_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """SanityCheckEnd."""


@provider
def on_validation_model_zero_grad(trainer: Trainer, pl_module: LightningModule) -> Any:
    """ValidationModelZeroGrad."""


@provider
def on_validation_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """ValidationModelEval."""


@broadcast
def on_validation_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """ValidationStart."""


@broadcast
def on_validation_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """ValidationEpochStart."""


@broadcast
def on_validation_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """ValidationBatchStart."""


@provider
def validation_step(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> StepOutput:
    """ValidationStep."""


@broadcast
def on_validation_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """ValidationBatchEnd."""


@broadcast
def on_validation_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """ValidationEpochEnd."""


@broadcast
def on_validation_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """ValidationEnd."""


@provider
def on_validation_model_train(trainer: Trainer, pl_module: LightningModule) -> Any:
    """ValidationModelTrain."""


@provider
def on_test_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """TestModelEval."""


@broadcast
def on_test_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """TestStart."""


@broadcast
def on_test_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """TestEpochStart."""


@broadcast
def on_test_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """TestBatchStart."""


@provider
def test_step(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> StepOutput:
    """TestStep."""


@broadcast
def on_test_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """TestBatchEnd."""


@broadcast
def on_test_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """TestEpochEnd."""


@broadcast
def on_test_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """TestEnd."""


@provider
def on_test_model_train(trainer: Trainer, pl_module: LightningModule) -> Any:
    """TestModelTrain."""
