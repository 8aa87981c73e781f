"""The tuner: the finders' searches by themselves, without the run that would follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Callback, MisconfigurationException

from . import _rate_search, _sizes
from ._batch_size_finder import BatchSizeFinder
from ._learning_rate_finder import LearningRateFinder
from ._rate_search import RateSearch

if TYPE_CHECKING:
    from torchbus import LightningDataModule, LightningModule, Trainer

__all__ = ["Tuner"]

_METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Finds a batch size or a learning rate for a module, and sets it there; the run itself is up to you.

        tuner = Tuner(trainer)
        tuner.scale_batch_size(model, mode="binsearch")
        tuner.lr_find(model)
        trainer.fit(model)

    Args:
        trainer: the one that will train.

    Source: Lightning ``Tuner``.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def scale_batch_size(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: str = "fit",
        mode: _sizes.Mode = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Find the largest batch that fits into memory, set its size, and return it; ``None`` in a ``fast_dev_run``.

        Args:
            model: the module that is to be run.
            train_dataloaders, val_dataloaders, dataloaders: taken for the sake of ``fit`` and its like; loaders that are
                passed have batches of a fixed size, and are refused.
            datamodule: where loaders come from.
            method: the entry point to try: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
            mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val: settings of ``BatchSizeFinder``.

        Raises:
            MisconfigurationException: a setting is wrong, or there is nowhere to set the size.
            ValueError: there is no such method, or the trainer has a ``BatchSizeFinder`` of its own.
        """
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        self._search(finder, model, method, train_dataloaders, val_dataloaders, dataloaders, datamodule)
        return None if self._trainer.fast_dev_run else finder.optimal_batch_size

    def lr_find(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: str = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: _rate_search.Mode = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> RateSearch | None:
        """Try rising learning rates, set the one that does best, and return all; ``None`` in a ``fast_dev_run``.

        Args:
            model: the module that is to be trained.
            train_dataloaders, val_dataloaders: as of ``fit``; default: those of datamodule or module.
            dataloaders: not for a fit: refused.
            datamodule: where loaders come from.
            method: ``"fit"``, the only one with a learning rate.
            min_lr, max_lr, mode, early_stop_threshold, update_attr, attr_name: settings of ``LearningRateFinder``.
            num_training: its ``num_training_steps``.

        Raises:
            MisconfigurationException: a setting is wrong, the method is not ``"fit"``, or there is nowhere to set the rate.
            AttributeError: the same, for the last of these.
            ValueError: the trainer has a ``LearningRateFinder`` of its own.
        """
        if method != "fit":
            raise MisconfigurationException(
                f"Tuner.lr_find: method={method!r}: only a fit has a learning rate. To fix: leave it out, or say"
                " method='fit'."
            )
        finder = LearningRateFinder(min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name)
        self._search(finder, model, method, train_dataloaders, val_dataloaders, dataloaders, datamodule)
        return finder.optimal_lr

    def _search(
        self,
        finder: BatchSizeFinder | LearningRateFinder,
        model: LightningModule,
        method: str,
        train_dataloaders: Any,
        val_dataloaders: Any,
        dataloaders: Any,
        datamodule: LightningDataModule | None,
    ) -> None:
        """Start the entry point with the finder before all callbacks; it ends the run when it is done."""
        if method not in _METHODS:
            raise ValueError(f"Tuner: method={method!r} is no entry point; these are {', '.join(_METHODS)}.")
        is_fit = method == "fit"
        if is_fit and dataloaders is not None:
            raise MisconfigurationException(
                "Tuner: with method='fit', `dataloaders` should be None. To fix: pass `train_dataloaders` and"
                " `val_dataloaders`."
            )
        if not is_fit and (train_dataloaders is not None or val_dataloaders is not None):
            raise MisconfigurationException(
                f"Tuner: with method={method!r}, `train_dataloaders` and `val_dataloaders` should be None. To fix: pass"
                " `dataloaders`."
            )
        trainer = self._trainer
        if any(isinstance(one, type(finder)) for one in trainer.callbacks):
            raise ValueError(
                f"Tuner: the trainer is already configured with a `{type(finder).__name__}` callback, which searches by"
                " itself. To fix: remove it, or do without the tuner."
            )
        finder._ends_run = True
        callbacks: list[Callback] = list(trainer.callbacks)
        trainer.callbacks = [finder, *callbacks]
        try:
            if is_fit:
                trainer.fit(model, train_dataloaders, val_dataloaders, datamodule)
            else:
                getattr(trainer, method)(model, dataloaders, datamodule=datamodule)
        finally:
            trainer.callbacks = [one for one in trainer.callbacks if one is not finder]
