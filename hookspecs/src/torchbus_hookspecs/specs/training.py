"""The training epochs of a fit, batch by batch.

What happens between ``on_train_batch_start`` and ``on_train_batch_end`` is told in ``optimization``; validation, which
may run inside or at the end of an epoch, in ``evaluation``. By default ``self.log`` writes a value per step in the
batch hooks and in ``training_step``, one per epoch in the other hooks, and is refused in ``on_train_end``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

    from .._types import StepOutput

__all__ = [
    "forward",
    "on_train_batch_end",
    "on_train_batch_start",
    "on_train_end",
    "on_train_epoch_end",
    "on_train_epoch_start",
    "on_train_start",
    "training_step",
]


@broadcast
def on_train_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """Training begins: sanity check and set-up are over, the training data is there.

    Called: once per fit, on every rank, also when a run resumes. Not called when nothing is to be trained: no epochs,
    no steps or no batches allowed. A loader without a length has already given its first batch.
    Kind: broadcast.

    Source: Lightning ``Callback.on_train_start`` and ``LightningModule.on_train_start``.
    """


@broadcast
def on_train_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A training epoch begins; ``trainer.current_epoch`` is its number, from 0.

    Called: once per epoch, on every rank, before its first batch. Not called when a run resumes inside the epoch. A
    stop asked for here leaves an epoch without batches, which still counts.
    Kind: broadcast.

    Source: Lightning ``Callback.on_train_epoch_start`` and ``LightningModule.on_train_epoch_start``.
    """


@broadcast
def on_train_batch_start(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> int | None:
    """A batch is on the device and about to be trained on.

    Called: once per batch of an epoch, on every rank.
    Kind: broadcast.
    Result: ``-1`` ends the epoch, everything else is ignored. This batch is then not trained on, its
    ``on_train_batch_end`` and the epoch's validation are left out; schedulers per epoch and ``on_train_epoch_end``
    follow.

    Args:
        batch: the batch after transfer. It may be changed in place.
        batch_idx: position of the batch in its epoch, from 0.

    Source: Lightning ``Callback.on_train_batch_start`` and ``LightningModule.on_train_batch_start``.
    """


@provider
def training_step(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> StepOutput:
    """Compute the loss of one batch.

    Called: once per batch, on every rank, from inside ``optimizer_step`` where the optimizer is due, else by the loop
    itself (accumulating batches, manual optimization). Optimizers that evaluate their closure repeatedly, such as
    LBFGS, repeat it.
    Kind: provider.
    Result: in automatic optimization the loss, shape ``()``, attached to its graph; or a mapping
    that has it under ``"loss"``; or ``None`` from the module: no backward for this batch, while the optimizer is still
    zeroed and stepped. In manual optimization it is a tensor, a mapping or ``None``, and only goes to
    ``on_train_batch_end``.
    Default: none; fit refuses a module without this method.

    Args:
        batch: the batch after transfer.
        batch_idx: position of the batch in its epoch, from 0. A module's method may leave it out.

    Raises:
        MisconfigurationException: nobody implements it, told before the run begins; or the result is none of these.

    Source: Lightning ``LightningModule.training_step``.
    """


@provider
def forward(trainer: Trainer, pl_module: LightningModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Compute the outputs of a module that has no ``forward`` of its own.

    Called: whenever such a module is called, in a run of any kind. Not called where the module overrides ``forward``:
    PyTorch then runs that method directly.
    Kind: provider.
    Result: what the call returns.
    Default: none; the call raises.

    Args:
        args: the positional arguments of the call, as a tuple.
        kwargs: its keyword arguments, as a dict.

    Raises:
        NotImplementedError: nobody answers.

    Source: Lightning ``LightningModule.forward``.
    """


@broadcast
def on_train_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int
) -> None:
    """One training batch is done: the optimizer may have stepped, gradients may still be there.

    Called: once per batch, on every rank, after the schedulers that step per batch (plateau schedulers come after it).
    Not called for a batch that raised or that ``on_train_batch_start`` skipped.
    Kind: broadcast.

    Args:
        outputs: what ``training_step`` returned, as a mapping; empty when that was ``None``. ``outputs["loss"]`` is
            detached, shape ``()``, on the training device (``.item()`` waits for it); with accumulation it is divided
            by the number of batches in a full window.
        batch: the batch after transfer.
        batch_idx: position of the batch in its epoch, from 0 (not optimizer steps: see ``trainer.global_step``).

    Source: Lightning ``Callback.on_train_batch_end`` and ``LightningModule.on_train_batch_end``.
    """


@broadcast
def on_train_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """A training epoch ends: its batches and its validation are done, ``trainer.callback_metrics`` holds its metrics.

    Called: once per epoch, on every rank, while ``trainer.current_epoch`` is still its number; also for an epoch that
    was cut short. Plateau schedulers that step per epoch come after it.
    Kind: broadcast.
    Order: callbacks, the module, then early stopping and checkpoints, so that these see what the
    others logged here.

    Source: Lightning ``Callback.on_train_epoch_end`` and ``LightningModule.on_train_epoch_end``.
    """


@broadcast
def on_train_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """Training ends: no further batch will come.

    Called: once per fit that called ``on_train_start``, on every rank, after the last ``on_train_epoch_end``;
    ``trainer.current_epoch`` is one higher by now. Not called after an exception.
    Kind: broadcast.

    Source: Lightning ``Callback.on_train_end`` and ``LightningModule.on_train_end``.
    """
