"""The callback ``trace``: its settings, and when a recording begins."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import Callback, FailurePolicy, hookimpl
from torchbus_hookspecs.events import PrepareData
from torchbus_hookspecs.settings import validated

from ._choice import EventName, classes_of, not_caused_here
from ._formats import Beginning, JsonLines, PerfettoTrace, Writer
from ._recording import Recording, Wanted

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["Trace"]


@validated
class Trace(Callback):
    """Write every event of a run: a line of JSON each, and as a trace that ui.perfetto.dev draws.

    Each entry point has files of its own, named after it; those of earlier runs are left alone. They are whole at any time,
    a second behind at most, also where the run fails or the process is killed. Only rank zero writes. Tensors are told by
    dtype, shape and device: nothing waits for a GPU.

    Attributes:
        paths: the files of the newest entry point.

    Raises:
        MisconfigurationException: a setting is wrong, or a file cannot be written. The run goes on in the second case,
            unless ``on_failure`` says otherwise.

    Source: torchbus's own; the trace has Chrome's trace event format.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    def __init__(
        self,
        dirpath: Annotated[
            str | Path | None, Field(description="Folder of the files. Default: the trainer's `log_dir`.")
        ] = None,
        filename: Annotated[
            str,
            Field(min_length=1, description="Name of the files, behind that of the entry point: `fit-events.jsonl`."),
        ] = "events",
        format: Annotated[
            Literal["both", "jsonl", "perfetto"],
            Field(description="JSON lines (`.jsonl`), a trace for Perfetto (`.trace.json`), or both."),
        ] = "both",
        events: Annotated[
            tuple[EventName, ...], Field(description='Classes of events, such as `"TrainBatchEnd"`. Default: all.')
        ] = (),
        every_n_batches: Annotated[
            int, Field(ge=1, description="Of an epoch, only the first batch and every n-th after it.")
        ] = 1,
        fields: Annotated[bool, Field(description="Whether summaries of the events' fields are written.")] = True,
        max_trace_events: Annotated[
            int, Field(ge=0, description="Events in the trace for Perfetto, the first ones: some 200 bytes each.")
        ] = 1_000_000,
    ) -> None:
        super().__init__()
        self.dirpath = dirpath
        self.filename = filename
        self.format = format
        self.events = events
        self.every_n_batches = every_n_batches
        self.fields = fields
        self.max_trace_events = max_trace_events
        self.paths: list[Path] = []
        self._recording: Recording | None = None

    # ---- hooks -------------------------------------------------------------------------------------------------------

    @hookimpl(tryfirst=True)
    def prepare_data(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first hook of a run that plugins have: hear all that follows."""
        if self._recording is not None:  # of a run whose end was not told, since a plugin failed at it
            self._recording.cancel()
        self._recording = self._begun(trainer, pl_module) if trainer.is_global_zero else None

    @hookimpl(tryfirst=True)
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The first hook on every rank, which all of them must ask for the folder."""
        folder = trainer.log_dir if self.dirpath is None else self.dirpath
        if self._recording is not None:
            self._place(self._recording, folder or trainer.default_root_dir, stage)

    @hookimpl
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run may have failed before there was a folder."""
        if self._recording is not None and not self._recording.is_placed:
            self._place(self._recording, self.dirpath or trainer.default_root_dir, str(trainer.state.fn))

    @hookimpl(trylast=True)
    def finalize(self, status: str) -> None:
        """The run is over; the recording has ended with the event."""
        self._recording = None

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _begun(self, trainer: Trainer, pl_module: LightningModule) -> Recording:
        classes = classes_of(self.events)
        if not self.events:
            classes = not_caused_here(trainer, classes)
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        entry = str(trainer.state.fn)
        beginning = Beginning(entry, now, type(pl_module).__name__, trainer.global_rank)
        writers: list[Writer] = []
        if self.format in ("both", "jsonl"):
            writers.append(JsonLines(beginning))
        if self.format in ("both", "perfetto"):
            writers.append(PerfettoTrace(beginning, classes, self.max_trace_events))
        recording = Recording(trainer, self, Wanted(classes, self.every_n_batches, self.fields), writers)
        recording.hear(PrepareData(trainer, pl_module))  # subscribers are told of an event before its hook runs
        return recording

    def _place(self, recording: Recording, folder: str | Path, entry: str) -> None:
        try:
            self.paths = recording.place(Path(folder), f"{entry}-{self.filename}")
        except BaseException:
            recording.cancel()
            self._recording = None
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_recording": None}  # it belongs to a run of this process
