"""Callbacks that change how a model trains: ``Trainer(plugins={"gradient_accumulation_scheduler": {...}})``."""

from __future__ import annotations

from ._gradient_accumulation_scheduler import GradientAccumulationScheduler
from ._lambda_callback import LambdaCallback
from ._model_pruning import ModelPruning
from ._nan_guard import NanFoundError, NanGuard

__all__ = ["GradientAccumulationScheduler", "LambdaCallback", "ModelPruning", "NanFoundError", "NanGuard"]
