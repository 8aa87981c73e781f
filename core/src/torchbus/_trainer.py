"""The trainer: settings in, loops wired, and the surface that users know."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torch import nn
from torchbus_hookspecs import Strategy
from torchbus_hookspecs.events import CheckpointCommitted, Event
from torchbus_hookspecs.settings import Duration, validated

from . import _run
from ._arguments import (
    AcceleratorChoice,
    Count,
    DeviceChoice,
    Fraction,
    Interval,
    NotNegative,
    NumberOfRuns,
    Positive,
    check_barebones,
    check_clipping,
    check_unavailable,
    check_validation,
)
from ._bus import Bus, Subscription
from ._checkpoint import dump
from ._checkpoint_io import save_checkpoint
from ._devices import choose_accelerator, choose_strategy
from ._loops.evaluation import EvaluationLoop
from ._loops.fit import FitLoop
from ._loops.prediction import PredictionLoop
from ._messages import show_messages
from ._metrics import DroppedMetrics, Metrics
from ._plugins import Enabler
from ._precision import choose_precision, skipped_init
from ._profiling import choose_profiler, timed
from ._report import fault_report, results_table
from ._requirements import check_model, split_data
from ._rng import set_determinism
from ._silent_logger import SilentLogger
from ._state import TrainerFn, TrainerState
from ._subscriptions import refuse_wrong_event
from ._surface import TrainerSurface
from ._time_limit import TimeLimit
from ._trial import Trial, trial
from ._wiring import Wiring

if TYPE_CHECKING:
    from ._datamodule import LightningDataModule
    from ._module import LightningModule
    from ._types import LRSchedulerConfig

__all__ = ["Trainer"]

E = TypeVar("E", bound=Event)

show_messages()


@validated
class Trainer(TrainerSurface):
    """Trains, validates, tests and predicts with a ``LightningModule``.

    Args:
        accelerator: the kind of device, by plugin name or as an instance; ``"auto"``: the best one available.
        strategy: how processes work together, by plugin name or as an instance.
        devices: how many devices, or which; ``"auto"``: what the accelerator recommends.
        num_nodes: how many machines.
        precision: ``"32-true"`` (default), ``"16-mixed"``, ``"bf16-mixed"``, ``"16-true"``, ``"bf16-true"``, ``"64-true"``.
        logger: loggers by name, as instances, or both; default: TensorBoard where installed, else CSV; ``False``: none.
        callbacks: callbacks as instances, names, or ``{name: settings}``.
        plugins: plugins of any kind: names, ``{name: settings}``, instances, modules of hookimpls,
            ``"package.module:attribute"``, paths of ``.py`` files, or ``"no:NAME"`` to switch one off.
        fast_dev_run: run one batch (or that many) of everything, without checkpoints, and with a logger that keeps nothing.
        max_epochs, min_epochs: when to stop at the latest and at the earliest; ``max_epochs=-1``: no limit.
        max_steps, min_steps: the same in optimizer steps.
        max_time: the same as a duration: a ``timedelta``, ``"DD:HH:MM:SS"``, ``"1h30m"`` or ``{"hours": 1}``.
        limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches: batches of an epoch, as a whole
            number or as a fraction of all.
        overfit_batches: train and validate on that many batches (or that fraction), in order.
        val_check_interval: validate after that many training batches, after each such fraction of an epoch, or whenever
            that much time has passed since the last validation (``timedelta``, ``"DD:HH:MM:SS"``, ``"1h30m"`` or
            ``{"minutes": 30}``), looked at after each batch.
        check_val_every_n_epoch: validate in each n-th epoch only, also where ``val_check_interval`` is a time; ``None``:
            ``val_check_interval`` counts over all epochs.
        num_sanity_val_steps: validation batches run before training; -1: all; default: 2.
        log_every_n_steps: how often step values go to the loggers; default: 50.
        enable_checkpointing, enable_progress_bar, enable_model_summary: whether the default plugin of each is used.
        accumulate_grad_batches: batches whose gradients are added up for one optimizer step.
        gradient_clip_val: the largest norm, or absolute value, of gradients.
        gradient_clip_algorithm: ``"norm"`` (default) or ``"value"``.
        deterministic: use only deterministic operations; ``"warn"``: say where there is none.
        benchmark: let cuDNN time its algorithms.
        inference_mode: whether validation, test and prediction run under ``torch.inference_mode``.
        use_distributed_sampler: give each rank its own part of the data.
        profiler: a profiler by name or as an instance.
        detect_anomaly: check every gradient, slowly.
        barebones: nothing but the loop.
        sync_batchnorm: share batch statistics among ranks.
        reload_dataloaders_every_n_epochs: ask for new loaders after that many epochs; 0: never.
        default_root_dir: where files go; default: the current folder.
        enable_autolog_hparams: whether loggers are told hyperparameters.
        model_registry: kept for Lightning's sake; not used.

    Raises:
        MisconfigurationException: arguments are wrong; the message lists all of them.
        TypeError: an argument is unknown, or ``gradient_clip_val`` is no number.
        ValueError: the accelerator, the strategy or the precision is unknown.
    """

    # one line for arguments that belong together
    # fmt: off
    def __init__(
        self, *,
        accelerator: AcceleratorChoice = "auto", strategy: str | Strategy = "auto",
        devices: DeviceChoice = "auto", num_nodes: Positive = 1, precision: Any = None,
        logger: Any = None, callbacks: Any = None, fast_dev_run: NumberOfRuns = False,
        max_epochs: Count | None = None, min_epochs: Count | None = None,
        max_steps: Count = -1, min_steps: Count | None = None, max_time: Duration | None = None,
        limit_train_batches: Fraction | None = None, limit_val_batches: Fraction | None = None,
        limit_test_batches: Fraction | None = None, limit_predict_batches: Fraction | None = None,
        overfit_batches: Fraction = 0.0, val_check_interval: Interval | None = None,
        check_val_every_n_epoch: int | None = 1, num_sanity_val_steps: Count | None = None,
        log_every_n_steps: NotNegative | None = None, enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None, enable_model_summary: bool | None = None,
        accumulate_grad_batches: NotNegative = 1, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None,
        deterministic: bool | Literal["warn"] | None = None, benchmark: bool | None = None,
        inference_mode: bool = True, use_distributed_sampler: bool = True, profiler: Any = None,
        detect_anomaly: bool = False, barebones: bool = False, plugins: Any = None, sync_batchnorm: bool = False,
        reload_dataloaders_every_n_epochs: NotNegative = 0, default_root_dir: str | Path | None = None,
        enable_autolog_hparams: bool = True, model_registry: str | None = None,
    ) -> None:
        defaults = {"checkpoint": enable_checkpointing, "progress_bar": enable_progress_bar, "summary": enable_model_summary}
        if barebones:
            check_barebones(locals())
            logger, defaults = False, dict.fromkeys(defaults, False)
            num_sanity_val_steps = log_every_n_steps = 0
        check_clipping("Trainer", gradient_clip_val, gradient_clip_algorithm)
        check_unavailable(num_nodes)
        check_validation(val_check_interval, check_val_every_n_epoch)
        self.barebones, self.fast_dev_run, self.num_nodes = barebones, fast_dev_run, num_nodes
        self.max_epochs, self.min_epochs, self.max_time = max_epochs, min_epochs, max_time
        self.max_steps, self.min_steps, self.overfit_batches = max_steps, min_steps, overfit_batches
        self.limit_train_batches = _default(overfit_batches or limit_train_batches, 1.0)
        self.limit_val_batches = _default(overfit_batches or limit_val_batches, 1.0)
        self.limit_test_batches = _default(limit_test_batches, 1.0)
        self.limit_predict_batches = _default(limit_predict_batches, 1.0)
        self.val_check_interval = _default(val_check_interval, 1.0)
        self.check_val_every_n_epoch = check_val_every_n_epoch
        self.num_sanity_val_steps = inf if num_sanity_val_steps == -1 else _default(num_sanity_val_steps, 2)
        self.log_every_n_steps, self.accumulate_grad_batches = _default(log_every_n_steps, 50), accumulate_grad_batches
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = str(gradient_clip_algorithm).lower() if gradient_clip_algorithm else None
        self.inference_mode, self.detect_anomaly = inference_mode, detect_anomaly
        self.use_distributed_sampler, self.sync_batchnorm = use_distributed_sampler, sync_batchnorm
        self.reload_dataloaders_every_n_epochs = reload_dataloaders_every_n_epochs
        self.enable_autolog_hparams = enable_autolog_hparams
        self._default_root_dir = os.fspath(_default(default_root_dir, os.getcwd()))
        self._forget_runs()
        set_determinism(deterministic, benchmark)
        enabler = Enabler(self._default_root_dir)
        plugins = self._choose_hardware(accelerator, strategy, devices, precision, plugins, enabler)
        self._build_loops()
        if fast_dev_run:
            self._limit_everything(int(fast_dev_run))
        self.profiler = choose_profiler(profiler, enabler)
        self._enable_plugins(callbacks, plugins, logger, defaults, enabler)

    # fmt: on

    def _forget_runs(self) -> None:
        """The state before the first run."""
        self.state = TrainerState()
        self.should_stop = self.received_sigterm = False
        self.ckpt_path: str | None = None
        self.monitored: list[tuple[str, str]] = []
        self.absent_states: dict[str, Any] = {}
        self.datamodule: LightningDataModule | None = None
        self._lightning_module: LightningModule | None = None
        self.model: nn.Module | None = None
        self.optimizers = []
        self.lr_scheduler_configs: list[LRSchedulerConfig] = []

    def _enable_plugins(
        self, callbacks: Any, plugins: Any, logger: Any, defaults: dict[str, bool | None], enabler: Enabler
    ) -> None:
        """Who takes part: what the script names, and the default of each kind where it names none."""
        self.wiring = Wiring(self, self.bus, enabler)
        if self.max_time is not None:
            self.wiring.others.append(TimeLimit(self.max_time))
        without = frozenset({"checkpoint"} if self.fast_dev_run else ())
        self.wiring.enable_all(callbacks, plugins, False if self.fast_dev_run else logger, defaults, without=without)
        if self.fast_dev_run and logger is not False:
            self.loggers = [SilentLogger()]

    def _choose_hardware(
        self, accelerator: Any, strategy: Any, devices: Any, precision: Any, plugins: Any, enabler: Enabler
    ) -> Any:
        """Where to compute, and in which number format; return the plugins that have no part in it."""
        self.accelerator, chosen = choose_accelerator(accelerator, devices, enabler.offers)
        self.strategy = choose_strategy(strategy, self.accelerator, chosen, enabler.offers)
        device_type = self.strategy.root_device.type
        self.precision_plugin, rest = choose_precision(precision, plugins, device_type)
        return rest

    def _build_loops(self) -> None:
        """The bus, the metrics, and the loops that emit onto the one and write into the other."""
        self.bus = Bus(rank=self.strategy.global_rank)
        self.metrics = (DroppedMetrics if self.barebones else Metrics)(self.bus.scope)
        if self.strategy.world_size > 1:
            self.metrics.synchronise = lambda value, how: self.strategy.reduce(value, reduce_op=how)
        self.fit_loop = FitLoop(self)
        self.validate_loop = EvaluationLoop(self, "validation")
        self.test_loop = EvaluationLoop(self, "test")
        self.predict_loop = PredictionLoop(self)

    def _limit_everything(self, batches: int) -> None:
        """``fast_dev_run``: that many batches of everything, one epoch, nothing before it."""
        if not self.overfit_batches:
            self.limit_train_batches = self.limit_val_batches = batches
        self.limit_test_batches = self.limit_predict_batches = batches
        self.max_steps, self.max_epochs, self.num_sanity_val_steps = batches, 1, 0
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1

    # ---- entry points --------------------------------------------------------------------------------------------------

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train.

        Args:
            model: what to train.
            train_dataloaders: a loader, or several in lists and dictionaries; default: those of datamodule or module.
            val_dataloaders: the same for validation.
            datamodule: where loaders come from.
            ckpt_path: a checkpoint to go on from: a path, ``"best"``, ``"last"``, or ``"hpc"`` (of a run that was asked to go).
            weights_only: whether only plain values may be unpickled from it; default: yes.
        """
        _run.begin(self, TrainerFn.FITTING, check_model(model, "fit"))

        def entry() -> None:
            loaders, data = split_data("fit", train_dataloaders, datamodule, val_dataloaders)
            self.fit_loop.begin_entry(loaders, val_dataloaders)
            _run.resolve_limits(self)
            _run.attach(self, data)
            _run.run(self, lambda: _run.fit_body(self), ckpt_path, weights_only)

        _run.guarded(self, entry)

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run one validation epoch; return what was logged, one dictionary for each loader.

        Args:
            model: what to validate; default: the module of the last run, at its best checkpoint.
            dataloaders: a loader or several; default: those of datamodule or module.
            ckpt_path: a checkpoint to load first: a path, ``"best"`` or ``"last"``.
            verbose: whether results are printed.
            datamodule: where loaders come from.
            weights_only: whether only plain values may be unpickled from it; default: yes.
        """
        return self._evaluate(
            TrainerFn.VALIDATING, self.validate_loop, model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run one test epoch; see ``validate``."""
        return self._evaluate(
            TrainerFn.TESTING, self.test_loop, model, dataloaders, ckpt_path, verbose, datamodule, weights_only
        )

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> list[Any] | None:
        """Predict; return a list of what ``predict_step`` returned, or a list of them for each of several loaders.

        Args:
            model: what to predict with; default: the module of the last run, at its best checkpoint.
            dataloaders: a loader or several; default: those of datamodule or module.
            datamodule: where loaders come from.
            return_predictions: whether predictions are kept and returned; default: yes.
            ckpt_path: a checkpoint to load first: a path, ``"best"`` or ``"last"``.
            weights_only: whether only plain values may be unpickled from it; default: yes.
        """
        loop = self.predict_loop

        def prepare(given: Any) -> None:
            loop.given, loop.return_predictions = given, return_predictions is not False
            loop.inference_mode = self.inference_mode

        return _run.enter(
            self, TrainerFn.PREDICTING, model, dataloaders, datamodule, ckpt_path, weights_only, prepare, loop.run
        )

    def _evaluate(
        self,
        fn: TrainerFn,
        loop: EvaluationLoop,
        model: LightningModule | None,
        dataloaders: Any,
        ckpt_path: str | Path | None,
        verbose: bool,
        datamodule: LightningDataModule | None,
        weights_only: bool | None,
    ) -> list[dict[str, float]]:
        def prepare(given: Any) -> None:
            loop.given, loop.verbose, loop.inference_mode = given, verbose, self.inference_mode
            loop.begin_entry()

        return _run.enter(self, fn, model, dataloaders, datamodule, ckpt_path, weights_only, prepare, loop.run)

    # ---- checkpoints ---------------------------------------------------------------------------------------------------

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool | None = None, storage_options: Any = None
    ) -> None:
        """Write a checkpoint of this moment.

        Args:
            filepath: the file.
            weights_only: leave out what only training needs.
            storage_options: kept for Lightning's sake; only local files are written.

        Raises:
            AttributeError: there is no module yet.
            CheckpointError: the file could not be written; an old one is untouched.
        """
        if self._lightning_module is None:
            raise AttributeError(
                "There is nothing to save yet: saving a checkpoint is only possible if a model is attached."
                " To fix: pass one to fit, validate, test or predict first."
            )
        timed(self, "save_checkpoint", self._write_checkpoint)(Path(filepath), bool(weights_only))
        self.bus.emitter(CheckpointCommitted)(self, self.lightning_module, str(filepath), bool(weights_only))

    def _write_checkpoint(self, path: Path, weights_only: bool) -> None:
        checkpoint = dump(self, weights_only)
        if self.is_global_zero:
            save_checkpoint(checkpoint, path)
        self.strategy.barrier("save_checkpoint")

    def when_preempted(self) -> None:
        """The loops call this between batches, once the process was asked to go."""
        _run.preempt(self)

    # ---- trials --------------------------------------------------------------------------------------------------------

    def trial(self, steps: int, validate: bool = True) -> AbstractContextManager[Trial]:
        """Inside, the run under way may be tried for some steps, heard by the module alone; afterwards all is as it was.

        For plugins that look for a setting before a run, in ``on_fit_start`` or later, when the optimizers are there.
        Weights, optimizers, limits, metrics and random generators come back as they were; nothing is written to disk.
        The module's and datamodule's own attributes do not: a setting that was tried is to be put back by who tried it.

            with trainer.trial(steps=3) as trial:
                trial.run()

        Args:
            steps: optimizer steps of a fit, in as many epochs as that takes; batches of each loader otherwise.
            validate: whether a fit validates too, for at most that many batches.
        """
        return trial(self, steps, validate)

    # ---- events --------------------------------------------------------------------------------------------------------

    def before_batch(self, function: Callable[[], None], skip: int = 0) -> None:
        """Call ``function`` once, right before the training batch that follows ``skip`` others.

        For plugins that look at a run only now and then, from ``on_train_start`` on: they cost the batches in between
        nothing, where ``on_train_batch_start`` would be called in each. Whoever wants to be called again asks again.

        Args:
            function: takes no argument. Where it is a method of a plugin, its failures are treated as in the plugin's hooks.
            skip: the batches before that one, of this epoch and the following. What is due after the run's last batch
                is not called.
        """
        loop = self.fit_loop
        loop.alarms.set(loop.progress.total_batches + skip, function)

    def on(
        self,
        event: type[E],
        *,
        every: int = 1,
        once: int | None = None,
        before: int | None = None,
        after: int = 0,
    ) -> Callable[[Callable[[E], object]], Subscription[E]]:
        """A decorator that subscribes a function to an event; see ``Bus.subscribe`` for the filters."""
        refuse_wrong_event(event, "trainer.on()")

        def subscribe(handler: Callable[[E], object]) -> Subscription[E]:
            return self.bus.subscribe(event, handler, every=every, once=once, before=before, after=after)

        return subscribe

    # ---- reports -------------------------------------------------------------------------------------------------------

    def show_results(self, results: list[dict[str, float]], stage: str) -> None:
        """Print what an evaluation logged."""
        if any(results):
            self.print(results_table(results, stage))

    def report_faults(self) -> None:
        """At the end of a run: say which plugins were switched off, and why."""
        report = fault_report(self.bus.quarantined)
        if report:
            self.print(report)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without breaking the progress bar."""
        if not self.is_global_zero:
            return
        bar: Any = self.progress_bar_callback
        (bar.print if bar is not None else print)(*args, **kwargs)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Inside, new modules are made on this trainer's device and in its precision.

        Args:
            empty_init: leave parameters as memory happens to be, for weights that are loaded anyway.
        """
        with (
            self.precision_plugin.module_init_context(),
            self.strategy.root_device,
            skipped_init() if empty_init else nullcontext(),
        ):
            yield


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value
