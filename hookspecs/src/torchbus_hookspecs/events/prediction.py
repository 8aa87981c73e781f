"""Events of prediction: one for each hook of ``specs/prediction.py``."""

from __future__ import annotations

from typing import Any

from ._base import RunEvent, event

__all__ = [
    "PredictBatchEnd",
    "PredictBatchStart",
    "PredictEnd",
    "PredictEpochEnd",
    "PredictEpochStart",
    "PredictModelEval",
    "PredictStart",
    "PredictStep",
]


@event("on_predict_model_eval")
class PredictModelEval(RunEvent):
    """The module is to go to evaluation mode for prediction: ``on_predict_model_eval`` fires."""


@event("on_predict_start")
class PredictStart(RunEvent):
    """A prediction run begins: ``on_predict_start`` fires."""


@event("on_predict_epoch_start")
class PredictEpochStart(RunEvent):
    """The pass over the data to predict on begins: ``on_predict_epoch_start`` fires."""


@event("on_predict_batch_start")
class PredictBatchStart(RunEvent):
    """A batch is about to be predicted on: ``on_predict_batch_start`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("predict_step")
class PredictStep(RunEvent):
    """The predictions for a batch are needed: ``predict_step`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_predict_batch_end")
class PredictBatchEnd(RunEvent):
    """The predictions for a batch are there: ``on_predict_batch_end`` fires."""

    outputs: Any
    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_predict_epoch_end")
class PredictEpochEnd(RunEvent):
    """The pass over the data to predict on is done: ``on_predict_epoch_end`` fires."""


@event("on_predict_end")
class PredictEnd(RunEvent):
    """A prediction run ends: ``on_predict_end`` fires."""
