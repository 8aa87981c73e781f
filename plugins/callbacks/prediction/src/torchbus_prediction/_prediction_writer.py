"""The base class ``BasePredictionWriter``: when predictions are handed to a subclass, and with which sample numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["BasePredictionWriter", "WriteInterval"]

WriteInterval = Literal["batch", "epoch", "batch_and_epoch"]


@validated
class BasePredictionWriter(Callback):
    """Base class for callbacks that write predictions: override ``write_on_batch_end``, ``write_on_epoch_end`` or both.

    With several processes each one writes what it predicted; the sample numbers tell what that is.
    ``trainer.predict(..., return_predictions=False)`` with ``"batch"`` keeps no prediction in memory.

    Attributes:
        interval: when predictions are handed over.

    Raises:
        MisconfigurationException: ``write_interval`` is unknown.

    Source: Lightning ``BasePredictionWriter``. In contrast to it, memory stays flat when writing per batch.
    """

    def __init__(
        self,
        write_interval: Annotated[
            WriteInterval, Field(description="Write after each batch, at the end, or both.")
        ] = "batch",
    ) -> None:
        super().__init__()
        self.interval = write_interval
        if write_interval == "batch" and type(self).on_predict_epoch_end is BasePredictionWriter.on_predict_epoch_end:
            # not to be heard there: the trainer keeps all predictions of an epoch while anybody hears its end
            self.__dict__["on_predict_epoch_end"] = super().on_predict_epoch_end

    # ---- for subclasses ----------------------------------------------------------------------------------------------

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the predictions of one batch.

        Args:
            trainer: the trainer.
            pl_module: the module.
            prediction: what ``predict_step`` returned.
            batch_indices: the numbers of its samples in the dataset; ``None`` if the loader does not choose by number.
            batch: the batch, on the device.
            batch_idx: its number, from 0, in its loader.
            dataloader_idx: the number of its loader.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `write_on_batch_end`: define it, or write per epoch.")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write all predictions.

        Args:
            trainer: the trainer.
            pl_module: the module.
            predictions: one for each batch; with several loaders a list of them for each loader.
            batch_indices: for each loader and batch, the numbers of its samples.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `write_on_epoch_end`: define it, or write per batch.")

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the numbers of the samples in each batch."""
        if stage == "predict":
            trainer.predict_loop.track_indices = True

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand over the predictions of a batch."""
        if self.interval != "epoch":
            indices = trainer.predict_loop.current_batch_indices or None
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over all predictions."""
        if self.interval != "batch":
            loop = trainer.predict_loop
            predictions = loop.predictions[0] if len(loop.predictions) == 1 else loop.predictions
            self.write_on_epoch_end(trainer, pl_module, predictions, loop.batch_indices)
