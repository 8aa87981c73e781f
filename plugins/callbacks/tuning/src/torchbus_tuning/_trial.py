"""A trial: inside, a trainer may train or evaluate for a few steps, unheard by plugins; afterwards all is as it was."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["fit_loop", "trial"]

_SETTINGS = (
    "max_steps", "min_steps", "max_epochs", "min_epochs", "val_check_interval", "check_val_every_n_epoch",
    "limit_val_batches", "limit_test_batches", "limit_predict_batches", "should_stop", "metrics", "lightning_optimizers",
    "lr_scheduler_configs", "fit_loop", "validate_loop", "test_loop", "predict_loop",
)  # fmt: skip
"""What a trial may set on a trainer."""


@contextmanager
def trial(trainer: Trainer) -> Iterator[None]:
    """Inside, the trainer has no callbacks, loggers, schedulers and limits, and metrics of its own.

    Afterwards trainer, weights, optimizers, modes and random generators are as they were. Nothing is written to disk.
    """
    module = trainer.lightning_module
    settings = {name: getattr(trainer, name) for name in _SETTINGS}
    stage, plugins = trainer.state.stage, (trainer.callbacks, trainer.loggers, trainer.wiring.others)
    modes = [(one, one.training) for one in module.modules()]
    tensors = _copy_tensors(module)
    optimizers = [copy.deepcopy(one.state_dict()) for one in trainer.optimizers]
    precision = copy.deepcopy(trainer.precision_plugin.state_dict())
    trainer.max_steps, trainer.min_steps, trainer.max_epochs, trainer.min_epochs = -1, None, -1, None
    trainer.val_check_interval, trainer.check_val_every_n_epoch = 1.0, 1
    trainer.should_stop = False
    # the process may be asked to go: the trial ends, and the real loop saves, at a moment that can be resumed
    vars(trainer)["when_preempted"] = lambda: setattr(trainer, "should_stop", True)
    trainer.lr_scheduler_configs = []
    trainer.metrics = type(trainer.metrics)(trainer.bus.scope)
    trainer.metrics.synchronise = settings["metrics"].synchronise
    _set_plugins(trainer, [], [], [])
    try:
        with _generators_kept(module.device):
            yield
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
        for one, training in modes:
            one.training = training
        _set_plugins(trainer, *plugins)


def fit_loop(trainer: Trainer) -> Any:
    """Another fit loop over the same loaders, at its first step."""
    original = trainer.fit_loop
    loop = type(original)(trainer)
    loop.begin_entry(original.given, original.validation.given)
    return loop


def _set_plugins(trainer: Trainer, callbacks: list[Any], loggers: list[Any], others: list[Any]) -> None:
    trainer.wiring.others = others
    trainer.loggers = loggers
    trainer.callbacks = callbacks


def _copy_tensors(module: LightningModule) -> dict[str, Tensor]:
    """Parameters and buffers (also those that no checkpoint has), on the CPU, so that they take no room that is tested."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: one.detach().to("cpu", copy=True) for name, one in named}


def _restore_tensors(module: LightningModule, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, one in [*module.named_parameters(), *module.named_buffers()]:
            if name in tensors:
                one.detach().copy_(tensors[name])


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    state = random.getstate()
    numpy = sys.modules.get("numpy")  # not ours to import, but to keep where it is in use
    numpy_state = numpy.random.get_state() if numpy is not None else None
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(state)
    if numpy is not None:
        numpy.random.set_state(numpy_state)
