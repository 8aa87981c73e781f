"""What a checkpoint holds of a trainer, and how a trainer takes it back. Keys are Lightning's."""

from __future__ import annotations

import copy
import os
import warnings
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torchbus_hookspecs import Callback
from torchbus_hookspecs.events import LoadCheckpoint, SaveCheckpoint

from ._bus import Plugin
from ._checkpoint_io import check_loadable, load_checkpoint
from ._errors import CheckpointError, MisconfigurationException
from ._loading import load_weights
from ._loops.progress import read_fit_progress, write_loops

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["dump", "find_checkpoint", "restore_before_setup", "restore_training", "state_key"]

FORMAT = "2.6.6"
"""The version of Lightning whose keys these are."""


def state_key(plugin: Plugin) -> str:
    """Under which key a plugin's state is kept: its instance name where the user gave it one, else what its class says."""
    if isinstance(plugin.object, Callback) and not plugin.is_named:
        return plugin.object.state_key
    return plugin.name


def dump(trainer: Trainer, weights_only: bool) -> dict[str, Any]:
    """All that a checkpoint of this moment holds.

    Args:
        trainer: the trainer, with a module attached.
        weights_only: leave out what only training needs: optimizers, schedulers, callbacks.

    Raises:
        MisconfigurationException: something in it could not be loaded safely; the message names it.
    """
    module, datamodule = trainer.lightning_module, trainer.datamodule
    checkpoint: dict[str, Any] = {
        "epoch": trainer.current_epoch,
        "global_step": trainer.global_step,
        "pytorch-lightning_version": FORMAT,
        "state_dict": module.state_dict(),
        "loops": write_loops(trainer.fit_loop.progress, trainer.fit_loop.resume_state()),
    }
    if not weights_only:
        checkpoint["callbacks"] = _plugin_states(trainer)
        checkpoint["optimizer_states"] = [_optimizer_state(one) for one in trainer.optimizers]
        checkpoint["lr_schedulers"] = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        precision = trainer.precision_plugin.state_dict()
        if precision:
            checkpoint[type(trainer.precision_plugin).__qualname__] = precision
    for owner in (module, datamodule):
        if owner is not None and owner.hparams:
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_NAME] = getattr(owner, "_hparams_name", None)
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_KEY] = dict(owner.hparams)
    if datamodule is not None:
        state = datamodule.state_dict()
        if state:
            checkpoint[type(datamodule).__qualname__] = state
    if weights_only:
        module.on_save_checkpoint(checkpoint)
    else:
        trainer.bus.emitter(SaveCheckpoint)(trainer, module, checkpoint)
    return {key: check_loadable(value, f"checkpoint[{key!r}]") for key, value in checkpoint.items()}


def _optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    return optimizer.state_dict()


def _plugin_states(trainer: Trainer) -> dict[str, Any]:
    """The states of all plugins that have one, and those of plugins that were absent when the run was resumed."""
    states = dict(trainer.absent_states)
    for name, give_state in trainer.bus.implementations("state_dict"):
        state = give_state()
        if state:
            key = state_key(trainer.bus.plugins[name])
            states[key] = check_loadable(state, f"The state of plugin `{name}`")
    return states


def find_checkpoint(trainer: Trainer, wanted: Any) -> str | None:
    """The path that ``ckpt_path`` means: a path, ``"best"``, ``"last"``, or nothing.

    Raises:
        ValueError: there is no best checkpoint.
    """
    if wanted is None:
        return None
    if wanted == "last":
        known = [getattr(one, "last_model_path", "") for one in trainer.checkpoint_callbacks]
        found: list[str] = [one for one in known if one and os.path.exists(one)]
        if not found:
            warnings.warn(
                "ckpt_path='last': there is no last checkpoint, so none is loaded.", UserWarning, stacklevel=5
            )
        return max(found, key=os.path.getmtime, default=None)
    if wanted != "best":
        return str(os.fspath(wanted))
    if trainer.checkpoint_callback is None:
        raise ValueError("ckpt_path='best': no checkpoint callback is there to know the best. To fix: enable one.")
    best: str = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        raise ValueError(
            "ckpt_path='best': no checkpoint was saved yet. To fix: fit first, with a checkpoint callback that saves."
        )
    return best


# ---- taking it back -----------------------------------------------------------------------------------------------------


def restore_before_setup(trainer: Trainer, path: str, weights_only: bool | None) -> dict[str, Any]:
    """Read a checkpoint; give the module, the datamodule and (in a fit) the plugins what it holds of them."""
    checkpoint = load_checkpoint(path, "cpu", weights_only)
    module, datamodule = trainer.lightning_module, trainer.datamodule
    module.on_load_checkpoint(checkpoint)
    load_weights(module, checkpoint["state_dict"], module.strict_loading, path)
    if datamodule is not None:
        key = type(datamodule).__qualname__
        if key in checkpoint:
            datamodule.load_state_dict(checkpoint[key])
    trainer.bus.emitter_without("lightning_module", LoadCheckpoint)(trainer, module, checkpoint)
    if trainer.state.fn == "fit":
        _restore_plugins(trainer, checkpoint.get("callbacks", {}))
    return checkpoint


def _restore_plugins(trainer: Trainer, states: dict[str, Any]) -> None:
    unclaimed = dict(states)
    for name, take_state in trainer.bus.implementations("load_state_dict"):
        key = state_key(trainer.bus.plugins[name])
        if key in states:
            take_state(copy.deepcopy(states[key]))
    for plugin in trainer.bus.plugins.values():
        unclaimed.pop(state_key(plugin), None)
    trainer.absent_states = unclaimed
    if unclaimed:
        names = ", ".join(f"`{key}`" for key in unclaimed)
        warnings.warn(
            f"The checkpoint holds states of plugins that this run does not use: {names}."
            " They are kept, and written back into new checkpoints.",
            UserWarning,
            stacklevel=2,
        )


def restore_training(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Give loops, precision, optimizers and schedulers what a checkpoint holds of them.

    Raises:
        CheckpointError: it was not saved by a trainer.
        MisconfigurationException: it holds weights only, or more epochs or steps than the trainer may train.
        RuntimeError: its optimizers or schedulers are not those of the module.
    """
    if "loops" not in checkpoint:
        raise CheckpointError(
            f"The checkpoint {trainer.ckpt_path} does not say how far training came (it holds no `loops`), so training cannot"
            " be resumed from it. To fix: load its weights with load_from_checkpoint, and fit without ckpt_path."
        )
    progress = read_fit_progress(checkpoint)
    trainer.fit_loop.restore(progress, checkpoint["loops"].get("torchbus", {}))
    max_epochs = trainer.max_epochs
    if max_epochs not in (None, -1) and trainer.current_epoch > (max_epochs or 0):
        raise MisconfigurationException(
            f"The checkpoint was saved after {trainer.current_epoch} epochs, and Trainer(max_epochs={max_epochs}) allows"
            f" fewer. To fix: set max_epochs to more than {trainer.current_epoch}."
        )
    if "optimizer_states" not in checkpoint:
        raise MisconfigurationException(
            "The checkpoint holds weights only, without the optimizers' states, so training cannot be resumed from it."
            " To fix: load it with load_from_checkpoint and fit without ckpt_path, or use one saved without weights_only."
        )
    precision = checkpoint.get(type(trainer.precision_plugin).__qualname__)
    if precision:
        trainer.precision_plugin.load_state_dict(precision)
    _restore_optimizers(trainer, checkpoint)


def _restore_optimizers(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    states = checkpoint["optimizer_states"]
    if len(states) != len(trainer.optimizers):
        raise RuntimeError(
            f"The checkpoint holds the states of {len(states)} optimizers, and configure_optimizers returned"
            f" {len(trainer.optimizers)}."
        )
    for optimizer, state in zip(trainer.optimizers, states, strict=True):
        try:
            optimizer.load_state_dict(state)
        except ValueError as error:
            raise ValueError(
                f"The state of {type(optimizer).__name__} in the checkpoint does not fit the one that configure_optimizers"
                f" returned: {error}."
            ) from error
    schedulers = checkpoint["lr_schedulers"]
    if len(schedulers) != len(trainer.lr_scheduler_configs):
        raise RuntimeError(
            f"The checkpoint holds the states of {len(schedulers)} schedulers, and configure_optimizers returned"
            f" {len(trainer.lr_scheduler_configs)}."
        )
    for config, state in zip(trainer.lr_scheduler_configs, schedulers, strict=True):
        config.scheduler.load_state_dict(state)
