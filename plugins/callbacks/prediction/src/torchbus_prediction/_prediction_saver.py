"""The callback ``prediction_saver``: predictions to files, per batch or per loader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.files import replacing, writing_to
from torchbus_hookspecs.settings import validated

from ._formats import FORMATS, Format, Record, UnsuitableError, on_cpu
from ._prediction_writer import BasePredictionWriter
from ._reading import Place, find_files, joined

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["PredictionSaver"]


@validated
class PredictionSaver(BasePredictionWriter):
    """Write what ``predict_step`` returns to files; ``read_predictions`` reads them back in the order of the samples.

    Files are called ``predictions-loader0-batch000003-rank0.pt``, or ``predictions-loader0-rank0.pt`` when written at the
    end; each rank writes its own. They hold the numbers of the samples beside the predictions. Each is whole or not there.

    Raises:
        MisconfigurationException: a setting is wrong, the folder has predictions already or cannot be written, or the
            predictions do not fit the format.

    Source: torchbus's own.
    """

    def __init__(
        self,
        dirpath: Annotated[str | Path, Field(description="Folder for the files.")],
        write_interval: Annotated[
            Literal["batch", "epoch"],
            Field(description="A file for each batch, or at the end one for each loader, which needs memory for all."),
        ] = "batch",
        format: Annotated[  # what it is
            Format,
            Field(description="`pt` holds any tensors, `npy` one tensor, `csv` a table with one row per sample."),
        ] = "pt",
        overwrite: Annotated[
            bool, Field(description="Remove predictions that are in the folder already; else they are an error.")
        ] = False,
    ) -> None:
        super().__init__(write_interval)
        self.dirpath = Path(dirpath)
        self.format: Format = format
        self.overwrite = overwrite

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See that the folder has no predictions of an earlier run, which would be read as if they were of this one."""
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        if trainer.is_global_zero:
            with writing_to(self.dirpath, type(self).__name__, "dirpath"):
                self._clear(list(find_files(self.dirpath).values()))
        trainer.strategy.barrier()  # nobody writes before the folder is clear

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
        """Write the file of a batch."""
        indices = None if batch_indices is None else list(batch_indices)
        self._write(self._record(prediction, indices), Place(dataloader_idx, batch_idx, trainer.global_rank))

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write the file of each loader."""
        loaders = [predictions] if len(batch_indices) == 1 else predictions
        for loader_idx, (values, indices) in enumerate(zip(loaders, batch_indices, strict=True)):
            numbers = [list(one) or None for one in indices] or [None] * len(values)
            records = [self._record(one, number) for one, number in zip(values, numbers, strict=True)]
            record = joined(records)
            if record is not None:
                self._write(record, Place(loader_idx, -1, trainer.global_rank))
            elif records:
                raise self._unsuitable(
                    f"the batches of loader {loader_idx} do not fit into one file, since their predictions are not one per"
                    " sample, or of different widths",
                    "write_interval='batch'",
                )

    def _clear(self, present: list[Path]) -> None:
        if present and not self.overwrite:
            raise MisconfigurationException(
                f"{type(self).__name__}: the folder {str(self.dirpath)!r} has {len(present)} files of predictions already,"
                f" such as {present[0].name}. To fix: give this run a folder of its own, or overwrite=True to remove them.",
                plugin=type(self).__name__,
            )
        for path in present:
            path.unlink()

    def _record(self, prediction: Any, indices: list[Any] | None) -> Record:
        try:
            return Record(on_cpu(prediction), indices)
        except UnsuitableError as error:
            raise self._unsuitable(str(error), "tensors, numbers, texts, and lists or dictionaries of them") from error

    def _write(self, record: Record, place: Place) -> None:
        path = self.dirpath / place.file_name(self.format)
        write, _ = FORMATS[self.format]
        try:
            with writing_to(path, type(self).__name__, "dirpath"), replacing(path) as beside:
                write(record, beside)
        except UnsuitableError as error:
            raise self._unsuitable(f"format={self.format!r} does not do here: {error}", "format='pt'") from error

    def _unsuitable(self, problem: str, remedy: str) -> MisconfigurationException:
        return MisconfigurationException(
            f"{type(self).__name__}: {problem}. To fix: use {remedy}.", plugin=type(self).__name__
        )
