"""When to validate inside a fit: after so many batches, at the end of an epoch, or by the clock."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from .._errors import MisconfigurationException

if TYPE_CHECKING:
    from .._trainer import Trainer
    from .fit import FitLoop

__all__ = ["ValidationInterval"]

INFINITY = float("inf")


class ValidationInterval:
    """When to validate inside the epochs of a fit: after so many batches, at their ends, or by the clock.

    Args:
        loop: the fit, whose counters are looked at.

    Attributes:
        batches: from one validation to the next; infinite for "at the end, whenever that is"; ``None``: a clock decides,
            or it is not known yet.
    """

    def __init__(self, loop: FitLoop) -> None:
        self._loop = loop
        self.batches: int | float | None = None
        self._pause_s: float | None = None
        self._began_s = 0.0

    def settle(self) -> None:
        """Work out ``batches``, once it is known how many an epoch has.

        Raises:
            ValueError: the interval is longer than an epoch.
            MisconfigurationException: it is a fraction of an unknown length.
        """
        self.batches = _batches_between(self._loop.trainer, self._loop.max_batches)

    def begin(self, elapsed_s: float = 0.0) -> None:
        """Training begins, or a validation is over: where it goes by the time, count from now on.

        Args:
            elapsed_s: what an interrupted run had waited already.
        """
        interval = self._loop.trainer.val_check_interval
        self._pause_s = interval.total_seconds() if isinstance(interval, timedelta) else None
        self._began_s = time.monotonic() - elapsed_s

    def elapsed_s(self) -> float | None:
        """Seconds since the last validation, or since the start; ``None`` where no clock decides."""
        return None if self._pause_s is None else time.monotonic() - self._began_s

    def is_due(self) -> bool:
        """Whether the batch that was just done is followed by a validation."""
        loop, batches = self._loop, self.batches
        trainer = loop.trainer
        if trainer.should_stop and loop.can_stop_early:
            return True
        if batches is None or batches == INFINITY:
            return self._is_due_uncounted()
        return self._counted() % batches == 0

    def batches_left(self) -> int | float:
        """How many batches there are up to the next that a validation may follow, if nobody asks the run to stop."""
        if self._pause_s is not None:
            return 1
        if self.batches is None or self.batches == INFINITY:
            limit = self._loop.trainer.limit_train_batches
            # without a limit it waits for the last batch
            return limit - self._loop.progress.batches_ready % limit if isinstance(limit, int) and limit else INFINITY
        return self.batches - self._counted() % self.batches

    def _counted(self) -> int:
        progress = self._loop.progress
        return progress.total_batches if self._loop.trainer.check_val_every_n_epoch is None else progress.batches_ready

    def _is_due_uncounted(self) -> bool:
        """The same where no count of batches decides: the clock does, or the end of what may have no length."""
        if self._pause_s is not None:
            return time.monotonic() - self._began_s >= self._pause_s
        limit, progress = self._loop.trainer.limit_train_batches, self._loop.progress
        return progress.is_last_batch or (isinstance(limit, int) and progress.batches_ready % limit == 0)


def _batches_between(trainer: Trainer, max_batches: int | float) -> int | float | None:
    interval = trainer.val_check_interval
    if isinstance(interval, timedelta):
        return None
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
