"""Where Lightning keeps the counters of a fit: ``trainer.fit_loop.epoch_progress`` and ``trainer.fit_loop.epoch_loop``.

Scripts and callbacks read these paths, and some write them. Here they are views: what they show is kept by
``FitProgress`` and by the trainer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .limits import OfTrainer

if TYPE_CHECKING:
    from .evaluation import EvaluationLoop
    from .fit import FitLoop
    from .progress import FitProgress

__all__ = ["BatchProgress", "Counts", "EpochLoop", "EpochProgress", "FitLoopPaths"]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many batches were begun (``ready``, ``started``) and done (``processed``, ``completed``)."""

    ready: int
    started: int
    processed: int
    completed: int


class EpochProgress:
    """How many epochs were begun and done; ``processed`` and ``completed`` may be set, to begin at another epoch."""

    def __init__(self, progress: FitProgress) -> None:
        self._progress = progress

    @property
    def current(self) -> EpochProgress:
        """The counts of this fit; the same as ``total``."""
        return self

    total = current

    @property
    def ready(self) -> int:
        """Epochs begun."""
        return self._progress.epochs_begun

    @property
    def started(self) -> int:
        """Epochs whose ``on_train_epoch_start`` is through."""
        return self.ready - (self._progress.phase == "epoch_start")

    @property
    def processed(self) -> int:
        """Epochs whose batches are done."""
        return self._progress.epochs_processed

    @processed.setter
    def processed(self, epochs: int) -> None:
        self._progress.epochs_processed = epochs

    @property
    def completed(self) -> int:
        """Epochs that are closed: ``trainer.current_epoch``."""
        return self._progress.epoch

    @completed.setter
    def completed(self, epochs: int) -> None:
        self._progress.epoch = epochs


class BatchProgress:
    """How many batches were begun and done: ``current``, of this epoch, and ``total``, of all.

    A batch is started after its ``on_train_batch_start``, and completed after its ``on_train_batch_end``.
    """

    def __init__(self, progress: FitProgress, hook: str) -> None:
        self._progress = progress
        self._hook = hook

    @property
    def current(self) -> Counts:
        """Batches of this epoch."""
        begun, done = self._progress.batches_ready, self._progress.batches_done
        return self._counts(begun, done)

    @property
    def total(self) -> Counts:
        """Batches of all epochs."""
        begun = self._progress.total_batches
        done = begun - (self._progress.batches_ready - self._progress.batches_done)
        return self._counts(begun, done)

    def _counts(self, begun: int, done: int) -> Counts:
        started = begun - (self._hook == "on_train_batch_start")
        return Counts(begun, started, done, done - (self._hook == "on_train_batch_end"))

    @property
    def is_last_batch(self) -> bool:
        """Whether the batch under way is the last of its epoch."""
        return self._progress.is_last_batch


class EpochLoop:
    """The part of a fit that goes over the batches of an epoch."""

    max_steps, min_steps = OfTrainer(), OfTrainer()

    def __init__(self, loop: FitLoop) -> None:
        self._loop = loop
        self.trainer = loop.trainer

    @property
    def val_loop(self) -> EvaluationLoop:
        """The loop of validation inside the fit."""
        return self._loop.validation

    @property
    def batch_progress(self) -> BatchProgress:
        """Batches begun and done."""
        return BatchProgress(self._loop.progress, self.trainer.bus.scope.hook)

    @property
    def global_step(self) -> int:
        """Optimizer steps taken: ``trainer.global_step``."""
        return self._loop.progress.global_step

    @property
    def batch_idx(self) -> int:
        """The number of the batch under way within its epoch, from 0; -1 before the first."""
        return self._loop.progress.batches_ready - 1

    @property
    def total_batch_idx(self) -> int:
        """The same over all epochs."""
        return self._loop.progress.total_batches - 1

    @property
    def _batches_that_stepped(self) -> int:
        # private in Lightning, and yet what scripts read to log by hand on the loggers' axis
        return self._loop.progress.batches_stepped

    @_batches_that_stepped.setter
    def _batches_that_stepped(self, batches: int) -> None:
        self._loop.progress.batches_stepped = batches
        self.trainer.bus.changes += 1  # the loop may be on its way to the next logging step


class FitLoopPaths:
    """What ``FitLoop`` shows of itself to those who know Lightning's."""

    progress: FitProgress

    @property
    def epoch_progress(self) -> EpochProgress:
        """Epochs begun and done."""
        return EpochProgress(self.progress)

    @property
    def epoch_loop(self) -> EpochLoop:
        """Batches, steps and the validation inside."""
        return EpochLoop(self)  # type: ignore[arg-type]  # who has these paths is a FitLoop

    @property
    def batch_idx(self) -> int:
        """The number of the batch under way within its epoch, from 0; -1 before the first."""
        return self.epoch_loop.batch_idx

    @property
    def total_batch_idx(self) -> int:
        """The same over all epochs."""
        return self.epoch_loop.total_batch_idx
