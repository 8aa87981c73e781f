"""The callback ``learning_rate_monitor``: when rates are read, and where they go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

from ._rates import Source, momentum_of, sources
from ._records import batches_to_record, current_step, is_train_step_due, require_listener, send

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["LearningRateMonitor"]

Interval = Literal["step", "epoch"]


@validated
class LearningRateMonitor(Callback):
    """Log the learning rate of every optimizer and parameter group, and the momentum and weight decay if wanted.

    The names are ``lr-SGD`` (``lr-SGD-1`` for a second SGD), or the ``name`` of the scheduler; with several parameter
    groups ``lr-SGD/pg1``, ``lr-SGD/pg2``, or ``lr-SGD/NAME`` for groups that have a ``name``. The values are in
    ``trainer.callback_metrics`` too. Groups that are added while training (finetuning) are found.

    Attributes:
        lrs: the rates logged in this fit, by name, oldest first.
        last_momentum_values: the newest momentum, as ``lr-SGD-momentum``; ``None`` where it is not logged.
        last_weight_decay_values: the newest weight decay, as ``lr-SGD-weight_decay``; ``None`` where it is not logged.

    Raises:
        MisconfigurationException: a setting is wrong, there is no logger, or parameter groups are named alike.

    Source: Lightning ``LearningRateMonitor``. In contrast to it, a step is logged once while gradients accumulate.
    """

    def __init__(
        self,
        logging_interval: Annotated[
            Interval | None,
            Field(
                description="Log every step or every epoch. Default: whenever the scheduler steps, and both for an"
                " optimizer without scheduler."
            ),
        ] = None,
        log_momentum: Annotated[bool, Field(description="Log the momentum, or the first beta, as well.")] = False,
        log_weight_decay: Annotated[bool, Field(description="Log the weight decay as well.")] = False,
    ) -> None:
        super().__init__()
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float | None] = {}
        self.last_weight_decay_values: dict[str, float | None] = {}
        self._sources: list[Source] = []
        self._last_step = -1

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find and name what will be logged."""
        require_listener(type(self).__name__, trainer)
        self._last_step = -1
        self._sources = sources(trainer.optimizers, trainer.lr_scheduler_configs)
        self.lrs = {name: [] for source in self._sources for name, _ in source.groups()}
        self.last_momentum_values = dict.fromkeys(f"{name}-momentum" for name in self.lrs)
        self.last_weight_decay_values = dict.fromkeys(f"{name}-weight_decay" for name in self.lrs)
        if self.logging_interval != "epoch":
            self._wait(trainer, current_step(trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what changes per epoch."""
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _wait(self, trainer: Trainer, step: int) -> None:
        """Have the next step that is logged, from this one on, begin with a look at the rates."""
        skip = batches_to_record(trainer, step)
        if skip is not None:
            trainer.before_batch(partial(self._log_step, trainer), skip)

    def _log_step(self, trainer: Trainer) -> None:
        """Log what changes per step, if the step that begins is logged."""
        step = current_step(trainer)
        is_due = is_train_step_due(trainer)
        if is_due and step != self._last_step:
            self._last_step = step
            self._log(trainer, "step")
        self._wait(trainer, step + is_due)

    def _log(self, trainer: Trainer, moment: Interval) -> None:
        record: dict[str, float] = {}
        for source in self._sources:
            # with an interval of one's own choice, the scheduler's does not matter
            if self.logging_interval is not None or moment in source.intervals:
                self._read(source, record)
        trainer.metrics.show({name: torch.tensor(value) for name, value in record.items()})
        send(trainer, record, current_step(trainer))

    def _read(self, source: Source, record: dict[str, float]) -> None:
        for name, group in source.groups():
            record[name] = float(group["lr"])
            self._history(source, name).append(record[name])
            if self.log_momentum:
                key = f"{name}-momentum"
                record[key] = self.last_momentum_values[key] = momentum_of(group)
            if self.log_weight_decay:
                key = f"{name}-weight_decay"
                record[key] = self.last_weight_decay_values[key] = float(group.get("weight_decay", 0.0))

    def _history(self, source: Source, name: str) -> list[float]:
        """The rates so far. A group that was alone until another came goes on under its new name."""
        if name not in self.lrs and name.endswith("/pg1") and source.name in self.lrs:
            self.lrs[name] = self.lrs.pop(source.name)
        return self.lrs.setdefault(name, [])
