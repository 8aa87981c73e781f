"""One run, from the call of an entry point to its end: what happens in which order, and what happens when it fails."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torchbus_hookspecs import EndRun, events

from ._checkpoint import PREEMPTED, find_checkpoint, restore_before_setup, restore_training
from ._hparams import merged_hparams
from ._loops.optimization import Optimization
from ._loops.schedulers import look_at_monitors
from ._optimizers import NoOptimizer, read_optimizers
from ._profiling import begin_profile, end_profile
from ._requirements import check_entry, check_model, refuse_optimizer_index, split_data
from ._rng import isolate_rng
from ._state import RunningStage, TrainerFn, TrainerStatus

if TYPE_CHECKING:
    from ._datamodule import LightningDataModule
    from ._module import LightningModule
    from ._trainer import Trainer

__all__ = [
    "attach",
    "begin",
    "enter",
    "fit_body",
    "guarded",
    "preempt",
    "resolve_limits",
    "run",
]

T = TypeVar("T")

EPOCHS_WHEN_UNSAID = 1000

STAGES = {
    TrainerFn.FITTING: RunningStage.TRAINING,
    TrainerFn.VALIDATING: RunningStage.VALIDATING,
    TrainerFn.TESTING: RunningStage.TESTING,
    TrainerFn.PREDICTING: RunningStage.PREDICTING,
}


def enter(
    trainer: Trainer,
    fn: TrainerFn,
    model: LightningModule | None,
    loaders: Any,
    datamodule: LightningDataModule | None,
    ckpt_path: str | Path | None,
    weights_only: bool | None,
    prepare: Callable[[Any], None],
    body: Callable[[], T],
) -> T:
    """Any entry point but ``fit``, whole.

    Args:
        trainer, fn: whose entry point, and which.
        model, loaders, datamodule, ckpt_path, weights_only: what the user passed to it.
        prepare: makes the loop ready; called with the loaders that were given, if any.
        body: the loop.
    """
    chosen = check_model(model if model is not None else trainer._lightning_module, fn.value)
    wanted = ckpt_path
    if model is None and ckpt_path is None:
        wanted = "best"
        warnings.warn(
            f"`.{fn.value}(ckpt_path=None)` was called without a model: the best checkpoint of the last fit is used. To"
            " choose otherwise, pass the model, or ckpt_path.",
            UserWarning,
            stacklevel=3 if fn == TrainerFn.PREDICTING else 4,
        )
    begin(trainer, fn, chosen)

    def entry() -> T:
        given, data = split_data(fn.value, loaders, datamodule)
        prepare(given)
        attach(trainer, data if data is not None or model is not None else trainer.datamodule)
        return run(trainer, body, wanted, weights_only)

    return guarded(trainer, entry)


def begin(trainer: Trainer, fn: TrainerFn, module: LightningModule) -> None:
    """An entry point was called: from here on, failures are told to the plugins."""
    trainer._lightning_module = module
    trainer.state.fn, trainer.state.status, trainer.state.stage = fn, TrainerStatus.RUNNING, STAGES[fn]
    if fn == TrainerFn.FITTING:
        trainer.should_stop = False
    trainer.bus.scope.hook = ""
    trainer.metrics.results = None


def attach(trainer: Trainer, datamodule: LightningDataModule | None) -> None:
    """Make module and datamodule part of the bus, and see that they have what the entry point needs."""
    module = trainer.lightning_module
    if trainer.state.fn == TrainerFn.FITTING:
        refuse_optimizer_index(module)
    trainer.datamodule = datamodule
    module.trainer = trainer
    if datamodule is not None:
        datamodule.trainer = trainer
    trainer.wiring.attach(module, datamodule)
    trainer.metrics.attach(module, bool(trainer.loggers))
    check_entry(trainer)


def resolve_limits(trainer: Trainer) -> None:
    """Settle how long to train where that was left open."""
    if trainer.max_epochs is None:
        limited = trainer.max_steps != -1 or trainer.max_time is not None
        if not limited:
            warnings.warn(
                f"Neither max_epochs nor max_steps nor max_time is set: training ends after {EPOCHS_WHEN_UNSAID} epochs."
                " To train without a limit: Trainer(max_epochs=-1).",
                UserWarning,
                stacklevel=4,
            )
        trainer.max_epochs = -1 if limited else EPOCHS_WHEN_UNSAID
    if trainer.min_epochs is None:
        trainer.min_epochs = 0 if trainer.min_steps is None else 1


def guarded(trainer: Trainer, entry: Callable[[], T]) -> T:
    """Call an entry point's body; if it raises, tell everyone, close the loggers, and let the exception out."""
    gradients = torch.is_grad_enabled()
    try:
        return entry()
    except KeyboardInterrupt as interruption:
        # one inside of torch's own switches leaves them off, in a notebook for good
        torch.set_grad_enabled(gradients)
        with suppress(KeyboardInterrupt):  # once more, meanwhile: the user does not want to wait
            _fail(trainer, interruption)
        raise SystemExit(130) from None
    except BaseException as error:
        _fail(trainer, error)
        raise


def _fail(trainer: Trainer, error: BaseException) -> None:
    trainer.state.status = TrainerStatus.INTERRUPTED
    try:
        if trainer.lightning_module is not None:
            trainer.bus.emitter(events.ExceptionRaised)(trainer, trainer.lightning_module, error)
        trainer.bus.emitter(events.Finalize)("failed")
    finally:
        trainer.strategy.teardown()
        trainer.metrics.close()
        trainer.state.stage = None
        trainer.wiring.detach()
        trainer.report_faults()
        end_profile(trainer)


def run(trainer: Trainer, body: Callable[[], T], ckpt_path: Any, weights_only: bool | None) -> T:
    """Set up, run, tear down. The module and the datamodule are attached already.

    Args:
        trainer: the trainer.
        body: what runs in between.
        ckpt_path: the checkpoint to start from, as the user gave it.
        weights_only: whether only plain values may be unpickled from it.

    Returns:
        What ``body`` returned; ``None`` if a plugin ended the run with ``EndRun``.
    """
    bus, module, state = trainer.bus, trainer.lightning_module, trainer.state
    is_fit = state.fn == TrainerFn.FITTING
    stage = str(state.fn.value if state.fn else "")
    begin_profile(trainer)
    trainer.ckpt_path = find_checkpoint(trainer, ckpt_path)  # plugins may choose another in `setup`
    trainer.wiring.attach_module_callbacks()
    trainer.strategy.setup_environment()
    bus.emitter(events.PrepareData)(trainer, module)
    bus.emitter(events.Setup)(trainer, module, stage)
    with trainer.init_module():
        bus.emitter(events.ConfigureShardedModel)(trainer, module)
        bus.emitter(events.ConfigureModel)(trainer, module)
    trainer.metrics.clear()

    checkpoint = restore_before_setup(trainer, trainer.ckpt_path, weights_only) if trainer.ckpt_path else None
    trainer.precision_plugin.convert_module(module)
    trainer.model = trainer.strategy.setup_model(module)
    result: Any = None
    with suppress(EndRun):
        if is_fit:
            set_up_optimizers(trainer)
            bus.emitter(events.FitStart)(trainer, module)
        _tell_loggers(trainer)
        if checkpoint is not None and is_fit:
            restore_training(trainer, checkpoint)
        checkpoint = None

        with _sigterm_noticed(trainer):
            result = body()

        if is_fit:
            bus.emitter(events.FitEnd)(trainer, module)
    bus.emitter(events.Teardown)(trainer, module, stage)
    bus.emitter(events.Finalize)("success")
    trainer.strategy.teardown()
    trainer.metrics.close()
    state.status, state.stage = TrainerStatus.FINISHED, None
    trainer.wiring.detach()
    trainer.report_faults()
    end_profile(trainer)
    return cast("T", result)


def fit_body(trainer: Trainer) -> None:
    """The sanity check, and the training."""
    with isolate_rng():
        sanity_check(trainer)
    _look_at_modes(trainer.lightning_module)
    trainer.state.stage = RunningStage.TRAINING
    with torch.autograd.set_detect_anomaly(trainer.detect_anomaly):
        trainer.fit_loop.run()


def _look_at_modes(module: LightningModule) -> None:
    """A pretrained model comes in evaluation mode, and a fit leaves each submodule's mode as it is."""
    found = [name or type(module).__name__ for name, one in module.named_modules() if not one.training]
    if found:
        shown = ", ".join(f"`{name}`" for name in found[:3]) + (", ..." if len(found) > 3 else "")
        warnings.warn(
            f"Found {len(found)} module(s) in eval mode at the start of training: {shown}. On purpose, that keeps dropout off"
            " and batch statistics as they are; else call train() on them.",
            UserWarning,
            stacklevel=2,
        )


def sanity_check(trainer: Trainer) -> None:
    """Run a few validation batches, so that faults in validation show before hours of training."""
    loop = trainer.fit_loop.validation
    if not trainer.enable_validation or not trainer.num_sanity_val_steps or trainer.fit_loop.is_resuming:
        return
    bus, module = trainer.bus, trainer.lightning_module
    trainer.state.stage = RunningStage.SANITY_CHECKING
    loop.is_sanity_check = True
    bus.emitter(events.SanityCheckStart)(trainer, module)
    loop.run()
    look_at_monitors(trainer)
    loop.is_sanity_check = False
    loop.results.reset()
    bus.emitter(events.SanityCheckEnd)(trainer, module)
    trainer.metrics.results = None
    trainer.metrics.clear()


def set_up_optimizers(trainer: Trainer) -> None:
    """Ask for optimizers and schedulers, and make ready what steps them."""
    bus, module = trainer.bus, trainer.lightning_module
    returned = bus.emitter(events.ConfigureOptimizers)(trainer, module)
    if returned is None:
        warnings.warn(
            f"{type(module).__name__}.configure_optimizers returned None: this fit will run with no optimizer, and nothing"
            " will change the parameters.",
            UserWarning,
            stacklevel=2,
        )
        returned = NoOptimizer()
    has_scheduler_step = bus.is_provided("lr_scheduler_step")
    trainer.optimizers, trainer.lr_scheduler_configs = read_optimizers(
        returned, module.automatic_optimization, has_scheduler_step
    )
    trainer.fit_loop.optimization = Optimization(trainer)
    trainer.monitored = [
        (config.monitor, type(config.scheduler).__name__)
        for config in trainer.lr_scheduler_configs
        if config.reduce_on_plateau and config.monitor
    ]


def _tell_loggers(trainer: Trainer) -> None:
    """Hyperparameters and graph, before anything else is logged."""
    if not trainer.loggers:
        return
    bus, module, datamodule = trainer.bus, trainer.lightning_module, trainer.datamodule
    if trainer.enable_autolog_hparams:
        owners = [one for one in (module, datamodule) if one is not None and one._log_hyperparams]
        if owners:
            bus.emitter(events.LogHyperparams)(merged_hparams(*owners), (), {})
    bus.emitter(events.LogGraph)(module, None)
    bus.emitter(events.Save)()


def preempt(trainer: Trainer) -> None:
    """The process was asked to go: let plugins save, save, and exit with the status that a SIGTERM gives.

    Raises:
        SystemExit: always.
    """
    try:
        trainer.bus.emitter(events.Preempted)(trainer, trainer.lightning_module, int(signal.SIGTERM))
    finally:  # a plugin that fails must not cost the run
        if trainer.state.fn == TrainerFn.FITTING:
            path = Path(trainer.default_root_dir) / PREEMPTED
            trainer.save_checkpoint(path)
            trainer.print(f"SIGTERM: saved {path}; to go on from there, pass ckpt_path={str(path)!r}.")
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _sigterm_noticed(trainer: Trainer) -> Iterator[None]:
    """Inside, SIGTERM only sets a flag, which the loop looks at between batches."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def notice(number: int, frame: Any) -> None:
        trainer.received_sigterm = True

    trainer.received_sigterm = False
    before = signal.signal(signal.SIGTERM, notice)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
