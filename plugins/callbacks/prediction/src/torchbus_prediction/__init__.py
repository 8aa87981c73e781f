"""A base class for callbacks that write predictions."""

from __future__ import annotations

from ._prediction_writer import BasePredictionWriter, WriteInterval

__all__ = ["BasePredictionWriter", "WriteInterval"]
