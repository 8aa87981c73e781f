"""Callbacks that end training early: ``Trainer(plugins={"early_stopping": {"monitor": "val_loss"}})``."""

from __future__ import annotations

from ._criterion import EarlyStoppingReason
from ._early_stopping import EarlyStopping
from ._timer import Timer

__all__ = ["EarlyStopping", "EarlyStoppingReason", "Timer"]
