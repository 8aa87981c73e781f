"""Stop a fit when its time is over: ``Trainer(max_time=...)``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from torchbus_hookspecs import hookimpl

__all__ = ["TimeLimit"]


class TimeLimit:
    """Asks the trainer to stop once a fit, together with those that it resumes, has lasted longer than ``limit``."""

    def __init__(self, limit: timedelta) -> None:
        self.limit_s = limit.total_seconds()
        self.earlier_s = 0.0
        self.started: float | None = None

    def elapsed_s(self) -> float:
        """How long training has lasted so far, in seconds."""
        return self.earlier_s + (0.0 if self.started is None else time.monotonic() - self.started)

    @hookimpl
    def setup(self, stage: str) -> None:
        """A new fit has all of its time; if it resumes another, that one's state comes later."""
        if stage == "fit":
            self.earlier_s, self.started = 0.0, None

    @hookimpl
    def on_train_start(self, trainer: Any) -> None:
        """The clock starts with training, not with the sanity check; nothing may be left of the time."""
        self.on_train_batch_end(trainer)
        self.started = time.monotonic()

    @hookimpl
    def on_train_batch_end(self, trainer: Any) -> None:
        """A look at the clock after each batch."""
        if self.elapsed_s() >= self.limit_s:
            trainer.should_stop = True

    @hookimpl
    def on_train_end(self) -> None:
        """The clock stops with training."""
        self.earlier_s, self.started = self.elapsed_s(), None

    @hookimpl
    def state_dict(self) -> dict[str, float]:
        """The time that a resumed run has no longer."""
        return {"elapsed_s": self.elapsed_s()}

    @hookimpl
    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on where the interrupted run was."""
        self.earlier_s = state_dict["elapsed_s"]
