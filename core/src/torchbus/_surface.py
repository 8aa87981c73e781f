"""What can be read from a trainer: its properties, apart from what it does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer
from torchbus_hookspecs import Callback, Checkpoint, Logger
from torchbus_hookspecs.progress_bar import ProgressBar

from ._optimizer import LightningOptimizer
from ._plugins import instance_name
from ._state import RunningStage, TrainerFn, TrainerStatus

if TYPE_CHECKING:
    from datetime import timedelta

    from torchbus_hookspecs import Profiler, Strategy

    from ._bus import Bus
    from ._loops.evaluation import EvaluationLoop
    from ._loops.fit import FitLoop
    from ._loops.prediction import PredictionLoop
    from ._metrics import Metrics
    from ._module import LightningModule
    from ._precision import Precision
    from ._state import TrainerState
    from ._wiring import Wiring

__all__ = ["TrainerSurface"]

DECISIVE = frozenset({
    "accumulate_grad_batches", "check_val_every_n_epoch", "fast_dev_run", "gradient_clip_val", "limit_train_batches",
    "log_every_n_steps", "max_steps", "optimizers", "received_sigterm", "should_stop", "val_check_interval",
})  # fmt: skip
"""What loops decide by. They do not look at it in every batch: who sets it tells them, as plugins that come or go do."""


class TrainerSurface:
    """The properties of a trainer, with Lightning's names. What they read is set in ``Trainer.__init__``."""

    accumulate_grad_batches: int
    bus: Bus
    check_val_every_n_epoch: int | None
    fit_loop: FitLoop
    gradient_clip_algorithm: str | None
    gradient_clip_val: int | float | None
    limit_train_batches: int | float
    lightning_optimizers: list[LightningOptimizer]
    limit_val_batches: int | float
    limit_test_batches: int | float
    limit_predict_batches: int | float
    log_every_n_steps: int
    max_epochs: int | None
    max_steps: int
    max_time: timedelta | None
    metrics: Metrics
    num_sanity_val_steps: int | float
    precision_plugin: Precision
    predict_loop: PredictionLoop
    profiler: Profiler
    state: TrainerState
    strategy: Strategy
    test_loop: EvaluationLoop
    val_check_interval: int | float | timedelta
    validate_loop: EvaluationLoop
    wiring: Wiring
    _default_root_dir: str
    _lightning_module: LightningModule | None
    _optimizers: list[Optimizer]

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        bus = self.__dict__.get("bus")
        if bus is not None and name in DECISIVE:
            bus.changes += 1

    # ---- where it is ---------------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """Epochs completed."""
        return self.fit_loop.progress.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps taken over all epochs."""
        return self.fit_loop.progress.global_step

    @property
    def is_last_batch(self) -> bool:
        """Whether the training batch under way is the last of its epoch."""
        return self.fit_loop.progress.is_last_batch

    @property
    def interrupted(self) -> bool:
        """Whether the last run ended with an exception."""
        return self.state.status == TrainerStatus.INTERRUPTED

    @property
    def estimated_stepping_batches(self) -> int | float:
        """How many optimizer steps a fit will take: for schedulers that need to know. Infinite if there is no limit."""
        if self.max_epochs == -1 and self.max_steps == -1:
            return float("inf")
        if self.max_epochs in (None, -1):
            return self.max_steps
        self.fit_loop.setup_data()
        batches = self.num_training_batches
        if batches == float("inf"):
            return self.max_steps
        per_epoch = math.ceil(batches / self.accumulate_grad_batches)
        steps = per_epoch * max(self.max_epochs or 0, 1)
        return steps if self.max_steps == -1 else min(steps, self.max_steps)

    # ---- what runs -----------------------------------------------------------------------------------------------------

    def _is_at(self, *stages: RunningStage) -> bool:
        return self.state.stage in stages

    def _go_to(self, stage: RunningStage, active: bool) -> None:
        if active:
            self.state.stage = stage
        elif self.state.stage == stage:
            self.state.stage = None

    @property
    def training(self) -> bool:
        """Whether training batches are run."""
        return self._is_at(RunningStage.TRAINING)

    @training.setter
    def training(self, active: bool) -> None:
        self._go_to(RunningStage.TRAINING, active)

    @property
    def validating(self) -> bool:
        """Whether validation batches are run, other than those of the sanity check."""
        return self._is_at(RunningStage.VALIDATING)

    @validating.setter
    def validating(self, active: bool) -> None:
        self._go_to(RunningStage.VALIDATING, active)

    @property
    def testing(self) -> bool:
        """Whether test batches are run."""
        return self._is_at(RunningStage.TESTING)

    @testing.setter
    def testing(self, active: bool) -> None:
        self._go_to(RunningStage.TESTING, active)

    @property
    def predicting(self) -> bool:
        """Whether predictions are made."""
        return self._is_at(RunningStage.PREDICTING)

    @predicting.setter
    def predicting(self, active: bool) -> None:
        self._go_to(RunningStage.PREDICTING, active)

    @property
    def sanity_checking(self) -> bool:
        """Whether the sanity check runs."""
        return self._is_at(RunningStage.SANITY_CHECKING)

    @sanity_checking.setter
    def sanity_checking(self, active: bool) -> None:
        self._go_to(RunningStage.SANITY_CHECKING, active)

    @property
    def evaluating(self) -> bool:
        """Whether validation or test batches are run."""
        return self._is_at(RunningStage.VALIDATING, RunningStage.TESTING, RunningStage.SANITY_CHECKING)

    @property
    def lightning_module(self) -> LightningModule:
        """The module of the run under way, or of the last one (``None`` before the first)."""
        return self._lightning_module  # type: ignore[return-value]  # None only before the first run

    # ---- optimizers ----------------------------------------------------------------------------------------------------

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers that ``configure_optimizers`` gave; empty before a fit. A new list replaces them."""
        return self._optimizers

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        self.lightning_optimizers = [
            one if isinstance(one, LightningOptimizer) else LightningOptimizer(one) for one in optimizers
        ]
        self._optimizers = [one.optimizer for one in self.lightning_optimizers]
        for one in self.lightning_optimizers:
            one.attach(self)  # type: ignore[arg-type]  # which only trainers derive from

    # ---- metrics -------------------------------------------------------------------------------------------------------

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """Metrics for callbacks, by name, with and without ``_step`` and ``_epoch``."""
        return self.metrics.callback_metrics

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """Metrics as loggers see them, by name."""
        return self.metrics.logged_metrics

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """Metrics for the progress bar, by name, as numbers."""
        return self.metrics.progress_bar_metrics

    # ---- plugins -------------------------------------------------------------------------------------------------------

    @property
    def callbacks(self) -> list[Callback]:
        """The callbacks in calling order. Changes to the list count from the next entry point on."""
        return self.wiring.callbacks

    @callbacks.setter
    def callbacks(self, callbacks: list[Callback]) -> None:
        self.wiring.callbacks = list(callbacks)
        self.wiring.synchronise()

    @property
    def checkpoint_callbacks(self) -> list[Checkpoint]:
        """The callbacks that write checkpoints."""
        return [one for one in self.callbacks if isinstance(one, Checkpoint)]

    @property
    def checkpoint_callback(self) -> Checkpoint | None:
        """The first callback that writes checkpoints."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[Callback]:
        """The callbacks that stop training early."""
        return [
            one for one in self.callbacks if any(instance_name(kind) == "early_stopping" for kind in type(one).__mro__)
        ]

    @property
    def early_stopping_callback(self) -> Callback | None:
        """The first callback that stops training early."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> Callback | None:
        """The progress bar."""
        return next((one for one in self.callbacks if isinstance(one, ProgressBar)), None)

    @property
    def loggers(self) -> list[Logger]:
        """The loggers in calling order."""
        return self.wiring.loggers

    @loggers.setter
    def loggers(self, loggers: list[Logger] | None) -> None:
        self.wiring.loggers = list(loggers or [])
        self.wiring.synchronise()

    @property
    def logger(self) -> Logger | None:
        """The first logger."""
        return next(iter(self.loggers), None)

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self.loggers = [logger] if logger is not None else []

    # ---- data ----------------------------------------------------------------------------------------------------------

    @property
    def num_training_batches(self) -> int | float:
        """Batches of a training epoch; infinite before the loader is known, or if it has no length."""
        return self.fit_loop.max_batches

    @property
    def val_check_batch(self) -> int | float | None:
        """Training batches from one validation to the next; infinite: to the epoch's end, whenever that is; ``None``: it
        goes by the time, or is not known before the first fit. May be set during a fit.
        """
        return self.fit_loop.interval.batches

    @val_check_batch.setter
    def val_check_batch(self, batches: int | float | None) -> None:
        self.fit_loop.interval.batches = batches
        self.bus.changes += 1

    @property
    def num_val_batches(self) -> list[int | float]:
        """Batches of a validation epoch, for each loader."""
        if self.state.fn == TrainerFn.VALIDATING:
            return self.validate_loop.max_batches
        return self.fit_loop.validation.max_batches

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of the sanity check, for each loader."""
        return [min(self.num_sanity_val_steps, one) for one in self.fit_loop.validation.max_batches]

    @property
    def num_test_batches(self) -> list[int | float]:
        """Batches of a test epoch, for each loader."""
        return self.test_loop.max_batches

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Batches of a prediction, for each loader."""
        return self.predict_loop.max_batches

    @property
    def train_dataloader(self) -> Any:
        """The training loader or loaders, as given."""
        return getattr(self.fit_loop.loader, "iterables", self.fit_loop.loader)

    @property
    def val_dataloaders(self) -> Any:
        """The validation loader or loaders, as given."""
        loop = self.validate_loop if self.state.fn == TrainerFn.VALIDATING else self.fit_loop.validation
        return getattr(loop.loader, "iterables", loop.loader)

    @property
    def test_dataloaders(self) -> Any:
        """The test loader or loaders, as given."""
        return getattr(self.test_loop.loader, "iterables", self.test_loop.loader)

    @property
    def predict_dataloaders(self) -> Any:
        """The prediction loader or loaders, as given."""
        return getattr(self.predict_loop.loader, "iterables", self.predict_loop.loader)

    @property
    def has_validation_loader(self) -> bool:
        """Whether a fit has a loader to validate on: given, or provided by datamodule, module or a plugin."""
        if self.fit_loop.validation.given is not None:
            return True
        return bool(self.bus.implementations("val_dataloader"))

    @property
    def enable_validation(self) -> bool:
        """Whether a fit validates: there is a loader, a step, and no limit of zero."""
        if self._lightning_module is None or self.limit_val_batches == 0:
            return False
        return self.bus.is_provided("validation_step") and self.has_validation_loader

    # ---- devices -------------------------------------------------------------------------------------------------------

    @property
    def global_rank(self) -> int:
        """The number of this process among all."""
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine."""
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        """The number of this machine."""
        return self.strategy.node_rank

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self.strategy.world_size

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes files and prints."""
        return self.strategy.is_global_zero

    @property
    def num_devices(self) -> int:
        """How many devices of this machine are used."""
        return len(self.strategy.parallel_devices)

    @property
    def device_ids(self) -> list[int]:
        """The numbers of these devices."""
        numbers = [getattr(one, "index", None) for one in self.strategy.parallel_devices]
        return [place if number is None else number for place, number in enumerate(numbers)]

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any] | None:
        """What a sampler needs to give each rank its part; ``None`` with one process."""
        if self.world_size == 1:
            return None
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    @property
    def precision(self) -> str:
        """The precision's name."""
        return self.precision_plugin.precision

    @property
    def scaler(self) -> Any:
        """The gradient scaler of ``16-mixed``."""
        return self.precision_plugin.scaler

    # ---- folders -------------------------------------------------------------------------------------------------------

    @property
    def default_root_dir(self) -> str:
        """Where files go if nothing else is said."""
        return self._default_root_dir

    @property
    def log_dir(self) -> str | None:
        """The folder of the first logger's version, the same on every rank."""
        folder = self.default_root_dir if self.logger is None else self.logger.log_dir or self.logger.save_dir
        return self.strategy.broadcast(folder)
