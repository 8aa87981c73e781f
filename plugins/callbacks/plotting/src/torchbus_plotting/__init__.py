"""A picture of all that a run logs: ``Trainer(plugins=["metrics_plot"])``."""

from __future__ import annotations

from ._metrics_plot import MetricsPlot

__all__ = ["MetricsPlot"]
