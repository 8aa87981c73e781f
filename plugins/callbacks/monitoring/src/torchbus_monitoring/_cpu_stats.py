"""Figures of the machine's processors and memory."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]  # its stubs are a distribution of their own

__all__ = ["cpu_stats"]


def cpu_stats() -> dict[str, float]:
    """Load of all cores since the last call, memory and swap in use, each in percent."""
    return {
        "cpu_vm_percent": float(psutil.virtual_memory().percent),
        "cpu_percent": float(psutil.cpu_percent()),
        "cpu_swap_percent": float(psutil.swap_memory().percent),
    }
