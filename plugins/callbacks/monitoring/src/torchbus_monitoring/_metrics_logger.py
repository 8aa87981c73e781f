"""The callback ``metrics_logger``: a history of the metrics, in memory and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import Callback, FailurePolicy, hookimpl
from torchbus_hookspecs.files import writing_to
from torchbus_hookspecs.settings import validated

from ._history_file import HistoryFile

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["MetricsLogger"]

Stage = Literal["train", "validate", "test"]


@validated
class MetricsLogger(Callback):
    """Keep what ``trainer.callback_metrics`` held at the end of each epoch, validation and test.

    A row of the history is a dictionary of plain values: ``stage`` (``"train"`` at the end of a training epoch,
    ``"validate"``, ``"test"``), ``epoch``, ``step`` (optimizer steps taken), and the metrics by name. The sanity check gives
    no row. The history is part of a checkpoint, so that a resumed run goes on with it; so does the file.

    Attributes:
        history: the rows, oldest first.

    Raises:
        MisconfigurationException: a setting is wrong, or the file cannot be written. The run goes on then, unless
            ``on_failure`` says otherwise.

    Source: torchbus's own.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    def __init__(
        self,
        path: Annotated[
            str | Path | None, Field(description="File for the history, one JSON object per line. Default: no file.")
        ] = None,
        stages: Annotated[tuple[Stage, ...], Field(min_length=1, description="After which stages a row is kept.")] = (
            "train",
            "validate",
            "test",
        ),
    ) -> None:
        super().__init__()
        self.path = path
        self.stages = tuple(stages)
        self.history: list[dict[str, Any]] = []
        self._file = HistoryFile(Path(path)) if path is not None else None

    # ---- hooks -------------------------------------------------------------------------------------------------------

    @hookimpl(trylast=True)  # after the module, which may log in its own
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch has ended."""
        self._note(trainer, "train")

    @hookimpl(trylast=True)
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation has ended."""
        if not trainer.sanity_checking:
            self._note(trainer, "validate")

    @hookimpl(trylast=True)
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test has ended."""
        self._note(trainer, "test")

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _note(self, trainer: Trainer, stage: Stage) -> None:
        if stage not in self.stages:
            return
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.history.append({"stage": stage, "epoch": trainer.current_epoch, "step": trainer.global_step, **metrics})
        if self._file is not None and trainer.is_global_zero:
            with writing_to(self._file.path, type(self).__name__, "path"):
                self._file.update(self.history)

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        return {"history": [dict(row) for row in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.history = [dict(row) for row in state_dict["history"]]
