"""Callbacks that try things out before training: ``Trainer(plugins=["learning_rate_finder", "batch_size_finder"])``."""

from __future__ import annotations

from ._batch_size_finder import BatchSizeFinder
from ._learning_rate_finder import LearningRateFinder
from ._rate_search import RateSearch
from ._tuner import Tuner

__all__ = ["BatchSizeFinder", "LearningRateFinder", "RateSearch", "Tuner"]
