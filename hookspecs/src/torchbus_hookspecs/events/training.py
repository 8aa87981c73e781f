"""Events of the training epochs: one for each hook of ``specs/training.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from .._types import StepOutput

__all__ = [
    "Forward",
    "TrainBatchEnd",
    "TrainBatchStart",
    "TrainEnd",
    "TrainEpochEnd",
    "TrainEpochStart",
    "TrainStart",
    "TrainingStep",
]


@event("on_train_start")
class TrainStart(RunEvent):
    """Training begins: ``on_train_start`` fires."""


@event("on_train_epoch_start")
class TrainEpochStart(RunEvent):
    """A training epoch begins: ``on_train_epoch_start`` fires."""


@event("on_train_batch_start")
class TrainBatchStart(RunEvent):
    """A batch is about to be trained on: ``on_train_batch_start`` fires."""

    batch: Any
    batch_idx: int


@event("training_step")
class TrainingStep(RunEvent):
    """The loss of a batch is needed: ``training_step`` fires."""

    batch: Any
    batch_idx: int


@event("forward")
class Forward(RunEvent):
    """A module without a ``forward`` of its own is called: ``forward`` fires."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("on_train_batch_end")
class TrainBatchEnd(RunEvent):
    """A training batch is done: ``on_train_batch_end`` fires."""

    outputs: StepOutput
    batch: Any
    batch_idx: int


@event("on_train_epoch_end")
class TrainEpochEnd(RunEvent):
    """A training epoch ends: ``on_train_epoch_end`` fires."""


@event("on_train_end")
class TrainEnd(RunEvent):
    """Training ends: ``on_train_end`` fires."""
