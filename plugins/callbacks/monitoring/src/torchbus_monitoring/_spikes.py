"""The judgement on one loss: a spike or not. It knows of no trainer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

__all__ = ["Mode", "SpikeWatch"]

Mode = Literal["min", "max"]


class SpikeWatch:
    """Compares each loss with the mean of those before it.

    Args:
        mode: whether the loss should fall or rise; only a change for the worse is a spike.
        window: losses that the mean is taken of.
        warmup: losses at the beginning that are not judged.
        atol: how far from the mean it must be, or ``None``.
        rtol: the same as a multiple of the mean's size, or ``None``. With both, both must be exceeded.
        finite_only: whether NaN and infinity are spikes; if not, NaN is passed over, and infinity is as far as it is.
    """

    def __init__(
        self, mode: Mode, window: int, warmup: int, atol: float | None, rtol: float | None, finite_only: bool
    ) -> None:
        self.mode = mode
        self.warmup = warmup
        self.atol, self.rtol = atol, rtol
        self.finite_only = finite_only
        self.seen = 0
        self.recent: deque[float] = deque(maxlen=window)

    def is_spike(self, loss: float) -> bool:
        """Judge a loss. One that is no spike becomes part of the mean, if it is finite."""
        self.seen += 1
        if self.seen > self.warmup and self._stands_out(loss):
            return True
        if math.isfinite(loss):
            self.recent.append(loss)
        return False

    def _stands_out(self, loss: float) -> bool:
        if self.finite_only and not math.isfinite(loss):
            return True
        return bool(self.recent) and self._is_far(loss, math.fsum(self.recent) / len(self.recent))

    def _is_far(self, loss: float, mean: float) -> bool:
        worse_by = loss - mean if self.mode == "min" else mean - loss
        if not worse_by > 0:  # NaN is neither
            return False
        return (self.atol is None or worse_by >= self.atol) and (self.rtol is None or worse_by >= self.rtol * abs(mean))

    def restore(self, seen: int, recent: Iterable[float]) -> None:
        """Go on where another run was."""
        self.seen = seen
        self.recent.clear()
        self.recent.extend(recent)
