"""When learning rate schedulers step."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from torchbus_hookspecs.events import LrSchedulerStep
from torchbus_hookspecs.monitor import look_early

from .._errors import MisconfigurationException, did_you_mean

if TYPE_CHECKING:
    from .._trainer import Trainer
    from .._types import LRSchedulerConfig

__all__ = ["Schedulers", "look_at_monitors"]


def look_at_monitors(trainer: Trainer) -> None:
    """Warn of a metric's name that looks misspelt, as soon as something was logged and long before it is needed."""
    trainer.monitored = [one for one in trainer.monitored if not look_early(one[1], one[0], trainer)]


class Schedulers:
    """Steps the schedulers of one fit. In manual optimization the user does, and this does nothing."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.module = trainer.lightning_module
        self.lr_scheduler_step = trainer.bus.emitter(LrSchedulerStep)
        self.configs = trainer.lr_scheduler_configs if self.module.automatic_optimization else []

    @property
    def follow_steps(self) -> bool:
        """Whether something has to be looked at behind every batch: a metric, or whether one is logged that is waited for."""
        follows = any(one.interval == "step" and one.reduce_on_plateau for one in self.configs)
        return follows or bool(self.configs and self.trainer.monitored)

    def update(self, interval: Literal["step", "epoch"], plateau: bool) -> None:
        """Step those of an interval that are due.

        Args:
            interval: whether a batch or an epoch is done.
            plateau: those that follow a metric, or the others.
        """
        if plateau and self.trainer.monitored:
            look_at_monitors(self.trainer)
        progress = self.trainer.fit_loop.progress
        position = progress.batches_ready if interval == "step" else progress.epoch + 1
        for config in self.configs:
            if config.interval != interval or config.reduce_on_plateau != plateau or position % config.frequency:
                continue
            metric = None
            if plateau:
                metric = self._monitored(config)
                if metric is None:
                    continue
            self.lr_scheduler_step(self.trainer, self.module, config.scheduler, metric)

    def _monitored(self, config: LRSchedulerConfig) -> Any:
        metrics = self.trainer.callback_metrics
        monitor = str(config.monitor)
        if monitor in metrics:
            return metrics[monitor]
        name = type(config.scheduler).__name__
        message = f"{name} conditioned on metric `{monitor}`, which is not available"
        logged = f"Available metrics are: {', '.join(sorted(metrics)) or 'none'}.{did_you_mean(monitor, metrics)}"
        if config.strict:
            raise MisconfigurationException(
                f"{message}. {logged} To fix: log it with self.log({monitor!r}, ...), or set the scheduler's `strict` to"
                " False."
            )
        warnings.warn(f"{message} but strict is False: it does not step. {logged}", RuntimeWarning, stacklevel=2)
        return None
