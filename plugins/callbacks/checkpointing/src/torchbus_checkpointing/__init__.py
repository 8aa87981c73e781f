"""Callbacks that save checkpoints: ``Trainer(plugins={"model_checkpoint": {"monitor": "val_loss"}})``."""

from __future__ import annotations

from ._model_checkpoint import ModelCheckpoint
from ._on_exception_checkpoint import OnExceptionCheckpoint

__all__ = ["ModelCheckpoint", "OnExceptionCheckpoint"]
