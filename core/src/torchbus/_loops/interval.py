"""When to validate inside a fit: after so many batches, at the end of an epoch, or by the clock."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from .._errors import MisconfigurationException

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["ValidationClock", "batches_between_validations"]

INFINITY = float("inf")


class ValidationClock:
    """Tells when the time between two validations is over.

    Args:
        interval: the time from the end of one validation, or from the start of training, to the next.
    """

    def __init__(self, interval: timedelta) -> None:
        self.interval_s = interval.total_seconds()
        self.restart()

    def restart(self, elapsed_s: float = 0.0) -> None:
        """Begin to count; a resumed run begins with the time that the interrupted one had waited."""
        self._started = time.monotonic() - elapsed_s

    def elapsed_s(self) -> float:
        """Seconds since the last validation, or since the start."""
        return time.monotonic() - self._started

    def is_due(self) -> bool:
        """Whether the time is over."""
        return self.elapsed_s() >= self.interval_s


def batches_between_validations(trainer: Trainer, max_batches: int | float) -> int | float:
    """After how many batches to validate; infinity for "at the end, whenever that is", and where a clock decides.

    Args:
        trainer: its ``val_check_interval`` is looked at.
        max_batches: batches of an epoch; may be infinite.

    Raises:
        ValueError: the interval is longer than an epoch.
        MisconfigurationException: it is a fraction of an unknown length.
    """
    interval = trainer.val_check_interval
    if isinstance(interval, timedelta):
        return INFINITY
    if isinstance(interval, int):
        if interval > max_batches and trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches:
            raise ValueError(
                f"Trainer(val_check_interval={interval}): an epoch has only {max_batches} batches. To fix: use at most"
                f" {max_batches}, or check_val_every_n_epoch=None to count batches over all epochs."
            )
        return interval
    if max_batches == INFINITY:
        if interval != 1.0:
            raise MisconfigurationException(
                f"Trainer(val_check_interval={interval}): a fraction of a loader without length (an IterableDataset)"
                " cannot be taken. To fix: give a whole number of batches, or a time."
            )
        return INFINITY
    return max(1, int(max_batches * interval)) if max_batches else 0
