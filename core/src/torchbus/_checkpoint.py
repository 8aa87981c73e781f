"""What a checkpoint holds of a trainer, and how a trainer takes it back. Keys are Lightning's."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Callback
from torchbus_hookspecs.events import LoadCheckpoint, SaveCheckpoint

from ._checkpoint_io import check_loadable, load_checkpoint, loadable_items
from ._errors import CheckpointError, MisconfigurationException, MissingEntryError
from ._loading import LEFT_OUT, load_weights
from ._loops.progress import read_fit_progress, write_loops
from ._record import Plugin

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["PREEMPTED", "dump", "find_checkpoint", "restore_before_setup", "restore_training", "state_key"]

FORMAT = "2.6.6"
"""The version of Lightning whose keys these are."""
PREEMPTED = "preempted.ckpt"
"""What a run saves in ``default_root_dir`` when it is asked to go."""


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
        checkpoint["optimizer_states"] = [one.state_dict() for one in trainer.optimizers]
        checkpoint["lr_schedulers"] = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        precision = trainer.precision_plugin.state_dict()
        if precision:
            checkpoint[type(trainer.precision_plugin).__qualname__] = precision
    for owner in (module, datamodule):
        if owner is not None and owner.hparams:
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_NAME] = getattr(owner, "_hparams_name", None)
            checkpoint.update(_hyperparameters(owner))
    if datamodule is not None:
        state = datamodule.state_dict()
        if state:
            checkpoint[type(datamodule).__qualname__] = state
    if weights_only:
        module.on_save_checkpoint(checkpoint)
    else:
        trainer.bus.emitter(SaveCheckpoint)(trainer, module, checkpoint)
    return {key: check_loadable(value, f"checkpoint[{key!r}]") for key, value in checkpoint.items()}


def _hyperparameters(owner: Any) -> dict[str, Any]:
    """What a checkpoint may hold of a module's or datamodule's hyperparameters, and the names of the others.

    They are no part of the training: one that cannot be loaded again is left out, rather than ending the run.
    """
    key = owner.CHECKPOINT_HYPER_PARAMS_KEY
    kept, left_out = loadable_items(owner.hparams)
    if not left_out:
        return {key: kept}
    kinds = ", ".join(f"{name!r} ({type(owner.hparams[name]).__qualname__})" for name in left_out)
    warnings.warn(
        f"Hyperparameters of {type(owner).__name__} are left out of checkpoints, because they cannot be pickled in a way that"
        f" is safe to load: {kinds}. To fix: save_hyperparameters(ignore={left_out}), and pass them to load_from_checkpoint.",
        UserWarning,
        stacklevel=2,
    )
    return {key: kept, key + LEFT_OUT: left_out}


def _plugin_states(trainer: Trainer) -> dict[str, Any]:
    """The states of all plugins that have one, and those of plugins that were absent when the run was resumed."""
    states = dict(trainer.absent_states)
    for name, give_state in trainer.bus.implementations("state_dict"):
        state = _asked(trainer, name, "state_dict", give_state)
        if state:
            key = state_key(trainer.bus.plugins[name])
            states[key] = check_loadable(state, f"The state of plugin `{name}`")
    return states


def _asked(trainer: Trainer, name: str, hook: str, function: Callable[..., Any], *values: Any) -> Any:
    """Call one plugin by itself; a failure is treated as in any other hook."""
    return trainer.bus.call_as(trainer.bus.plugins[name], hook, function, *values)


def find_checkpoint(trainer: Trainer, wanted: Any) -> str | None:
    """The path that ``ckpt_path`` means: a path, ``"best"``, ``"last"``, ``"hpc"``, or nothing.

    Raises:
        ValueError: there is no such checkpoint, or the path is empty.
    """
    if wanted is None:
        return None
    call = f"{trainer.state.fn.value if trainer.state.fn else 'fit'}(ckpt_path={str(wanted)!r})"
    if wanted == "best":
        return _find_best(trainer, call)
    if wanted == "last":
        return _find_last(trainer, call)
    if wanted == "hpc":
        return _find_preempted(trainer, call)
    path = str(os.fspath(wanted))
    if not path:
        raise ValueError(f"{call}: an empty path names no checkpoint. To fix: pass a path, or None to load nothing.")
    return path


def _find_best(trainer: Trainer, call: str) -> str:
    advice = "To fix: pass the module and no ckpt_path to use its weights as they are, or the path of a checkpoint."
    if trainer.fast_dev_run:
        raise ValueError(f"{call}: with `fast_dev_run=True` no checkpoint is saved. {advice}")
    if trainer.checkpoint_callback is None:
        raise ValueError(f"{call}: `ModelCheckpoint` is not configured, and nobody else knows the best. {advice}")
    if len(trainer.checkpoint_callbacks) > 1:
        warnings.warn(
            f"{call}: there are several checkpoint callbacks; the best is what the first of them says,"
            f" {type(trainer.checkpoint_callback).__name__}.",
            UserWarning,
            stacklevel=6,
        )
    best: str = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        raise ValueError(
            f"{call}: no checkpoint was saved yet, or `ModelCheckpoint` is not configured to save the best model. {advice}"
        )
    return best


def _find_last(trainer: Trainer, call: str) -> str | None:
    found = [path for one in trainer.checkpoint_callbacks for path in one.find_last(trainer)]
    if not found:
        warnings.warn(
            f"{call}: there is no last checkpoint available, so none is loaded. One is there after a run with"
            " `ModelCheckpoint(save_last=True)` and the same `dirpath`.",
            UserWarning,
            stacklevel=6,
        )
    return max(found, key=os.path.getmtime, default=None)


def _find_preempted(trainer: Trainer, call: str) -> str:
    """The newest checkpoint that a run left behind when it was asked to go: torchbus's name for it, and Lightning's."""
    folder = Path(trainer.default_root_dir)
    found = [*folder.glob(PREEMPTED), *folder.glob("hpc_ckpt_*.ckpt")]
    if not found:
        raise ValueError(
            f"{call}: no HPC checkpoint was found in {folder}: no run that was asked to go has left one there."
            " To fix: set `default_root_dir` to that run's, or pass the checkpoint's path."
        )
    return str(max(found, key=lambda path: (path.stat().st_mtime, path.name)))


# ---- taking it back -----------------------------------------------------------------------------------------------------


def restore_before_setup(trainer: Trainer, path: str, weights_only: bool | None) -> dict[str, Any]:
    """Read a checkpoint; give the module, the datamodule and the plugins what it holds of them."""
    checkpoint = load_checkpoint(path, "cpu", weights_only)
    module, datamodule = trainer.lightning_module, trainer.datamodule
    module.on_load_checkpoint(checkpoint)
    load_weights(module, checkpoint["state_dict"], module.strict_loading, path)
    if datamodule is not None:
        key = type(datamodule).__qualname__
        if key in checkpoint:
            datamodule.load_state_dict(checkpoint[key])
    trainer.bus.emitter_without("lightning_module", LoadCheckpoint)(trainer, module, checkpoint)
    _restore_plugins(trainer, checkpoint.get("callbacks", {}))
    return checkpoint


def _restore_plugins(trainer: Trainer, states: dict[str, Any]) -> None:
    unclaimed = dict(states)
    for name, take_state in trainer.bus.implementations("load_state_dict"):
        key = state_key(trainer.bus.plugins[name])
        if key in states:
            _asked(trainer, name, "load_state_dict", take_state, copy.deepcopy(states[key]))
    for plugin in trainer.bus.plugins.values():
        unclaimed.pop(state_key(plugin), None)
    is_fit = trainer.state.fn == "fit"
    if is_fit:
        trainer.absent_states = unclaimed
    if unclaimed:
        names = ", ".join(f"`{key}`" for key in unclaimed)
        warnings.warn(
            f"The checkpoint holds states of plugins that this run does not use: {names}."
            + (" They are kept, and written back into new checkpoints." if is_fit else ""),
            UserWarning,
            stacklevel=2,
        )


def restore_training(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Give loops, precision, optimizers and schedulers what a checkpoint holds of them.

    Raises:
        CheckpointError: it was not saved by a trainer.
        MisconfigurationException: it holds weights only (a ``KeyError`` too), or more epochs than the trainer may train.
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
        raise MissingEntryError(
            "The checkpoint contains only the model, without the optimizers' states, so training cannot be resumed from it."
            " To fix: load it with load_from_checkpoint and fit without ckpt_path, or use one saved without weights_only."
        )
    precision = checkpoint.get(type(trainer.precision_plugin).__qualname__)
    if precision:
        trainer.precision_plugin.load_state_dict(precision)
    _restore_optimizers(trainer, checkpoint)


_OTHER_TRAINING = (
    "To fix: return as many as the run that saved it; or, for another kind of training, load its weights with"
    " load_from_checkpoint and fit without ckpt_path."
)


def _restore_optimizers(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    states = checkpoint["optimizer_states"]
    if len(states) != len(trainer.optimizers):
        raise RuntimeError(
            f"The checkpoint holds the states of {len(states)} optimizers, and configure_optimizers returned"
            f" {len(trainer.optimizers)}. {_OTHER_TRAINING}"
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
            f" {len(trainer.lr_scheduler_configs)}. {_OTHER_TRAINING}"
        )
    for config, state in zip(trainer.lr_scheduler_configs, schedulers, strict=True):
        config.scheduler.load_state_dict(state)
