"""Callbacks that average weights: ``Trainer(plugins={"ema_weight_averaging": {"decay": 0.999}})``."""

from __future__ import annotations

from ._ema import EMAWeightAveraging
from ._swa import StochasticWeightAveraging
from ._weight_averaging import WeightAveraging

__all__ = ["EMAWeightAveraging", "StochasticWeightAveraging", "WeightAveraging"]
