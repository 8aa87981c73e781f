"""What a checkpoint holds, and when it is written and read.

Saving: each plugin's ``state_dict``, then ``on_save_checkpoint``, then the file, then ``on_checkpoint_committed``.
Loading: ``on_load_checkpoint`` and each plugin's ``load_state_dict``, before ``configure_optimizers``. The weights,
optimizers, schedulers and loops are the trainer's own business. ``self.log`` is refused in all of these hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["load_state_dict", "on_checkpoint_committed", "on_load_checkpoint", "on_save_checkpoint", "state_dict"]


@broadcast
def state_dict() -> dict[str, Any] | None:
    """Ask one plugin for its own state, to be kept in a checkpoint under its state key.

    Called: for every checkpoint, on every rank, for each plugin separately, before ``on_save_checkpoint``: callbacks
    and other plugins, then the datamodule. For a checkpoint of weights only, the datamodule alone is asked. The module
    is not: its method of this name is PyTorch's own and gives the weights. Subscribers to its event hear nothing.
    Kind: broadcast.
    Result: kept for its own plugin: a dict of plain values and tensors, such that the file
    loads with ``weights_only=True``. ``None`` or an empty dict: nothing to keep.

    Raises:
        MisconfigurationException: the file could not be loaded with ``weights_only=True``; names plugin and key.

    Source: Lightning ``Callback.state_dict`` and ``LightningDataModule.state_dict``.
    """


@broadcast
def on_save_checkpoint(trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """A checkpoint has been put together and is about to be written: look at it, add to it.

    Called: for every checkpoint, on every rank, at a commit point: optimizers, counters, loader position and plugin
    states belong to the same step. For a checkpoint of weights only, the module alone is called.
    Kind: broadcast.
    Order: callbacks and other plugins, then the module.

    Args:
        checkpoint: the dict that will be saved, with Lightning's keys (``state_dict``, ``optimizer_states``, ``loops``,
            ...). It may be changed in place; what is added must load with ``weights_only=True``.

    Raises:
        MisconfigurationException: what was added could not be loaded with ``weights_only=True``.

    Source: Lightning ``Callback.on_save_checkpoint`` and ``LightningModule.on_save_checkpoint``.
    """


@broadcast
def on_checkpoint_committed(trainer: Trainer, pl_module: LightningModule, filepath: str, weights_only: bool) -> None:
    """A checkpoint is whole and durable on disk: whatever happens to this process or machine, it will be there.

    Called: once per file, after it was written beside its target, flushed to disk, renamed, and its folder flushed too.
    Not called for a file that could not be written. The place to upload it or to delete an older one.
    Kind: broadcast.

    Args:
        filepath: where the checkpoint is now, under its final name.
        weights_only: whether it holds the weights without the states needed to resume.

    Source: torchbus.
    """


@broadcast
def on_load_checkpoint(trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """A checkpoint has been read: take from it what ``on_save_checkpoint`` put there.

    Called: once per entry point that is given a checkpoint, on every rank, after ``configure_model`` and before
    ``configure_optimizers``. The module's comes before its weights are loaded and so may still change them;
    ``load_from_checkpoint`` calls the module's too. Only the module is called for a file of weights only.
    Kind: broadcast.
    Order: the module, then (after the datamodule's ``load_state_dict``) callbacks and other plugins.

    Args:
        checkpoint: the dict as it was saved. It may be changed in place.

    Source: Lightning ``Callback.on_load_checkpoint`` and ``LightningModule.on_load_checkpoint``.
    """


@broadcast
def load_state_dict(state_dict: dict[str, Any]) -> None:
    """Give one plugin its own state back.

    Called: when a run starts from a checkpoint, on every rank, for each plugin separately: the datamodule in every
    entry point, callbacks and other plugins in fit only, after all ``on_load_checkpoint``. Not called for a plugin that
    the checkpoint has no state of; the state of a plugin that is absent now is kept and written back, with a note.
    Subscribers to its event hear nothing.
    Kind: broadcast.

    Args:
        state_dict: what the plugin's ``state_dict`` returned when the checkpoint was saved.

    Source: Lightning ``Callback.load_state_dict`` and ``LightningDataModule.load_state_dict``.
    """
