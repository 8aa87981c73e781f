"""The callback ``timer``: how long each stage takes, and an end to training when its time is used up."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import Duration, validated

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["Timer"]

Interval = Literal["step", "epoch"]

_STAGES = ("train", "sanity_check", "validate", "test", "predict")
"""The trainer's; of these, the sanity check and prediction are not timed."""

_log = logging.getLogger("torchbus.timer")


@validated
class Timer(Callback):
    """Measure how long training, validation and test take, and stop training when ``duration`` is used up.

    Training time includes the validations in between, and goes on counting in a resumed run. The trainer still completes
    ``min_epochs`` and ``min_steps``. The stages are ``"train"``, ``"validate"`` and ``"test"``; all times are in seconds.

    Raises:
        MisconfigurationException: a setting is wrong.
        ValueError: the time of a stage is asked for that there is not.

    Source: Lightning ``Timer``. In contrast to it, a resumed run knows all stages' times, not only that of training.
    """

    def __init__(
        self,
        duration: Annotated[
            Duration | None,
            Field(description="Time for training, such as `1h30m`, `DD:HH:MM:SS` or a timedelta. Default: no limit."),
        ] = None,
        interval: Annotated[Interval, Field(description="Look at the clock after each step or each epoch.")] = "step",
        verbose: Annotated[bool, Field(description="Log when time is up.")] = True,
    ) -> None:
        super().__init__()
        self._limit_s = duration.total_seconds() if duration is not None else None
        self._interval = interval
        self._verbose = verbose
        self._started: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._before: dict[str, float] = {}

    # ---- reading -----------------------------------------------------------------------------------------------------

    def start_time(self, stage: str = "train") -> float | None:
        """When the stage last began, on Python's monotonic clock; ``None`` if it did not."""
        return self._started.get(_key(stage))

    def end_time(self, stage: str = "train") -> float | None:
        """When it ended; ``None`` while it lasts or if it did not begin."""
        return self._ended.get(_key(stage))

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds the stage has taken so far, those before a resume included."""
        key = _key(stage)
        before, started = self._before.get(key, 0.0), self._started.get(key)
        if started is None:
            return before
        return before + self._ended.get(key, time.monotonic()) - started

    def time_remaining(self, stage: str = "train") -> float | None:
        """Seconds until ``duration`` is used up, 0 at least; ``None`` without a limit."""
        return None if self._limit_s is None else max(0.0, self._limit_s - self.time_elapsed(stage))

    # ---- hooks -------------------------------------------------------------------------------------------------------

    @property
    def idle_hooks(self) -> Collection[str]:
        """Without a limit for steps to keep to, batches need not be looked at."""
        return ("on_train_batch_end",) if self._limit_s is None or self._interval == "epoch" else ()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run may have no time left at all."""
        # here already, so that not even the first batch is trained
        self._check(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of training starts."""
        self._start("train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of training stops."""
        self._ended["train"] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of validation starts."""
        self._start("validate")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of validation stops."""
        self._ended["validate"] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of the test starts."""
        self._start("test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of the test stops."""
        self._ended["test"] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock after a batch."""
        if self._interval == "step":
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock after an epoch."""
        if self._interval == "epoch":
            self._check(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The seconds of each stage."""
        return {"time_elapsed": {stage: self.time_elapsed(stage) for stage in ("train", "validate", "test")}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from there; how long training may take is what this script's settings say."""
        given = state_dict.get("time_elapsed", {})
        self._before = {str(stage): float(seconds) for stage, seconds in given.items()}

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _start(self, stage: str) -> None:
        self._started[stage] = time.monotonic()
        self._ended.pop(stage, None)

    def _check(self, trainer: Trainer) -> None:
        if self._limit_s is None:
            return
        elapsed = self.time_elapsed("train")
        # rank zero's clock counts: all must stop at the same step
        if not trainer.strategy.broadcast(elapsed >= self._limit_s):
            return
        if self._verbose and not trainer.should_stop and trainer.is_global_zero:
            spent = timedelta(seconds=int(elapsed))
            _log.info("%s: training has taken %s, and its time is used up.", type(self).__name__, spent)
        trainer.should_stop = True


def _key(stage: str) -> str:
    key = {"fit": "train", "validation": "validate"}.get(stage, str(stage))
    if key not in _STAGES:
        raise ValueError(f"Timer: {stage!r} is no stage; the stages are {', '.join(_STAGES)}.")
    return key
