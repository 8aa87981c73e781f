"""A torchbus logger for TensorBoard: ``Trainer(logger="tensorboard")``."""

from __future__ import annotations

from ._logger import TensorBoardLogger

__all__ = ["TensorBoardLogger"]
