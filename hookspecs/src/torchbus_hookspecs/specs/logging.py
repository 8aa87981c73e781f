"""What loggers are told, and when.

``Logger`` subclasses implement these hooks as methods; any other plugin may implement them too, and then hears what
every logger hears. Whoever writes files or sends data should do so once: ``@hookimpl(ranks="zero")``. Loggers observe:
one that keeps raising is switched off, and the run goes on. ``self.log`` is refused in all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast

if TYPE_CHECKING:
    from torch.nn import Module
    from torchbus import LightningModule, Trainer

    from ..callback import Checkpoint

__all__ = ["after_save_checkpoint", "finalize", "log_graph", "log_hyperparams", "log_metrics", "on_log_record", "save"]


@broadcast
def on_log_record(trainer: Trainer, pl_module: LightningModule, metrics: dict[str, float], step: int | None) -> None:
    """A record of metrics is about to be handed to the loggers.

    Called: for every record, right before ``log_metrics``: at the training steps that ``log_every_n_steps`` names, at
    the end of an epoch that logged something, and for validation and test. In contrast to
    ``log_metrics`` it knows the trainer and the module.
    Kind: broadcast.

    Args:
        metrics: names and values, as plain floats, reduced as ``self.log`` was asked to. Read it, do not change it.
        step: the position on the logged step axis: batches that stepped an optimizer, from 0; for values per batch of
            validation and test, batches evaluated; or what was logged under the name ``step``. ``None`` where there is
            none.

    Source: torchbus.
    """


@broadcast
def log_metrics(metrics: dict[str, float], step: int | None) -> None:
    """Record metrics at a step.

    Called: for every record (see ``on_log_record``), followed by ``save``.
    Kind: broadcast.

    Args:
        metrics: names and values, as plain floats, among them ``epoch`` for most records. Do not change it.
        step: the position on the logged step axis, from 0. ``None`` leaves it to the logger.

    Source: Lightning ``Logger.log_metrics``.
    """


@broadcast
def log_hyperparams(params: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Record the hyperparameters of a run.

    Called: once per entry point, after ``on_fit_start`` in a fit, when the module or the datamodule has saved any. Not
    called when there are none.
    Kind: broadcast.

    Args:
        params: names and values, those of the datamodule and the module together; values may be of any type.
        args: what the logger takes beside them by position, as a tuple; the trainer passes nothing.
        kwargs: what it takes by keyword, as a dict; the trainer passes nothing.

    Source: Lightning ``Logger.log_hyperparams``.
    """


@broadcast
def log_graph(model: Module, input_array: Any) -> None:
    """Record the graph of the model.

    Called: once per entry point, after ``log_hyperparams`` and followed by ``save``. Most loggers do nothing here unless
    their settings ask for it.
    Kind: broadcast.

    Args:
        model: the module, on its device.
        input_array: a batch to trace it with; ``None`` means the module's ``example_input_array``, if it has one.

    Source: Lightning ``Logger.log_graph``.
    """


@broadcast
def after_save_checkpoint(checkpoint_callback: Checkpoint) -> None:
    """A checkpoint callback has saved: the place to upload what it wrote.

    Called: after each save of a checkpoint callback, when the file is already committed. Not called for
    ``trainer.save_checkpoint`` in a script: ``on_checkpoint_committed`` tells of every file.
    Kind: broadcast.

    Args:
        checkpoint_callback: the callback that saved; its attributes name its best and its last file. Read it only.

    Source: Lightning ``Logger.after_save_checkpoint``.
    """


@broadcast
def save() -> None:
    """Write out what is buffered.

    Called: after the hyperparameters and the graph, and after every ``log_metrics`` of the trainer: often, so return
    fast when little has gathered.
    Kind: broadcast.

    Source: Lightning ``Logger.save``.
    """


@broadcast
def finalize(status: str) -> None:
    """The run is over: write out what is buffered, close files and connections.

    Called: once at the end of every entry point, as its last hook: after ``teardown``, or after ``on_exception``. The
    same logger may be used by a later entry point and must be able to open again.
    Kind: broadcast.

    Args:
        status: ``"success"``, or ``"failed"`` after an exception, an interrupt by the keyboard included.

    Source: Lightning ``Logger.finalize``.
    """
