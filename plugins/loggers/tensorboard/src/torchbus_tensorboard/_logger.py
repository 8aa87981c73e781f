"""The logger that writes TensorBoard's event files, and hyperparameters to ``hparams.yaml``."""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torchbus_hookspecs.errors import did_you_mean
from torchbus_hookspecs.folder_logger import FolderLogger, SilentExperiment, on_rank_zero
from torchbus_hookspecs.settings import validated

from ._writer import add_graph, add_hparams, add_metrics, flatten, is_traceable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.utils.tensorboard import SummaryWriter

    from ._events import EventWriter

__all__ = ["TensorBoardLogger"]

_WRITER_SETTINGS = ("comment", "filename_suffix", "flush_secs", "max_queue", "purge_step")


@validated
class TensorBoardLogger(FolderLogger):
    """Log to ``save_dir/name/version_N`` for TensorBoard: ``tensorboard --logdir save_dir``.

    Only rank zero writes, and nothing is created before there is something to write. Further settings are those of
    torch's ``SummaryWriter``: ``max_queue``, ``flush_secs`` (how long events may wait in memory), ``purge_step``,
    ``filename_suffix``, ``comment``.

    Raises (from the constructor):
        TypeError: a setting is unknown here and to ``SummaryWriter``; the message gives the nearest name.
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
        log_graph: Annotated[bool, Field(description="Show the model's graph; needs an example input.")] = False,
        default_hp_metric: Annotated[
            bool, Field(description="Hyperparameters logged without metrics get `hp_metric`, -1, so that they show.")
        ] = True,
        prefix: Annotated[str, Field(description="Put before each metric's name, with a `-`.")] = "",
        sub_dir: Annotated[str | Path | None, Field(description="Folder within the version's folder.")] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        for unknown in [name for name in kwargs if name not in _WRITER_SETTINGS]:
            raise TypeError(
                f"{type(self).__name__}: `{unknown}` is a setting neither of it nor of SummaryWriter "
                f"({', '.join(_WRITER_SETTINGS)}).{did_you_mean(unknown, _WRITER_SETTINGS)}"
            )
        self._sub_dir = None if sub_dir is None else os.path.expandvars(os.path.expanduser(sub_dir))
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._writer_settings = kwargs
        self._experiment: EventWriter | None = None
        self._shown_hparams: dict[str, Any] | None = None

    @property
    def sub_dir(self) -> str | None:
        """The folder within the version's folder, or ``None``."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        """The folder of this run: ``save_dir/name/version_N``, and ``sub_dir`` in it if there is one."""
        folder = super().log_dir
        return os.path.join(folder, self._sub_dir) if self._sub_dir else folder

    @property
    def experiment(self) -> SummaryWriter:
        """torch's ``SummaryWriter``, for images, text and so on; on other ranks than zero an object that does nothing.

        Raises:
            MisconfigurationException: the folder cannot be written to.
        """
        return self._writer() if on_rank_zero() else SilentExperiment()  # type: ignore[return-value]  # stands in for every method

    def _writer(self) -> EventWriter:
        if self._experiment is None:
            from ._events import EventWriter  # takes a second: only when something is written

            with self._writing() as folder:
                self._experiment = EventWriter(folder, **self._writer_settings)
        return self._experiment

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write scalars: numbers or tensors of one element. A dict of these becomes several curves in one chart.

        Raises:
            ValueError: a value is something else; the message names the metric.
            MisconfigurationException: the folder cannot be written to. What could not be written is tried again.
        """
        if self._experiment is None and not on_rank_zero():
            return
        labelled = self._labelled(metrics)
        self._told(add_metrics, self._writer(), labelled, step)

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | float | None = None,
        step: int | None = None,
    ) -> None:
        """Show hyperparameters in TensorBoard's table, and remember them for ``hparams.yaml``.

        Args:
            params: hyperparameters; nested ones are shown as ``outer/inner``.
            metrics: what to show beside them: by name, or one number as ``hp_metric``. By default ``hp_metric`` is -1,
                not written again for the same hyperparameters: a value logged since would be hidden.
            step: the step at which the metrics are written.
        """
        super().log_hyperparams(params)
        if not on_rank_zero():
            return
        shown = flatten(self.hparams)
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric and shown != self._shown_hparams else {}
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if metrics:
            self.log_metrics(metrics, step)
            add_hparams(self.experiment, shown, self._labelled(metrics))
            self._shown_hparams = shown

    def log_graph(self, model: Module, input_array: Tensor | None = None) -> None:
        """Write the model's graph, once, if ``log_graph=True``.

        Args:
            model: its ``forward`` is traced in evaluation mode, without gradients.
            input_array: an example input; default: ``model.example_input_array``. Without either, or with one that is
                neither a tensor nor a sequence of them, a warning.
        """
        if not self._log_graph or not on_rank_zero():
            return
        self._log_graph = False  # a trainer asks again at the start of each stage
        example = getattr(model, "example_input_array", None) if input_array is None else input_array
        problem = ""
        if example is None:
            problem = f"The `model.example_input_array` of {type(model).__name__} is empty, and an input was not given"
        elif not is_traceable(example):
            problem = f"An input of type {type(example).__name__} can't be traced by TensorBoard"
        if problem:
            warnings.warn(
                f"Could not log computational graph to TensorBoard: {problem}. To fix: set `example_input_array` in the "
                "model to a tensor, or to a tuple of the arguments of `forward`; or take `log_graph=True` out.",
                stacklevel=2,
            )
            return
        add_graph(self.experiment, model, example)

    def save(self) -> None:
        """Write hyperparameters to ``hparams.yaml``, which lies beside the events even if there are none.

        Events that wait are written as well.

        Raises:
            MisconfigurationException: the folder cannot be written to.
        """
        self._save_hparams(needed=self._experiment is not None)
        if self._experiment is not None:
            self._told(self._experiment.write_waiting)

    def finalize(self, status: str) -> None:
        """Write what waits and close the event file. Logging may go on afterwards, in a further event file."""
        self.save()
        if self._experiment is not None:
            experiment, self._experiment = self._experiment, None
            self._told(experiment.close)

    def _told(self, write: Callable[..., object], *values: Any) -> None:
        """Write; an ``OSError`` names logger and path. Unlike in ``_writing``, the folder is there."""
        try:
            write(*values)
        except OSError as error:
            raise self._unusable(self.log_dir, error) from error

    def __getstate__(self) -> dict[str, Any]:
        # open files cannot travel; a copy opens an event file of its own in the same folder
        return {**self.__dict__, "_experiment": None}
