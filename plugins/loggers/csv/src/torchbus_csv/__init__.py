"""A torchbus logger that writes metrics as CSV: ``Trainer(logger="csv")``."""

from __future__ import annotations

from ._logger import CSVLogger
from ._writer import CSVWriter

__all__ = ["CSVLogger", "CSVWriter"]
