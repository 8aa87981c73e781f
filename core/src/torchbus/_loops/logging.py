"""Hand metrics to the loggers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torch import Tensor
from torchbus_hookspecs.events import LogMetrics, LogRecord, Save

from .._loggable import scalar

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["LoggerOutput", "warn_of_rare_logging"]


class LoggerOutput:
    """Sends what is visible to loggers, with its step: the count of batches that stepped, unless something else is said."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.progress = trainer.fit_loop.progress
        self.log_metrics = trainer.bus.emitter(LogMetrics)
        self.log_record = trainer.bus.emitter(LogRecord)
        self.save = trainer.bus.emitter(Save)

    def is_due(self) -> bool:
        """Whether the step under way is one that loggers are told of."""
        every = self.trainer.log_every_n_steps
        due = every != 0 and (self.progress.batches_stepped + 1) % every == 0
        return due or self.trainer.should_stop or bool(self.trainer.fast_dev_run)

    def steps_left(self) -> int | float:
        """How many steps there are up to the next that loggers are told of, if nobody asks the run to stop."""
        every = self.trainer.log_every_n_steps
        return every - self.progress.batches_stepped % every if every else float("inf")

    def send(self, metrics: dict[str, Tensor], step: int | None = None) -> None:
        """Hand metrics over.

        Args:
            metrics: tensors of one element, by name.
            step: their step; default: a metric named ``step``, else the batches that stepped (and the epoch is added).
        """
        trainer = self.trainer
        if not metrics or not self.is_wanted():
            return
        trainer.metrics.remember(metrics)
        plain: dict[str, float] = {name: scalar(name, value) for name, value in metrics.items()}
        if step is None:
            chosen = plain.pop("step", None)
            if chosen is None:
                plain.setdefault("epoch", trainer.current_epoch)
                step = self.progress.batches_stepped
            else:
                step = int(chosen)
        self.log_record(trainer, trainer.lightning_module, plain, step)
        self.log_metrics(plain, step)
        self.save()

    def is_wanted(self) -> bool:
        """Whether anybody is there to be told."""
        bus = self.trainer.bus
        return bool(self.trainer.loggers) or bus.is_heard(LogRecord) or bus.is_heard(LogMetrics)


def warn_of_rare_logging(trainer: Trainer, max_batches: int | float) -> None:
    """Tell that step values wait for several epochs to be logged, which surprises in short ones."""
    if trainer.loggers and 0 < max_batches < trainer.log_every_n_steps and not trainer.fast_dev_run:
        warnings.warn(
            f"An epoch has {max_batches} batches, fewer than Trainer(log_every_n_steps={trainer.log_every_n_steps}): step"
            " values reach the loggers only every few epochs. To see more, set a lower log_every_n_steps.",
            UserWarning,
            stacklevel=2,
        )
