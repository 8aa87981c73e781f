"""Validation, test and the sanity check.

A validation run goes through ``on_validation_model_eval`` to ``on_validation_model_train``: in every sanity check, in
fit as often as the trainer's intervals say, and once in ``validate``. A test run is the same under other names.
Gradients are off throughout, and only outside fit does ``inference_mode=True`` apply. By default ``self.log`` writes
one value per run, the mean weighted by batch size; it is refused in ``on_validation_end``, in ``on_test_end``, around
the sanity check and where modes are switched.

Several loaders are read one after the other. A module's methods take ``dataloader_idx`` then; with one loader they may
leave it out, or give it a default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

    from .._types import StepOutput

__all__ = [
    "on_sanity_check_end",
    "on_sanity_check_start",
    "on_test_batch_end",
    "on_test_batch_start",
    "on_test_end",
    "on_test_epoch_end",
    "on_test_epoch_start",
    "on_test_model_eval",
    "on_test_model_train",
    "on_test_start",
    "on_validation_batch_end",
    "on_validation_batch_start",
    "on_validation_end",
    "on_validation_epoch_end",
    "on_validation_epoch_start",
    "on_validation_model_eval",
    "on_validation_model_train",
    "on_validation_model_zero_grad",
    "on_validation_start",
    "test_step",
    "validation_step",
]


@broadcast
def on_sanity_check_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A few validation batches are about to check the code before training begins.

    Called: once per fit, on every rank, before the first ``train_dataloader``. A whole validation run follows, with
    ``trainer.sanity_checking`` true; its metrics are dropped. Not called with ``num_sanity_val_steps=0``,
    ``fast_dev_run``, without validation data or step, or when a run resumes inside an epoch.
    Kind: broadcast.

    Source: Lightning ``Callback.on_sanity_check_start``.
    """


@broadcast
def on_sanity_check_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """The sanity check is done; its metrics are about to be dropped.

    Called: once per sanity check, on every rank, after ``on_validation_model_train``.
    Kind: broadcast.

    Source: Lightning ``Callback.on_sanity_check_end``.
    """


@provider
def on_validation_model_zero_grad(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Free the memory of the gradients before a validation inside fit.

    Called: before each validation of a fit, on every rank, before ``on_validation_model_eval``. Not called in the
    sanity check, in validate, or while gradients are accumulating and still needed.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.zero_grad()``.

    Source: Lightning ``LightningModule.on_validation_model_zero_grad``.
    """


@provider
def on_validation_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Switch the module to evaluation mode.

    Called: once per validation run, on every rank, before ``on_validation_start``.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.eval()``. The mode of every submodule is remembered before, for ``on_validation_model_train``.

    Source: Lightning ``LightningModule.on_validation_model_eval``.
    """


@broadcast
def on_validation_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A validation run begins, with the module in evaluation mode.

    Called: once per validation run, on every rank.
    Kind: broadcast.

    Source: Lightning ``Callback.on_validation_start`` and ``LightningModule.on_validation_start``.
    """


@broadcast
def on_validation_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """The one pass over the validation data begins.

    Called: once per validation run, however many loaders there are, on every rank, right after ``on_validation_start``.
    Kind: broadcast.

    Source: Lightning ``Callback.on_validation_epoch_start`` and ``LightningModule.on_validation_epoch_start``.
    """


@broadcast
def on_validation_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """A batch is on the device and about to be validated.

    Called: once per batch of each loader, on every rank.
    Kind: broadcast.

    Args:
        batch: the batch after transfer. It may be changed in place.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_validation_batch_start`` and ``LightningModule.on_validation_batch_start``.
    """


@provider
def validation_step(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> StepOutput:
    """Validate one batch.

    Called: once per batch of each loader, on every rank. A module without this method is not validated in fit, and
    validate refuses it.
    Kind: provider.
    Result: a tensor, a mapping or ``None``. It only goes to ``on_validation_batch_end``: metrics are logged with
    ``self.log``.
    Default: none.

    Args:
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Raises:
        MisconfigurationException: in validate, nobody implements it, told before the run begins.
        RuntimeError: there are several loaders, and the module's method has no argument ``dataloader_idx``.

    Source: Lightning ``LightningModule.validation_step``.
    """


@broadcast
def on_validation_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """One validation batch is done.

    Called: once per batch of each loader, on every rank. Not called for a batch that raised.
    Kind: broadcast.

    Args:
        outputs: what ``validation_step`` returned, as it was, on the device.
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_validation_batch_end`` and ``LightningModule.on_validation_batch_end``.
    """


@broadcast
def on_validation_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """The last batch of the last loader is validated: the place to log what was gathered over the run.

    Called: once per validation run, on every rank.
    Kind: broadcast.

    Source: Lightning ``Callback.on_validation_epoch_end`` and ``LightningModule.on_validation_epoch_end``.
    """


@broadcast
def on_validation_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """A validation run ends: its metrics are final, in ``trainer.callback_metrics`` and with the loggers.

    Called: once per validation run, on every rank, the module still in evaluation mode. In fit, ``on_train_epoch_end``
    comes after the validation at the end of an epoch. Not called after an exception.
    Kind: broadcast.

    Source: Lightning ``Callback.on_validation_end`` and ``LightningModule.on_validation_end``.
    """


@provider
def on_validation_model_train(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Switch the module back to the mode it had before validation.

    Called: once per validation run, on every rank, after ``on_validation_end``; in validate too. Only where the module
    overrides it: otherwise the loop gives each submodule its own former mode back, so that frozen parts stay in
    evaluation mode, which ``pl_module.train()`` in an override would switch too.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.train()``, which an override reaches through ``super()``.

    Source: Lightning ``LightningModule.on_validation_model_train``.
    """


@provider
def on_test_model_eval(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Switch the module to evaluation mode.

    Called: once per test, on every rank, before ``on_test_start``.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.eval()``. The mode of every submodule is remembered before, for ``on_test_model_train``.

    Source: Lightning ``LightningModule.on_test_model_eval``.
    """


@broadcast
def on_test_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """A test run begins, with the module in evaluation mode.

    Called: once per test, on every rank. Not called by fit, which never tests.
    Kind: broadcast.

    Source: Lightning ``Callback.on_test_start`` and ``LightningModule.on_test_start``.
    """


@broadcast
def on_test_epoch_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """The one pass over the test data begins.

    Called: once per test, however many loaders there are, on every rank, right after ``on_test_start``.
    Kind: broadcast.

    Source: Lightning ``Callback.on_test_epoch_start`` and ``LightningModule.on_test_epoch_start``.
    """


@broadcast
def on_test_batch_start(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """A batch is on the device and about to be tested.

    Called: once per batch of each loader, on every rank.
    Kind: broadcast.

    Args:
        batch: the batch after transfer. It may be changed in place.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_test_batch_start`` and ``LightningModule.on_test_batch_start``.
    """


@provider
def test_step(
    trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int
) -> StepOutput:
    """Test one batch.

    Called: once per batch of each loader, on every rank. Test refuses a module without this method.
    Kind: provider.
    Result: a tensor, a mapping or ``None``. It only goes to ``on_test_batch_end``: metrics are logged with ``self.log``.
    Default: none.

    Args:
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Raises:
        MisconfigurationException: nobody implements it, told before the run begins.
        RuntimeError: there are several loaders, and the module's method has no argument ``dataloader_idx``.

    Source: Lightning ``LightningModule.test_step``.
    """


@broadcast
def on_test_batch_end(
    trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int
) -> None:
    """One test batch is done.

    Called: once per batch of each loader, on every rank. Not called for a batch that raised.
    Kind: broadcast.

    Args:
        outputs: what ``test_step`` returned, as it was, on the device.
        batch: the batch after transfer.
        batch_idx: position of the batch in its loader, from 0.
        dataloader_idx: the loader it came from, from 0.

    Source: Lightning ``Callback.on_test_batch_end`` and ``LightningModule.on_test_batch_end``.
    """


@broadcast
def on_test_epoch_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """The last batch of the last loader is tested: the place to log what was gathered over the run.

    Called: once per test, on every rank.
    Kind: broadcast.

    Source: Lightning ``Callback.on_test_epoch_end`` and ``LightningModule.on_test_epoch_end``.
    """


@broadcast
def on_test_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """A test run ends: its metrics are final, in ``trainer.callback_metrics`` and with the loggers.

    Called: once per test, on every rank, the module still in evaluation mode. Not called after an exception.
    Kind: broadcast.

    Source: Lightning ``Callback.on_test_end`` and ``LightningModule.on_test_end``.
    """


@provider
def on_test_model_train(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Switch the module back to the mode it had before the test.

    Called: once per test, on every rank, after ``on_test_end``. Only where the module overrides it, as
    ``on_validation_model_train``.
    Kind: provider.
    Result: ``True`` from a plugin, for done.
    Default: ``pl_module.train()``, which an override reaches through ``super()``.

    Source: Lightning ``LightningModule.on_test_model_train``.
    """
