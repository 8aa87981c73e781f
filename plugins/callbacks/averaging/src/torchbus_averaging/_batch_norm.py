"""Batch statistics of averaged weights: reset them, and average them over an epoch."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchbus_hookspecs import hookimpl
from torchbus_hookspecs.events import TrainingStep

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["ForwardOnly", "Momenta", "batch_norms", "run_forward"]


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The layers of batch normalization in a module that track statistics."""
    return [one for one in module.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]


class Momenta:
    """What batch normalization layers had as momentum before they were set to average over all batches."""

    def __init__(self, module: nn.Module) -> None:
        self._saved = [(one, one.momentum) for one in batch_norms(module)]
        for one, _ in self._saved:
            one.momentum = None  # torch's word for the plain mean over batches

    def reset_statistics(self) -> None:
        """Forget the statistics."""
        for one, _ in self._saved:
            one.reset_running_stats()

    def restore(self) -> None:
        """Give each layer its momentum back."""
        for one, momentum in self._saved:
            one.momentum = momentum


class ForwardOnly:
    """A plugin: while it is registered, training steps compute no gradients and no backward pass follows them.

    Args:
        module: the module that is trained.
        keeps_gradients: whether the gradients that its parameters have now survive the zeroing that comes with an epoch.
    """

    def __init__(self, module: nn.Module, keeps_gradients: bool) -> None:
        self._gradients = [(one, one.grad) for one in module.parameters() if keeps_gradients and one.grad is not None]

    @hookimpl(wrapper=True)
    def training_step(self, trainer: Trainer) -> Generator[None, Any, None]:
        """Run the step; hand its outputs to the hooks that follow, and no loss to the backward pass."""
        with torch.no_grad():
            returned = yield
        if returned is not None:
            outputs = dict(returned) if isinstance(returned, dict) else {"loss": returned}
            trainer.fit_loop.optimization.outputs = {
                name: one.detach() if isinstance(one, Tensor) else one for name, one in outputs.items()
            }

    @hookimpl(tryfirst=True)
    def on_before_optimizer_step(self) -> None:
        """An epoch of one batch: what was zeroed in it is needed now."""
        self._put_back()

    @hookimpl(tryfirst=True)
    def on_train_batch_end(self) -> None:
        """The first batch zeroed the gradients; from here on a checkpoint of an accumulating epoch holds them."""
        self._put_back()

    def _put_back(self) -> None:
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        self._gradients = []


def run_forward(trainer: Trainer) -> None:
    """One plain pass over the training data, for nothing but the batch statistics: no hooks but the step itself."""
    loop, module = trainer.fit_loop, trainer.lightning_module
    assert loop.fetcher is not None  # training has ended, so it was there
    step = trainer.bus.emitter(TrainingStep)
    loop.fetcher.start()
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for index, batch in enumerate(loop.fetcher):
            step(trainer, module, loop.transfer(batch, 0), index)
