"""Callbacks that write predictions: one that is ready to use, and the base class for others."""

from __future__ import annotations

from ._prediction_saver import PredictionSaver
from ._prediction_writer import BasePredictionWriter, WriteInterval
from ._reading import SavedPredictions, read_predictions

__all__ = ["BasePredictionWriter", "PredictionSaver", "SavedPredictions", "WriteInterval", "read_predictions"]
