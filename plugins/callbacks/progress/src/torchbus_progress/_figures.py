"""How figures are written: metrics, times, speeds, counts of batches."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["batches_of", "clock", "speed", "written"]


def written(metrics: Mapping[str, object], number_format: str) -> dict[str, str]:
    """Metrics as text: fractions in the given format, all else as ``str`` gives it."""
    return {
        name: format(value, number_format) if isinstance(value, float) else str(value)
        for name, value in metrics.items()
    }


def clock(seconds: float | None) -> str:
    """``0:02:05``; dashes for what nobody knows."""
    if seconds is None or not math.isfinite(seconds):
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def speed(batches_per_second: float | None) -> str:
    """``37.2 it/s``; ``0.0125 it/s`` when batches take their time."""
    if not batches_per_second:
        return "-- it/s"
    return f"{batches_per_second:.1f} it/s" if batches_per_second >= 1 else f"{batches_per_second:.3g} it/s"


def batches_of(done: float, total: float | None) -> str:
    """``45/938``, or ``45/?`` when nobody knows how many will come."""
    return f"{done:.0f}/{'?' if total is None else f'{total:.0f}'}"
