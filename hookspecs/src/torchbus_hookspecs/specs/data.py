"""Where batches come from and how they reach the device.

A loader is asked for when it is first needed, and not at all where the script passed one to the entry point. Every
batch then goes through ``on_before_batch_transfer``, ``transfer_batch_to_device`` and ``on_after_batch_transfer``, in
the main process, before its first hook (such as ``on_train_batch_start``). Where a datamodule has a method of this
file, it is used in place of the module's. ``self.log`` is refused in all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import provider, transform

if TYPE_CHECKING:
    from torch import device
    from torchbus import LightningModule, Trainer

__all__ = [
    "on_after_batch_transfer",
    "on_before_batch_transfer",
    "predict_dataloader",
    "test_dataloader",
    "train_dataloader",
    "transfer_batch_to_device",
    "val_dataloader",
]


@provider
def train_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Ask for the training data.

    Called: once per fit, on every rank, after the sanity check and before ``on_train_start``; again before
    ``on_train_epoch_start`` in every epoch that ``reload_dataloaders_every_n_epochs`` names. Not called where fit was
    given loaders.
    Kind: provider.
    Result: an iterable of batches, usually a ``DataLoader``; or a list, dict or
    ``CombinedLoader`` of iterables, which are read together: each batch is then the same collection, with one part from
    each, and the shorter ones start over.
    Default: none; fit is refused.

    Raises:
        MisconfigurationException: nobody implements it, and no loader was passed to the entry point.
        TypeError: the result cannot be iterated over.

    Source: Lightning ``LightningModule.train_dataloader`` and ``LightningDataModule.train_dataloader``.
    """


@provider
def val_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Ask for the validation data.

    Called: once per validate, and once per fit when first needed: after ``on_sanity_check_start``, or before training
    where there is no sanity check; again before a validation when ``reload_dataloaders_every_n_epochs`` says so. On
    every rank.
    Kind: provider.
    Result: an iterable of batches, or a list or dict of them, read one after the other and
    numbered by ``dataloader_idx``; a ``CombinedLoader`` may say otherwise.
    Default: none; fit skips validation, and validate is refused.

    Raises:
        MisconfigurationException: in validate, nobody implements it, and no loader was passed.
        TypeError: the result cannot be iterated over.

    Source: Lightning ``LightningModule.val_dataloader`` and ``LightningDataModule.val_dataloader``.
    """


@provider
def test_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Ask for the test data.

    Called: once per test, on every rank, before ``on_test_model_eval``. Not called where test was given loaders.
    Kind: provider.
    Result: as that of ``val_dataloader``.
    Default: none; test is refused.

    Raises:
        MisconfigurationException: nobody implements it, and no loader was passed to the entry point.
        TypeError: the result cannot be iterated over.

    Source: Lightning ``LightningModule.test_dataloader`` and ``LightningDataModule.test_dataloader``.
    """


@provider
def predict_dataloader(trainer: Trainer, pl_module: LightningModule) -> Any:
    """Ask for the data to predict on.

    Called: once per predict, on every rank, before ``on_predict_model_eval``. Not called where predict was given
    loaders.
    Kind: provider.
    Result: as that of ``val_dataloader``.
    Default: none; predict is refused.

    Raises:
        MisconfigurationException: nobody implements it, and no loader was passed to the entry point.
        TypeError: the result cannot be iterated over.

    Source: Lightning ``LightningModule.predict_dataloader`` and ``LightningDataModule.predict_dataloader``.
    """


@transform
def on_before_batch_transfer(trainer: Trainer, pl_module: LightningModule, batch: Any, dataloader_idx: int) -> Any:
    """Change a batch before it goes to the device.

    Called: for every batch of every entry point, sanity check included, on every rank.
    Kind: transform.
    Result: the batch from here on; ``None`` leaves it as it is.

    Args:
        batch: what the loader gave, usually on the CPU. It may be changed in place or replaced by any other object.
        dataloader_idx: the loader it came from, from 0; always 0 in training.

    Source: Lightning ``LightningModule.on_before_batch_transfer`` and ``LightningDataModule.on_before_batch_transfer``.
    """


@provider
def transfer_batch_to_device(
    trainer: Trainer, pl_module: LightningModule, batch: Any, device: device, dataloader_idx: int
) -> Any:
    """Move a batch to the device of this process.

    Called: for every batch of every entry point, on every rank, right after ``on_before_batch_transfer``.
    Kind: provider.
    Result: the moved batch.
    Default: moves tensors and whatever else has ``.to(device)``, also
    inside lists, tuples, dicts and dataclasses: implement this for other types of batch.

    Args:
        batch: what ``on_before_batch_transfer`` made of it.
        device: the ``torch.device`` of this process.
        dataloader_idx: the loader it came from, from 0; always 0 in training.

    Source: Lightning ``LightningModule.transfer_batch_to_device`` and ``LightningDataModule.transfer_batch_to_device``.
    """


@transform
def on_after_batch_transfer(trainer: Trainer, pl_module: LightningModule, batch: Any, dataloader_idx: int) -> Any:
    """Change a batch that is on the device now: augmentation there, for instance.

    Called: for every batch of every entry point, on every rank, right after ``transfer_batch_to_device``.
    Kind: transform.
    Result: the batch that all later hooks and the step receive; ``None`` leaves it as it is.

    Args:
        batch: the batch on the device. It may be changed in place or replaced by any other object.
        dataloader_idx: the loader it came from, from 0; always 0 in training.

    Source: Lightning ``LightningModule.on_after_batch_transfer`` and ``LightningDataModule.on_after_batch_transfer``.
    """
