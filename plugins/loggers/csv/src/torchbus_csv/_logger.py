"""The logger that keeps metrics in ``metrics.csv`` and hyperparameters in ``hparams.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from torchbus_hookspecs.folder_logger import FolderLogger, SilentExperiment, on_rank_zero
from torchbus_hookspecs.settings import validated

from ._writer import CSVWriter

__all__ = ["CSVLogger"]


@validated
class CSVLogger(FolderLogger):
    """Log to ``save_dir/name/version_N/metrics.csv``: one row for each call, one column for each metric.

    Only rank zero writes, and nothing is created before the first save. What ``log_metrics`` is given waits in memory
    until ``save``, which a trainer calls after each of its logging steps.

    A ``metrics.csv`` that is there already (an explicit ``version`` used again) is kept as ``metrics.1.csv``, with a
    warning; ``hparams.yaml`` is replaced, once there are hyperparameters.
    """

    def __init__(
        self,
        save_dir: Annotated[str | Path, Field(description="Folder for all experiments.")],
        name: Annotated[str | None, Field(description="Experiment: a folder in `save_dir`; none if empty.")] = (
            "torchbus_logs"
        ),
        version: Annotated[
            int | str | None,
            Field(description="Number N for the folder `version_N`, or the folder's name. Default: next free number."),
        ] = None,
        prefix: Annotated[str, Field(description="Put before each metric's name, with a `-`.")] = "",
        flush_logs_every_n_steps: Annotated[
            int, Field(ge=1, description="Write after so many steps, or rows, even if nobody calls `save`.")
        ] = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self._flush_logs_every_n_steps = flush_logs_every_n_steps
        self._experiment: CSVWriter | None = None

    @property
    def experiment(self) -> CSVWriter:
        """The writer of ``metrics.csv``; on other ranks than zero an object that does nothing."""
        if not on_rank_zero():
            return SilentExperiment()  # type: ignore[return-value]  # stands in for every method
        if self._experiment is None:
            self._experiment = CSVWriter(self.log_dir)
        return self._experiment

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row: numbers or tensors of one element. Without a step, rows are counted."""
        if not on_rank_zero():
            return
        unsaved = self.experiment.metrics
        self.experiment.log_metrics(self._labelled(metrics), step)
        every = self._flush_logs_every_n_steps
        if (unsaved[-1]["step"] + 1) % every == 0 or len(unsaved) >= every:
            self.save()

    def save(self) -> None:
        """Write waiting rows to ``metrics.csv`` and new hyperparameters to ``hparams.yaml``.

        Raises:
            MisconfigurationException: the folder cannot be written to. Nothing is lost: the next save tries again.
        """
        has_rows = self._experiment is not None and bool(self._experiment.metrics)
        self._save_hparams(needed=has_rows)
        if self._experiment is not None and has_rows:
            with self._writing():
                self._experiment.save()

    def finalize(self, status: str) -> None:
        """Write what waits. The logger may be used again afterwards: rows go to the same file."""
        self.save()
