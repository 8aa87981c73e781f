"""Types for annotations of hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor

from .._types import LRSchedulerConfig, OptimizerLRScheduler

__all__ = ["EVAL_DATALOADERS", "STEP_OUTPUT", "TRAIN_DATALOADERS", "LRSchedulerConfig", "OptimizerLRScheduler"]

# true unions, so that programs may look into them
STEP_OUTPUT: TypeAlias = Tensor | Mapping[str, Any] | None
"""What a step may return."""
TRAIN_DATALOADERS: TypeAlias = Any
"""What ``train_dataloader`` may return: a loader, or several in lists and dictionaries."""
EVAL_DATALOADERS: TypeAlias = Any
"""What ``val_dataloader``, ``test_dataloader`` and ``predict_dataloader`` may return."""
