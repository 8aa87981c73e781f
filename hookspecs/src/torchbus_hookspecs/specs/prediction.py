"""Prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = [
    "on_predict_model_eval",
    "on_predict_start",
    "on_predict_epoch_start",
    "on_predict_batch_start",
    "predict_step",
    "on_predict_batch_end",
    "on_predict_epoch_end",
    "on_predict_end",
]


@provider
def on_predict_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """PredictModelEval."""


@broadcast
def on_predict_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """PredictStart."""


@broadcast
def on_predict_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """PredictEpochStart."""


@broadcast
def on_predict_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """PredictBatchStart."""


@provider
def predict_step(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
    """PredictStep."""


@broadcast
def on_predict_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """PredictBatchEnd."""


@broadcast
def on_predict_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """PredictEpochEnd."""


@broadcast
def on_predict_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """PredictEnd."""
