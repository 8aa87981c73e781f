"""A torchbus logger for MLflow: ``Trainer(logger="mlflow")``."""

from ._logger import MLFlowLogger

__all__ = ["MLFlowLogger"]
