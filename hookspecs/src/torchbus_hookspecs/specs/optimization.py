"""Inside one optimizer step, in automatic and in manual optimization.

Automatic: ``optimizer_step`` runs ``training_step``, then clears gradients, goes backward, clips and steps, with the
hooks in the order of this file. An accumulating batch does the same without ``optimizer_step``,
``on_before_optimizer_step`` and clipping; gradients are cleared in the first batch of a window. Manual:
``training_step`` does all this itself, and only the hooks that say so fire. By default ``self.log`` writes a value per
step; it is refused in ``lr_scheduler_step``.

Most hooks here are providers: where the module overrides one, its method is the answer whatever it returns, and
``super().optimizer_step(...)`` in it goes on to the plugins and then to the built-in default. A plugin that has done
the work returns ``True``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torchbus import LightningModule, Trainer

__all__ = [
    "backward",
    "clip_gradients",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "manual_backward",
    "on_after_backward",
    "on_before_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "optimizer_step",
    "optimizer_zero_grad",
    "toggle_optimizer",
    "toggled_optimizer",
    "untoggle_optimizer",
]


@provider
def optimizer_step(
    trainer: Trainer,
    pl_module: LightningModule,
    epoch: int,
    batch_idx: int,
    optimizer: Any,
    optimizer_closure: Callable[[], Any] | None,
) -> Any:
    """Make one optimizer step.

    Called: in automatic optimization once per accumulation window, in its last batch, on every rank. Not called for
    accumulating batches nor in manual optimization. ``trainer.global_step`` rises afterwards, whether weights changed
    or not.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``optimizer.step(closure=optimizer_closure)``.

    Args:
        epoch: the number of the epoch, from 0.
        batch_idx: position of the batch in its epoch, from 0.
        optimizer: the optimizer that is due.
        optimizer_closure: runs ``training_step``, zeroing and backward, and returns the loss. It must be called, best
            by ``optimizer.step(closure=...)``, which adds ``on_before_optimizer_step`` and clipping; called directly,
            it computes gradients without a step.

    Raises:
        MisconfigurationException: the closure was not called.

    Source: Lightning ``LightningModule.optimizer_step``.
    """


@broadcast
def on_before_zero_grad(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
    """Gradients are about to be cleared: those of the step before can be looked at a last time.

    Called: in automatic optimization once per accumulation window, in its first batch, after ``training_step``, on
    every rank. Not called in manual optimization.
    Kind: broadcast.

    Args:
        optimizer: whose gradients go.

    Source: Lightning ``Callback.on_before_zero_grad`` and ``LightningModule.on_before_zero_grad``.
    """


@provider
def optimizer_zero_grad(
    trainer: Trainer, pl_module: LightningModule, epoch: int, batch_idx: int, optimizer: Optimizer
) -> Any:
    """Clear the gradients of an optimizer.

    Called: right after ``on_before_zero_grad``, on every rank. Not called in manual optimization.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``optimizer.zero_grad()``.

    Args:
        epoch: the number of the epoch, from 0.
        batch_idx: position of the batch in its epoch, from 0.
        optimizer: whose gradients go.

    Source: Lightning ``LightningModule.optimizer_zero_grad``.
    """


@broadcast
def on_before_backward(trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
    """The backward pass is about to run.

    Called: before every backward pass of training, automatic or by ``manual_backward``, on every rank. Not called for a
    batch whose ``training_step`` returned ``None``.
    Kind: broadcast.

    Args:
        loss: shape ``()``, on the training device, attached to its graph. In automatic optimization with accumulation
            it is divided by the number of batches in a full window; where a gradient scaler is at work, it is scaled.

    Source: Lightning ``Callback.on_before_backward`` and ``LightningModule.on_before_backward``.
    """


@provider
def backward(
    trainer: Trainer, pl_module: LightningModule, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Compute the gradients of a loss.

    Called: right after ``on_before_backward``, on every rank, in automatic and in manual optimization.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``loss.backward(*args, **kwargs)``.

    Args:
        loss: shape ``()``, on the training device, attached to its graph, scaled as in ``on_before_backward``.
        args: further positional arguments of ``manual_backward``, as a tuple; empty in automatic optimization.
        kwargs: its further keyword arguments, such as ``retain_graph``, as a dict; empty in automatic optimization.

    Raises:
        RuntimeError: from the default, when the loss is no scalar or depends on no parameter.

    Source: Lightning ``LightningModule.backward``.
    """


@provider
def manual_backward(
    trainer: Trainer, pl_module: LightningModule, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a backward pass with all its hooks, from inside a manual ``training_step``.

    Called: by the module, never by the loop: ``self.manual_backward(loss)`` in place of ``loss.backward()``. Automatic
    optimization refuses it.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: fires ``on_before_backward``, ``backward`` and ``on_after_backward``, and scales the
    loss where the precision needs it.

    Args:
        loss: what the module passed, shape ``()``, attached to its graph.
        args: what else it passed by position, as a tuple; goes to ``backward``.
        kwargs: what else it passed by keyword, as a dict; goes to ``backward``.

    Raises:
        MisconfigurationException: optimization is automatic.

    Source: Lightning ``LightningModule.manual_backward``.
    """


@broadcast
def on_after_backward(trainer: Trainer, pl_module: LightningModule) -> None:
    """The backward pass is done: gradients are there, neither unscaled nor clipped yet.

    Called: after every ``backward``, automatic or manual, on every rank; with accumulation in each batch of the window.
    Kind: broadcast.

    Source: Lightning ``Callback.on_after_backward`` and ``LightningModule.on_after_backward``.
    """


@broadcast
def on_before_optimizer_step(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
    """The optimizer is about to step: gradients are complete and unscaled, in automatic optimization not clipped yet.

    Called: before every step of an optimizer, automatic or manual, on every rank, each time an optimizer such as LBFGS
    calls its closure. Not called for accumulating batches, nor for a raw optimizer that the module steps past the
    trainer.
    Kind: broadcast.

    Args:
        optimizer: the optimizer that is about to step. Gradients of its parameters may be changed in place.

    Source: Lightning ``Callback.on_before_optimizer_step`` and ``LightningModule.on_before_optimizer_step``.
    """


@provider
def configure_gradient_clipping(
    trainer: Trainer,
    pl_module: LightningModule,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> Any:
    """Decide how gradients are clipped before a step.

    Called: in automatic optimization right after ``on_before_optimizer_step``, on every rank, also when the trainer
    sets no clipping. Not called in manual optimization, where the module calls ``clip_gradients`` itself.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``clip_gradients`` with the same arguments, where the trainer sets a limit.

    Args:
        optimizer: whose gradients are meant.
        gradient_clip_val: the trainer's limit, in units of the gradients; ``None`` for no clipping.
        gradient_clip_algorithm: the trainer's ``"norm"`` or ``"value"``; ``None`` means ``"norm"``.

    Source: Lightning ``LightningModule.configure_gradient_clipping``.
    """


@provider
def clip_gradients(
    trainer: Trainer,
    pl_module: LightningModule,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> Any:
    """Clip the gradients of an optimizer, in place.

    Called: by the default of ``configure_gradient_clipping``, and wherever a module calls ``self.clip_gradients``. On
    every rank.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: limits the norm over all parameters of the optimizer, or each element's absolute value.

    Args:
        optimizer: whose gradients are meant.
        gradient_clip_val: the limit, in units of the gradients; with ``None`` or 0 nothing is clipped.
        gradient_clip_algorithm: ``"norm"`` or ``"value"``; ``None`` means ``"norm"``.

    Raises:
        MisconfigurationException: the algorithm is unknown, or contradicts the trainer's setting, as does another limit.

    Source: Lightning ``LightningModule.clip_gradients``.
    """


@provider
def lr_scheduler_step(trainer: Trainer, pl_module: LightningModule, scheduler: LRScheduler, metric: Any) -> Any:
    """Step one learning rate scheduler.

    Called: in automatic optimization, on every rank, when a scheduler's interval and frequency say so: before
    ``on_train_batch_end``, both per step and per epoch; for plateau schedulers after ``on_train_batch_end`` or
    ``on_train_epoch_end``. Frequencies per step count batches of the epoch and are looked at only when the optimizer
    steps. Not called in manual optimization.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``scheduler.step()``, or ``scheduler.step(metric)`` where there is a metric.

    Args:
        scheduler: the scheduler that is due.
        metric: the value it monitors, for a plateau scheduler; else ``None``.

    Raises:
        MisconfigurationException: a plateau scheduler that is strict has no such metric.

    Source: Lightning ``LightningModule.lr_scheduler_step``.
    """


@provider
def toggle_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """Let only one optimizer's parameters take gradients.

    Called: by the module, in manual optimization with several optimizers (``self.toggle_optimizer(optimizer)``), and by
    ``toggled_optimizer``. Never called by the loop.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: switches ``requires_grad`` off for parameters that only other optimizers hold, and
    remembers how each was.

    Args:
        optimizer: whose parameters stay trainable. Those that were frozen stay frozen.

    Source: Lightning ``LightningModule.toggle_optimizer``.
    """


@provider
def untoggle_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """Undo ``toggle_optimizer``.

    Called: by the module, after its step with a toggled optimizer, and by ``toggled_optimizer``. Never called by the
    loop.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: gives every parameter the ``requires_grad`` back that it had before.

    Args:
        optimizer: the optimizer that was toggled.

    Source: Lightning ``LightningModule.untoggle_optimizer``.
    """


@provider
def toggled_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """Ask for a context manager inside which one optimizer is toggled.

    Called: by the module, in manual optimization: ``with self.toggled_optimizer(optimizer): ...``. Never called by the
    loop.
    Kind: provider.
    Result: the context manager.
    Default: calls ``toggle_optimizer`` on entry and
    ``untoggle_optimizer`` on exit, also after an exception.

    Args:
        optimizer: the optimizer whose parameters take gradients inside.

    Source: Lightning ``LightningModule.toggled_optimizer``.
    """
