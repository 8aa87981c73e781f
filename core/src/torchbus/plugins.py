"""What ``Trainer(plugins=...)`` takes beside callbacks and loggers: in which number format to compute."""

from __future__ import annotations

from ._precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision

__all__ = ["DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision"]
