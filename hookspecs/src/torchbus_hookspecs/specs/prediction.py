"""Prediction: one pass over the data, gradients off, results handed back to the script.

Only ``predict`` calls these hooks. ``inference_mode=True`` applies, loaders are read one after the other, and
``self.log`` is refused throughout. There is no hook for the way back to training mode: afterwards each submodule has
its former mode again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = [
    "on_predict_batch_end",
    "on_predict_batch_start",
    "on_predict_end",
    "on_predict_epoch_end",
    "on_predict_epoch_start",
    "on_predict_model_eval",
    "on_predict_start",
    "predict_step",
]


@provider
def on_predict_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Switch the module to evaluation mode.

    Called: once per predict, on every rank, before ``on_predict_start``.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.eval()``.

    Source: Lightning ``LightningModule.on_predict_model_eval``.
    """


@broadcast
def on_predict_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A prediction run begins, with the module in evaluation mode.

    Called: once per predict, on every rank.
    Kind: broadcast.

    Source: Lightning ``Callback.on_predict_start`` and ``LightningModule.on_predict_start``.
    """


@broadcast
def on_predict_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """The one pass over the data begins.

    Called: once per predict, however many loaders there are, on every rank, right after ``on_predict_start``.
    Kind: broadcast.

    Source: Lightning ``Callback.on_predict_epoch_start`` and ``LightningModule.on_predict_epoch_start``.
    """


@broadcast
def on_predict_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """A batch is on the device and about to be predicted on.

    Called: once per batch of each loader, on every rank.
    Kind: broadcast.

    Args:
        batch: the batch after transfer. It may be changed in place.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_predict_batch_start`` and ``LightningModule.on_predict_batch_start``.
    """


@provider
def predict_step(trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
    """Predict on one batch.

    Called: once per batch of each loader, on every rank.
    Kind: provider.
    Result: anything; it goes to ``on_predict_batch_end`` and, moved to the CPU, into what
    ``predict`` returns.
    Default: calls the module on the batch.

    Args:
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0. With one loader a module's method may leave it out.

    Source: Lightning ``LightningModule.predict_step``.
    """


@broadcast
def on_predict_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """One batch of predictions is there.

    Called: once per batch of each loader, on every rank: each rank sees its own share of the data. Not called for a
    batch that raised.
    Kind: broadcast.

    Args:
        outputs: what ``predict_step`` returned, still on the device. ``return_predictions=False`` keeps the run from
            gathering it in memory; write it out here then.
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_predict_batch_end`` and ``LightningModule.on_predict_batch_end``.
    """


@broadcast
def on_predict_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """The last batch of the last loader is predicted on.

    Called: once per predict, on every rank.
    Kind: broadcast.

    Source: Lightning ``Callback.on_predict_epoch_end`` and ``LightningModule.on_predict_epoch_end``.
    """


@broadcast
def on_predict_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """A prediction run ends.

    Called: once per predict, on every rank, right after ``on_predict_epoch_end`` and before ``teardown``. Not called
    after an exception.
    Kind: broadcast.

    Source: Lightning ``Callback.on_predict_end`` and ``LightningModule.on_predict_end``.
    """
