"""The training loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs.events import (
    TrainBatchEnd,
    TrainBatchStart,
    TrainEnd,
    TrainEpochEnd,
    TrainEpochStart,
    TrainStart,
    ValidationModelZeroGrad,
)

from .._data.length import limited_length
from .._data.source import combine, request_loader, set_epoch, without_shuffling
from .._profiling import timed
from .._results import Results
from .._rng import capture_rng, restore_rng
from .._state import RunningStage
from .alarms import Alarms
from .evaluation import EvaluationLoop
from .feed import Fetcher, make_transfer
from .interval import ValidationInterval
from .limits import OfTrainer
from .logging import LoggerOutput, warn_of_rare_logging
from .optimization import Optimization
from .paths import FitLoopPaths
from .plain import plain_until, run_plain_batches
from .progress import FitProgress
from .schedulers import Schedulers

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["FitLoop"]

INFINITY = float("inf")


class FitLoop(FitLoopPaths):
    """Trains for epochs of batches, and validates when it is time.

    Attributes:
        progress: where the run is.
        max_batches: batches of an epoch; may be infinite.
        loader: what is trained on, as given.
        alarms: what to call at a later batch; those of earlier runs are forgotten.
        interval: when to validate inside an epoch.
    """

    optimization: Optimization
    max_epochs, min_epochs, max_steps, min_steps = OfTrainer(), OfTrainer(), OfTrainer(), OfTrainer()

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.progress = FitProgress()
        self.results = Results(training=True)
        self.alarms = Alarms(trainer.bus)
        self.validation = EvaluationLoop(trainer, "validation")
        self.given: Any = None
        self.loader: Any = None
        self.max_batches: int | float = INFINITY
        self.interval = ValidationInterval(self)
        self.fetcher: Fetcher | None = None
        self._is_reading = False
        self._is_loaded = False
        self._last_reload = 0
        self._resume: dict[str, Any] = {}
        self._is_resuming = False
        self._rng_before_validation: dict[str, Any] | None = None

    # ---- the run -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train until there is a reason to end."""
        trainer = self.trainer
        self.setup_data()
        self._bind()
        self._take_up()
        if trainer.limit_train_batches == 0 or (self.done and not self._is_resuming):
            self.metrics.results = None
            self._restore_rng()
            return
        assert self.fetcher is not None  # setup_data made it
        self._start_fetching(self.fetcher)
        if self.validates_in_this_epoch() and self.validation.loader is None:
            self.validation.setup_data()
        self.interval.begin(self._resume.get("since_validation_s", 0.0))
        self.train_start(trainer, trainer.lightning_module)
        self._restore_rng()
        while not self.done or self._is_resuming:
            self.run_epoch(self.fetcher)
        self.progress.phase = "idle"
        self.train_end(trainer, trainer.lightning_module)

    def run_epoch(self, fetcher: Fetcher) -> None:
        """One epoch, or the rest of one that was interrupted."""
        trainer, module, progress = self.trainer, self.trainer.lightning_module, self.progress
        is_resuming, self._is_resuming = self._is_resuming, False
        if not is_resuming:
            progress.begin_epoch()
            progress.phase = "epoch_start"
            fetcher = self._reloaded(fetcher)
            set_epoch(self.loader, progress.epoch)
            self.train_epoch_start(trainer, module)
            if not self._is_reading:
                self._is_reading = True
                fetcher.start()
        self._prepare_epoch()
        if progress.phase in ("validation", "after_validation"):
            self.finish_batch(self.is_accumulating(), validate=progress.phase == "validation")
        progress.phase = "batch"
        self.run_all_batches(fetcher)
        self.end_epoch()

    def run_batches(self, fetcher: Fetcher) -> None:
        """The batches of an epoch."""
        progress, alarms = self.progress, self.alarms
        goes_on = True
        while goes_on and not self._is_epoch_over():
            if progress.earlier_batches + progress.batches_ready >= alarms.due:
                alarms.ring(progress.total_batches)
                continue  # perhaps to the end of the epoch
            until = plain_until(self) if self.optimization.is_plain() else 0
            if progress.batches_ready < until:
                goes_on = run_plain_batches(self, fetcher, until)
            else:
                goes_on = self.run_batch(fetcher)

    def run_batch(self, fetcher: Fetcher) -> bool:
        """One batch; tell whether the epoch goes on."""
        batch = self.next_batch(fetcher.batches, _NOTHING)
        return batch is not _NOTHING and self.run_fetched(batch, fetcher)

    def run_fetched(self, batch: Any, fetcher: Fetcher) -> bool:
        """One batch, once it is there; tell whether the epoch goes on."""
        trainer, module, progress, results = self.trainer, self.module, self.progress, self.results
        progress.is_last_batch = fetcher.done
        batch = self.transfer(batch, 0)
        batch_idx = progress.batches_ready
        progress.batches_ready = batch_idx + 1
        results.batch, results.in_batches = batch, True
        # without a batch neither start nor step, but an end: whoever counts ends counts all batches that were fetched
        if batch is None:
            _warn_of_no_batch()
        elif -1 in self.train_batch_start(trainer, module, batch, batch_idx):
            return self.skip_epoch()
        return self.train_batch(batch, batch_idx, fetcher.done or batch_idx + 1 >= self.max_batches)

    def train_batch(self, batch: Any, batch_idx: int, is_last: bool) -> bool:
        """Train on a batch, and do what follows."""
        trainer, module, progress = self.trainer, self.module, self.progress
        accumulate = trainer.accumulate_grad_batches
        is_accumulating = accumulate > 1 and (batch_idx + 1) % accumulate != 0 and not is_last
        outputs = self.train_on(batch, batch_idx, is_accumulating) if batch is not None else None
        if self.schedulers.configs:
            self._step_schedulers(is_accumulating, is_last)
        progress.batches_done += 1
        progress.phase = "validation"
        self.train_batch_end(trainer, module, outputs, batch, batch_idx)
        self.log_step(is_accumulating)
        self.finish_batch(is_accumulating, validate=True)
        return True

    def skip_epoch(self) -> bool:
        """The batch that just began, and the rest of its epoch, are not trained on; tell that the epoch does not go on."""
        self.progress.batches_done += 1
        self._step_schedulers(is_accumulating=False, is_last=True)
        return False

    def log_step(self, is_accumulating: bool) -> None:
        """Hand the loggers what a batch has logged, when it is their step."""
        if self.has_loggers and not (is_accumulating and self.module.automatic_optimization) and self.output.is_due():
            self.output.send(self.metrics.collect())

    def finish_batch(self, is_accumulating: bool, validate: bool) -> None:
        """What follows a batch: validation when it is time, schedulers that follow a metric, the loggers' step."""
        trainer, progress = self.trainer, self.progress
        if validate and self.is_validated_epoch and self.interval.is_due():
            self._validate(is_accumulating)
        progress.phase = "after_validation"
        if not is_accumulating:
            if self.schedulers.configs:
                self.schedulers.update("step", plateau=True)
            progress.batches_stepped += 1
        progress.phase = "batch"
        if trainer.should_stop:
            self.output.save()
        if trainer.received_sigterm:
            trainer.when_preempted()

    def end_epoch(self) -> None:
        """Close an epoch: its hooks, its metrics, its schedulers."""
        trainer, module, progress, metrics = self.trainer, self.trainer.lightning_module, self.progress, self.metrics
        metrics.end_batches()
        self._is_reading = False
        progress.epochs_processed += 1
        progress.phase = "epoch_end"
        self.train_epoch_end(trainer, module)
        self._close_epoch()

    def _close_epoch(self) -> None:
        progress, metrics = self.progress, self.metrics
        logged = metrics.collect()
        if self.is_epoch_through():
            self.schedulers.update("epoch", plateau=True)
        # epoch values belong to the last step that was taken, not to the one to come
        progress.batches_stepped -= 1
        self.output.send(logged)
        progress.batches_stepped += 1
        self.results.reset()
        progress.epoch = progress.epochs_processed
        progress.phase = "idle"
        if self.trainer.received_sigterm:
            self.trainer.when_preempted()

    # ---- preparation -----------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        """Look up once what every batch uses."""
        trainer = self.trainer
        bus = trainer.bus
        self.train_start = bus.emitter(TrainStart)
        self.train_end = bus.emitter(TrainEnd)
        self.train_epoch_start = bus.emitter(TrainEpochStart)
        self.train_epoch_end = bus.emitter(TrainEpochEnd)
        self.train_batch_start = bus.emitter(TrainBatchStart)
        self.train_batch_end = bus.emitter(TrainBatchEnd)
        self.transfer = make_transfer(trainer)
        self.optimization = Optimization(trainer)
        self.next_batch: Callable[..., Any] = timed(trainer, "[_TrainingEpochLoop].train_dataloader_next", next)
        self.train_on = timed(trainer, "run_training_batch", self.optimization.run)
        self.run_all_batches = timed(trainer, "run_training_epoch", self.run_batches)
        self.alarms.clear()
        self.schedulers = Schedulers(trainer)
        self.output = LoggerOutput(trainer)
        self.has_loggers = self.output.is_wanted()
        self.module = trainer.lightning_module
        self.metrics = trainer.metrics
        self.metrics.results = self.results
        self.results.reset()
        self._is_reading, self._rng_before_validation = False, None

    def begin_entry(self, loaders: Any, val_loaders: Any) -> None:
        """A fit begins, with these loaders or (``None``) with those that hooks provide."""
        self.given, self.validation.given = loaders, val_loaders
        self._is_loaded, self.max_batches = False, INFINITY
        self.validation.begin_entry()

    def setup_data(self) -> None:
        """Ask for the loader, and work out how many of its batches an epoch has and after which to validate.

        Raises:
            ValueError: ``val_check_interval`` is longer than an epoch.
            MisconfigurationException: there is no loader, or a limit does not fit it.
        """
        trainer = self.trainer
        if (self._is_loaded and not self._is_reload_due()) or trainer.limit_train_batches == 0:
            return
        loader = request_loader(trainer, "train", self.given)
        self.loader = without_shuffling(loader, "train") if trainer.overfit_batches else loader
        self._is_loaded = True
        self._last_reload = self.progress.epoch
        combined = combine(self.loader, "max_size_cycle")
        length = combined.total_length()
        self.max_batches = limited_length(length, trainer.limit_train_batches, "limit_train_batches")
        if combined.mode == "sequential":
            raise ValueError(
                "Training cannot go through loaders one after the other (CombinedLoader mode 'sequential')."
                " To fix: use 'min_size', 'max_size' or 'max_size_cycle', or concatenate the datasets."
            )
        self.fetcher = Fetcher(combined.as_one(), self.max_batches)
        self.interval.settle()
        warn_of_rare_logging(trainer, self.max_batches)

    def _is_reload_due(self) -> bool:
        every = self.trainer.reload_dataloaders_every_n_epochs
        return bool(every) and self.progress.epoch - self._last_reload >= every

    def _reloaded(self, fetcher: Fetcher) -> Fetcher:
        """The fetcher to go on with: another one when it is time for fresh loaders."""
        self.setup_data()
        assert self.fetcher is not None  # setup_data made it
        self._is_reading = self._is_reading and self.fetcher is fetcher
        return self.fetcher

    def _prepare_epoch(self) -> None:
        """Decide what holds for every batch of the coming epoch."""
        self.is_validated_epoch = self.validates_in_this_epoch()
        self.optimization.look()

    # ---- going on where a checkpoint ended -----------------------------------------------------------------------------

    def restore(self, progress: FitProgress, resume: dict[str, Any]) -> None:
        """Take the place that a checkpoint wrote down."""
        for name in progress.__slots__:
            setattr(self.progress, name, getattr(progress, name))
        self._resume = resume
        self._is_resuming = progress.phase in ("batch", "validation", "after_validation")

    @property
    def is_resuming(self) -> bool:
        """Whether the next epoch is the rest of an interrupted one."""
        return self._is_resuming

    def resume_state(self) -> dict[str, Any]:
        """What a checkpoint needs beside the counters to go on exactly: generators and the loader's position."""
        # the moment to go on from is another one than this where validation begins anew, or an earlier checkpoint is taken up
        module = self.trainer.lightning_module
        rng = self._rng_before_validation or self._resume.get("rng") or capture_rng()
        state: dict[str, Any] = {"rng": rng, "metrics": self.trainer.metrics.state_dict(self.results, module)}
        if self.fetcher is not None and self._is_reading:
            state["loader"] = self.fetcher.position()
        elapsed_s = self.interval.elapsed_s()
        if elapsed_s is not None:
            state["since_validation_s"] = elapsed_s
        if self._has_gradients():
            gradients = ((name, one.grad) for name, one in module.named_parameters())
            state["gradients"] = {name: one for name, one in gradients if one is not None}
        return state

    def _has_gradients(self) -> bool:
        """Whether an accumulation window is open, the batch under way aside."""
        progress = self.progress
        if progress.phase not in ("batch", "validation", "after_validation"):
            return False
        if progress.batches_ready == progress.batches_done:
            return self.is_accumulating()
        return progress.batches_done % self.trainer.accumulate_grad_batches != 0

    def _take_up(self) -> None:
        """Take back the metrics of an interrupted run; if an epoch was just being closed, do what was left of that."""
        progress, resume = self.progress, self._resume
        if "metrics" in resume:
            self.metrics.load_state_dict(resume["metrics"], self.results, self.module)
            if progress.phase == "epoch_end":
                self.metrics.collect()
                if self.is_epoch_through():
                    self.schedulers.update("epoch", plateau=True)
                self.results.reset()
        progress.epoch = progress.epochs_processed

    def _start_fetching(self, fetcher: Fetcher) -> None:
        resume, progress = self._resume, self.progress
        if self._is_resuming or "loader" in resume:
            self._is_reading = True
            set_epoch(self.loader, progress.epoch)
            fetcher.resume(resume.get("loader", {}), progress.batches_done)
        elif "rng" not in resume:
            self._is_reading = True
            fetcher.start()
        if not self._is_resuming:
            return
        progress.batches_ready = progress.batches_done  # a batch that was begun and not done is begun again
        progress.is_last_batch = fetcher.done
        gradients = resume.get("gradients", {})
        for name, parameter in self.trainer.lightning_module.named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)

    def _restore_rng(self) -> None:
        if "rng" in self._resume:
            restore_rng(self._resume["rng"])
        self._resume = {}

    # ---- decisions -------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether there is nothing (more) to train."""
        trainer, progress = self.trainer, self.progress
        if self.max_batches == 0 or self._is_at_max_steps():
            return True
        if trainer.max_epochs not in (None, -1) and progress.epochs_processed >= (trainer.max_epochs or 0):
            return True
        return bool(trainer.should_stop) and self.can_stop_early

    @property
    def can_stop_early(self) -> bool:
        """Whether the minimums of epochs and steps are met, so that a request to stop counts."""
        trainer, progress = self.trainer, self.progress
        met_epochs = not trainer.min_epochs or progress.epochs_processed >= trainer.min_epochs
        met_steps = not trainer.min_steps or progress.global_step >= trainer.min_steps
        return met_epochs and met_steps

    def is_epoch_through(self) -> bool:
        """Whether all batches of the epoch were begun."""
        return self.progress.is_last_batch or self.progress.batches_ready >= self.max_batches

    def is_accumulating(self) -> bool:
        """Whether the batch under way leaves the optimizer alone: it ends no window, nor the epoch."""
        accumulate = self.trainer.accumulate_grad_batches
        if accumulate == 1:
            return False
        return self.progress.batches_ready % accumulate != 0 and not self.is_epoch_through()

    def _is_at_max_steps(self) -> bool:
        max_steps = self.trainer.max_steps
        return max_steps != -1 and self.progress.global_step >= max_steps

    def _is_epoch_over(self) -> bool:
        trainer, progress = self.trainer, self.progress
        if progress.is_last_batch or progress.batches_ready >= self.max_batches:
            return True
        if progress.global_step >= trainer.max_steps != -1:
            return True
        return trainer.should_stop and self.can_stop_early

    def validates_in_this_epoch(self) -> bool:
        """Whether the epoch is one of those that ``check_val_every_n_epoch`` chooses."""
        every = self.trainer.check_val_every_n_epoch
        return self.trainer.enable_validation and (every is None or (self.progress.epoch + 1) % every == 0)

    # ---- parts of a batch ------------------------------------------------------------------------------------------------

    def _step_schedulers(self, is_accumulating: bool, is_last: bool) -> None:
        if not is_accumulating:
            self.schedulers.update("step", plateau=False)
        if is_last:
            self.schedulers.update("epoch", plateau=False)

    def _validate(self, is_accumulating: bool) -> None:
        trainer = self.trainer
        if not is_accumulating:
            # gradients are of no use to validation, and take memory
            trainer.bus.emitter(ValidationModelZeroGrad)(trainer, trainer.lightning_module)
        trainer.state.stage = RunningStage.VALIDATING
        self.metrics.collect()
        self._rng_before_validation = capture_rng()
        self.validation.run()
        self.interval.begin()
        self._rng_before_validation = None
        trainer.state.stage = RunningStage.TRAINING
        self.metrics.results = self.results


_NOTHING = object()


def _warn_of_no_batch() -> None:
    warnings.warn(
        "train_dataloader yielded None instead of a batch: nothing is trained on it. To fix: drop such samples in the dataset"
        " or in `collate_fn`; where it is on purpose, ignore this.",
        UserWarning,
        stacklevel=2,
    )
