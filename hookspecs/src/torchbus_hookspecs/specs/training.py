"""The training epochs of a fit, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from .._types import StepOutput
    from torchbus import LightningModule, Trainer

__all__ = [
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "training_step",
    "forward",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_train_end",
]


@broadcast
def on_train_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """TrainStart."""


@broadcast
def on_train_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """TrainEpochStart."""


@broadcast
def on_train_batch_start(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> int | None:
    """TrainBatchStart."""


@provider
def training_step(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> StepOutput:
    """TrainingStep."""


@provider
def forward(trainer: Trainer, pl_module: LightningModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Forward."""


@broadcast
def on_train_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int
) -> None:
    """TrainBatchEnd."""


@broadcast
def on_train_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """TrainEpochEnd."""


@broadcast
def on_train_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """TrainEnd."""
