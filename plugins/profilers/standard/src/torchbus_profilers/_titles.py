"""The first line of a report."""

from __future__ import annotations

__all__ = ["title"]


def title(stage: str | None) -> str:
    """``FIT Profiler Report``; without a stage outside of runs."""
    return f"{stage.upper()} Profiler Report" if stage else "Profiler Report"
