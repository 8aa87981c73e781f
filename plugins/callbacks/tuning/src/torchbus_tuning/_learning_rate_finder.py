"""The callback ``learning_rate_finder``: before training, try rising learning rates, and take the one that does best."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from torch.optim import Optimizer
from torchbus_hookspecs import Callback, EndRun, MisconfigurationException
from torchbus_hookspecs.events import TrainBatchEnd, TrainBatchStart
from torchbus_hookspecs.settings import validated

from ._attributes import find_name, get_value, set_value
from ._rate_search import Mode, RateSearch

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["LearningRateFinder"]

_log = logging.getLogger("torchbus.learning_rate_finder")


@validated
class LearningRateFinder(Callback):
    """Before a fit, train some steps at a rising rate, suggest the rate at which the loss falls fastest, and start over.

    The trial is heard by the module alone, no callback or logger, and leaves weights, optimizer and random generators as
    they were. The suggestion is set as the module's ``lr`` or ``learning_rate`` (an attribute or a hyperparameter) and
    in its optimizer. A run that resumes from a checkpoint keeps its rate, and searches nothing.

    Attributes:
        optimal_lr: what was found: ``results``, ``suggestion()``, ``plot()``; ``None`` before.

    Raises:
        MisconfigurationException: a setting is wrong, or there is nowhere to set the rate.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017; Lightning ``LearningRateFinder``. In
    contrast to it, the trial may take more epochs than the fit, and rates of several groups keep their ratios.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = ("linear", "exponential")

    def __init__(
        self,
        min_lr: Annotated[float, Field(gt=0, description="First rate to try.")] = 1e-8,
        max_lr: Annotated[float, Field(gt=0, description="Last rate to try.")] = 1,
        num_training_steps: Annotated[int, Field(ge=1, description="How many rates to try, one in each step.")] = 100,
        mode: Annotated[Mode, Field(description="Whether rates grow by a factor or by an amount.")] = "exponential",
        early_stop_threshold: Annotated[
            float | None,
            Field(gt=0, description="End the trial when the loss is that many times the best one. None: never."),
        ] = 4.0,
        update_attr: Annotated[bool, Field(description="Whether the suggestion is used, or only kept.")] = True,
        attr_name: Annotated[
            str, Field(description="Name of the attribute that holds the rate. Default: `lr` or `learning_rate`.")
        ] = "",
    ) -> None:
        super().__init__()
        if max_lr <= min_lr:
            raise MisconfigurationException(
                f"{type(self).__name__}: `max_lr` is {max_lr:g}; it should be more than `min_lr`, {min_lr:g}."
            )
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.num_training_steps = num_training_steps
        self.mode: Mode = mode
        self.early_stop_threshold = early_stop_threshold
        self.update_attr = update_attr
        self.attr_name = attr_name
        self.optimal_lr: RateSearch | None = None
        self._ends_run = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search, unless the run resumes."""
        if trainer.ckpt_path is None:
            self.lr_find(trainer, pl_module)
        if self._ends_run:
            raise EndRun

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now. A subclass may call this in other hooks, such as ``on_train_epoch_start``.

        Raises:
            MisconfigurationException: there is not exactly one optimizer, or nowhere to set the rate.
        """
        if trainer.fast_dev_run:
            _log.info("fast_dev_run: no learning rate is searched")
            return
        if len(trainer.optimizers) != 1:
            raise MisconfigurationException(
                f"{type(self).__name__} searches the rate of one optimizer, and the module has {len(trainer.optimizers)}."
            )
        name = ""
        if self.update_attr:
            names = (self.attr_name,) if self.attr_name else ("lr", "learning_rate")
            name = find_name(trainer, names, type(self).__name__)
        self.optimal_lr = self._search(trainer)
        if name:
            self._use(trainer, name)

    def _search(self, trainer: Trainer) -> RateSearch:
        search = RateSearch(self.mode, self.min_lr, self.max_lr, self.num_training_steps)
        window: list[float] = []

        def set_rate(event: TrainBatchStart) -> None:
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = search.rate(trainer.global_step)

        def note_loss(event: TrainBatchEnd) -> None:
            loss = event.outputs.get("loss") if isinstance(event.outputs, dict) else None
            if loss is not None:
                window.append(loss.item())  # of an accumulating batch: its share of the window's
            step = trainer.global_step - 1
            if window and step >= len(search.results["lr"]):
                if not search.add(step, sum(window), self.early_stop_threshold):
                    trainer.should_stop = True
                window.clear()

        with trainer.trial(self.num_training_steps, validate=False) as trial:
            starts = trainer.bus.subscribe(TrainBatchStart, set_rate)
            ends = trainer.bus.subscribe(TrainBatchEnd, note_loss)
            try:
                trial.run()
            finally:
                starts.cancel()
                ends.cancel()
        return search

    def _use(self, trainer: Trainer, name: str) -> None:
        assert self.optimal_lr is not None  # the caller searched
        rate = self.optimal_lr.suggestion()
        if rate is None:
            return
        before = get_value(trainer, name)
        set_value(trainer, name, rate)
        _set_rates(trainer.optimizers[0], trainer, rate, before)
        _log.info("`%s` is %g, as the search suggests", name, rate)


def _set_rates(optimizer: Optimizer, trainer: Trainer, rate: float, before: object) -> None:
    """What ``configure_optimizers`` would have done with the new rate: scale all that was made from the old one."""
    if isinstance(before, int | float) and before > 0:
        factor = rate / before
        for group in optimizer.param_groups:
            for name in ("lr", "initial_lr", "max_lr", "min_lr"):  # the last two: OneCycleLR reads them from here
                if name in group:
                    group[name] = group[name] * factor
        for config in trainer.lr_scheduler_configs:
            for name in ("base_lrs", "max_lrs", "_last_lr"):
                values = getattr(config.scheduler, name, None)
                if isinstance(values, list):
                    setattr(config.scheduler, name, [one * factor for one in values])
        return
    if trainer.lr_scheduler_configs:
        warnings.warn(
            f"The learning rate was {before!r} before the search, so its schedulers cannot be adapted; they go on from their"
            " own rates.",
            UserWarning,
            stacklevel=2,
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
