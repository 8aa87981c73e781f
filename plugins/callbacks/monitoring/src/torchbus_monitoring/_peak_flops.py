"""What GPUs can do at best, from their makers' data sheets: dense, without sparsity."""

from __future__ import annotations

import torch

__all__ = ["peak_flops"]

_TERA = 1e12

_PEAKS: dict[str, tuple[float, float]] = {
    # name in the driver: 16-bit tensor cores, 32-bit (TF32 where there is such a thing, if it is switched on)
    "h200": (989.0, 67.0),
    "h100 pcie": (756.0, 51.0),
    "h100": (989.0, 67.0),
    "a100": (312.0, 19.5),
    "a10g": (125.0, 31.2),
    "a10": (125.0, 31.2),
    "l40s": (362.0, 91.6),
    "l4": (121.0, 30.3),
    "v100": (125.0, 15.7),
    "t4": (65.0, 8.1),
    "rtx 4090": (165.2, 82.6),
    "rtx 3090": (71.0, 35.6),
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Operations per second of one device at that precision; ``None`` where it is not known."""
    if device.type != "cuda":
        return None
    words = torch.cuda.get_device_name(device).lower()
    known = next((peaks for name, peaks in _PEAKS.items() if name in words), None)
    if known is None or precision.startswith("64"):
        return None
    half, single = known
    return (single if precision.startswith("32") else half) * _TERA
