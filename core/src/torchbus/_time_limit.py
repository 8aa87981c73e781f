"""Stop a fit when its time is over: ``Trainer(max_time=...)``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from torchbus_hookspecs import hookimpl

__all__ = ["TimeLimit"]


class TimeLimit:
    """Asks the trainer to stop once a fit has lasted longer than ``limit``."""

    def __init__(self, limit: timedelta) -> None:
        self.limit_s = limit.total_seconds()
        self.started = 0.0

    @hookimpl
    def on_train_start(self) -> None:
        """The clock starts with training, not with the sanity check."""
        self.started = time.monotonic()

    @hookimpl
    def on_train_batch_end(self, trainer: Any) -> None:
        """A look at the clock after each batch."""
        if time.monotonic() - self.started >= self.limit_s:
            trainer.should_stop = True
