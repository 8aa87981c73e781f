"""Setting a run up and taking it down, from ``configure_callbacks`` to ``teardown``.

A run is one call of ``fit``, ``validate``, ``test`` or ``predict``: the entry points. All four open and close with the
hooks of this file; ``configure_optimizers``, ``on_fit_start`` and ``on_fit_end`` belong to ``fit`` alone. ``self.log``
is refused in all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchbus import LightningModule, Trainer

    from ..callback import Callback

__all__ = [
    "configure_callbacks",
    "configure_model",
    "configure_optimizers",
    "configure_sharded_model",
    "on_exception",
    "on_fit_end",
    "on_fit_start",
    "prepare_data",
    "setup",
    "teardown",
]


@provider
def configure_callbacks(trainer: Trainer, pl_module: LightningModule) -> Sequence[Callback] | Callback | None:
    """Ask for callbacks that belong to the module rather than to the script.

    Called: once at the start of every entry point, on every rank, before every other hook.
    Kind: provider.
    Result: a callback or a sequence of callbacks. Each one replaces the trainer's callbacks of exactly its own type;
    those that replace nothing are added. Checkpoint callbacks still come last.
    Default: none; the trainer's callbacks stay as they are.

    Source: Lightning ``LightningModule.configure_callbacks``.
    """


@broadcast
def prepare_data(trainer: Trainer, pl_module: LightningModule) -> None:
    """Fetch what must be on disk before any process reads it: download, unpack, tokenize.

    Called: once at the start of every entry point, before ``setup``, in one process of each machine; in one process of
    the whole run where the owner's ``prepare_data_per_node`` is false. The other processes wait until it is done. They
    never see attributes set here: set those in ``setup``.
    Kind: broadcast.
    Order: the datamodule before the module.

    Source: Lightning ``LightningDataModule.prepare_data`` and ``LightningModule.prepare_data``.
    """


@broadcast
def setup(trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
    """Get ready for one entry point, in every process: build datasets, open files, read the trainer's settings.

    Called: once per entry point, on every rank, after ``prepare_data``. The model is not complete yet
    (``configure_model`` follows) and not on its device.
    Kind: broadcast.
    Order: the datamodule, then callbacks and other plugins, then the module.

    Args:
        stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``. Methods of classes receive it as a keyword.

    Source: Lightning ``Callback.setup``, ``LightningModule.setup`` and ``LightningDataModule.setup``.
    """


@broadcast
def configure_sharded_model(trainer: Trainer, pl_module: LightningModule) -> None:
    """Complete the model: the old name of ``configure_model``, which new code should use.

    Called: once per entry point, on every rank, directly before ``configure_model``.
    Kind: broadcast.

    Source: Lightning ``LightningModule.configure_sharded_model``.
    """


@broadcast
def configure_model(trainer: Trainer, pl_module: LightningModule) -> None:
    """Create the layers that ``__init__`` left out, such as those too large to be built before they are sharded.

    Called: once per entry point, on every rank, after ``setup``, before a checkpoint's weights are loaded and before
    ``configure_optimizers``. It comes again when the same module goes through another entry point, and a plugin may
    call it early: leave alone what exists already.
    Kind: broadcast.

    Source: Lightning ``LightningModule.configure_model``.
    """


@provider
def configure_optimizers(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Ask for the optimizers of a fit and their learning rate schedulers.

    Called: once per fit, on every rank, after a checkpoint's weights are loaded and before ``on_fit_start``. Not called
    by validate, test and predict.
    Kind: provider.
    Result: one of

    - an optimizer, or a list or tuple of them (more than one only in manual optimization);
    - two lists: the optimizers, the schedulers;
    - a dict with ``"optimizer"`` and, if wanted, ``"lr_scheduler"``, or a list or tuple of such dicts;
    - ``None`` from the module: its steps run, and no weight changes.

    A scheduler is given as it is, or as a dict: ``scheduler``; ``interval``, ``"epoch"`` (default) or ``"step"``;
    ``frequency``, in intervals (1); ``monitor``, the metric that a plateau scheduler follows; ``strict``, whether a
    missing metric is an error (true); ``name``, for learning rate logs.

    Default: none; a fit in which nobody implements this hook is refused.

    Raises:
        MisconfigurationException: the result is none of these, or a scheduler in it cannot work: of an optimizer that was
            not returned, a plateau without ``monitor``, an unknown ``interval``.
        RuntimeError: there are several optimizers in automatic optimization.

    Source: Lightning ``LightningModule.configure_optimizers``.
    """


@broadcast
def on_fit_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A fit begins: the model is on its device, its optimizers exist, a checkpoint's states are loaded.

    Called: once per fit, on every rank, after ``configure_optimizers``; before the loggers hear of hyperparameters and
    before the sanity check. Called also when nothing is left to train. Not called by validate, test and predict.
    Kind: broadcast.

    Source: Lightning ``Callback.on_fit_start`` and ``LightningModule.on_fit_start``.
    """


@broadcast
def on_fit_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """A fit ends: training is done, nothing is taken down yet.

    Called: once per fit, on every rank, after ``on_train_end`` and before ``teardown``; also when nothing was left to
    train. Not called after an exception.
    Kind: broadcast.

    Source: Lightning ``Callback.on_fit_end`` and ``LightningModule.on_fit_end``.
    """


@broadcast
def teardown(trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
    """Undo what ``setup`` did: close files, let go of large objects.

    Called: once at the end of every entry point, on every rank, before the loggers' ``finalize("success")``. Not called
    after an exception: release what must be released in ``on_exception`` too.
    Kind: broadcast.
    Order: the datamodule, then callbacks and other plugins, then the module.

    Args:
        stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``, as in ``setup``.

    Source: Lightning ``Callback.teardown``, ``LightningModule.teardown`` and ``LightningDataModule.teardown``.
    """


@broadcast
def on_exception(trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
    """The run is about to end with an exception.

    Called: once, by every entry point, on each rank that raised, instead of all hooks that were still to come:
    ``on_train_end``, ``on_fit_end`` and ``teardown`` do not follow, the loggers' ``finalize("failed")`` does. Not
    called for a failure of a plugin that is only reported: see ``on_plugin_failed``.
    Kind: broadcast.
    Result: none counts: nothing stops the exception.
    Order: callbacks and other plugins, then the datamodule. The
    module is never called.

    Args:
        exception: what was raised, with its traceback, and a note naming plugin and hook where a plugin raised it.
            After ``KeyboardInterrupt`` the process leaves with ``SystemExit``; everything else is raised again.

    Source: Lightning ``Callback.on_exception`` and ``LightningDataModule.on_exception``.
    """
