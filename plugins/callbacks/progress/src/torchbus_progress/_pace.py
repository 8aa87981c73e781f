"""How many training batches may pass between two looks at the clock."""

from __future__ import annotations

from time import monotonic

__all__ = ["Pace"]

LOOK_EVERY_S = 0.025


class Pace:
    """Learns how many batches take the time between two looks.

    Attributes:
        batches: to let pass before the next look: one at first, and where each takes long.
    """

    def __init__(self) -> None:
        self.batches = 1
        self._last = (monotonic(), 0)

    def keep(self, batches: int) -> None:
        """Take note of how long it took to come to this many batches."""
        last_s, last_batches = self._last
        now_s = monotonic()
        per_batch_s = (now_s - last_s) / max(1, batches - last_batches)
        fitting = LOOK_EVERY_S / per_batch_s if per_batch_s else 2 * self.batches
        # the batches to come may take longer than those that were
        self.batches = max(1, int(min(fitting, 2 * self.batches)))
        self._last = (now_s, batches)
