"""A trial: inside, the run under way may be tried for a few steps, unheard by plugins; afterwards all is as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._loops.evaluation import EvaluationLoop, module_modes
from ._loops.fit import FitLoop
from ._loops.prediction import PredictionLoop
from ._rng import isolate_rng
from ._state import TrainerFn

if TYPE_CHECKING:
    from ._module import LightningModule
    from ._trainer import Trainer

__all__ = ["Trial", "trial"]

_SETTINGS = (
    "max_steps", "min_steps", "max_epochs", "min_epochs", "val_check_interval", "check_val_every_n_epoch",
    "limit_val_batches", "limit_test_batches", "limit_predict_batches", "should_stop", "metrics",
    "lr_scheduler_configs", "fit_loop", "validate_loop", "test_loop", "predict_loop",
)  # fmt: skip
"""What a trial may set on a trainer."""


class Trial:
    """Tries the run under way, which may be a fit, a validation, a test or a prediction, as often as is wanted.

    with trainer.trial(steps=3) as trial:
        loader = trial.load()
        trial.run()
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._given = {"fit": trainer.fit_loop.given, "validation": trainer.fit_loop.validation.given}
        self._loop: FitLoop | EvaluationLoop | PredictionLoop | None = None

    def load(self) -> Any:
        """Ask for the loader anew, and begin at its first batch with the next ``run``. Returns it, as it was given."""
        self._loop = self._new_loop()
        self._loop.setup_data()
        return self._loop.loader

    def run(self) -> None:
        """Run the steps, from the first batch on; ``trainer.should_stop`` ends a fit early."""
        trainer = self._trainer
        trainer.should_stop = False
        loop, self._loop = self._loop or self._new_loop(), None
        name = {"fit": "fit_loop", "validate": "validate_loop", "test": "test_loop", "predict": "predict_loop"}
        setattr(trainer, name[str(trainer.state.fn)], loop)
        loop.run()

    def _new_loop(self) -> FitLoop | EvaluationLoop | PredictionLoop:
        trainer, fn = self._trainer, self._trainer.state.fn
        if fn == TrainerFn.FITTING:
            fit = FitLoop(trainer)
            fit.begin_entry(self._given["fit"], self._given["validation"])
            return fit
        if fn == TrainerFn.PREDICTING:
            prediction = PredictionLoop(trainer)
            prediction.given, prediction.inference_mode = trainer.predict_loop.given, trainer.inference_mode
            return prediction
        original = trainer.validate_loop if fn == TrainerFn.VALIDATING else trainer.test_loop
        evaluation = EvaluationLoop(trainer, original.stage)
        evaluation.given, evaluation.inference_mode = original.given, trainer.inference_mode
        return evaluation


@contextmanager
def trial(trainer: Trainer, steps: int, validate: bool) -> Iterator[Trial]:
    """Inside, the trainer has no plugins and schedulers, limits for a few steps, and metrics of its own.

    Afterwards trainer, weights, optimizers, modes and random generators are as they were. Nothing is written to disk.
    """
    module = trainer.lightning_module
    settings = {name: getattr(trainer, name) for name in _SETTINGS}
    stage = trainer.state.stage
    tensors = _copy_tensors(module)
    optimizers = [copy.deepcopy(one.state_dict()) for one in trainer.optimizers]
    precision = copy.deepcopy(trainer.precision_plugin.state_dict())
    trainer.max_steps, trainer.min_steps, trainer.max_epochs, trainer.min_epochs = steps, None, -1, None
    trainer.limit_test_batches = trainer.limit_predict_batches = steps
    is_fit = trainer.state.fn == TrainerFn.FITTING
    trainer.limit_val_batches = 0 if is_fit and not (validate and trainer.limit_val_batches) else steps
    trainer.val_check_interval, trainer.check_val_every_n_epoch = 1.0, 1
    # the process may be asked to go: the trial ends, and the real loop saves, at a moment that can be resumed
    vars(trainer)["when_preempted"] = lambda: setattr(trainer, "should_stop", True)
    trainer.lr_scheduler_configs = []
    trainer.metrics = type(trainer.metrics)(trainer.bus.scope)
    trainer.metrics.synchronise = settings["metrics"].synchronise
    try:
        with trainer.wiring.muted(), module_modes(module, restore=True), isolate_rng():
            yield Trial(trainer)
    finally:
        del vars(trainer)["when_preempted"]
        for name, value in settings.items():
            setattr(trainer, name, value)
        trainer.state.stage = stage
        _restore_tensors(module, tensors)
        for optimizer, state in zip(trainer.optimizers, optimizers, strict=True):
            optimizer.zero_grad()
            optimizer.load_state_dict(state)
        trainer.precision_plugin.load_state_dict(precision)


def _copy_tensors(module: LightningModule) -> dict[str, Tensor]:
    """Parameters and buffers (also those that no checkpoint has), on the CPU, so that they take no room that is tested."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: one.detach().to("cpu", copy=True) for name, one in named}


def _restore_tensors(module: LightningModule, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, one in [*module.named_parameters(), *module.named_buffers()]:
            if name in tensors:
                one.detach().copy_(tensors[name])
