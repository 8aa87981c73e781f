"""What the two files look like: a line for each event, and Chrome's trace events, which Perfetto draws."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from torchbus_hookspecs.events import Event

from ._growing_file import GrowingFile
from ._slices import Mark, Nesting, Slice, ended

__all__ = ["Beginning", "JsonLines", "Moment", "PerfettoTrace", "Writer", "compact"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is written first.

    Attributes:
        entry: the entry point.
        started: date and time.
        module: the class of the module.
        rank: of this process.
    """

    entry: str
    started: str
    module: str
    rank: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One event, and where the run was.

    Attributes:
        time_ns: since the beginning.
        event: its class.
        stage, epoch, step: the trainer's counters.
        fields: a summary of its fields as JSON, which both formats have in them; empty where there are none.
    """

    time_ns: int
    event: type[Event]
    stage: str
    epoch: int
    step: int
    fields: str

    @property
    def about(self) -> str:
        """Where the run was, and the fields, as the inside of a JSON object."""
        # not by json.dumps: with some ten events a batch, a few microseconds each are worth a line that is harder to read
        counters = f'"stage":"{self.stage}","epoch":{self.epoch},"step":{self.step}'
        return f'{counters},"fields":{self.fields}' if self.fields else counters


class Writer(Protocol):
    """One of the files."""

    suffix: ClassVar[str]
    file: GrowingFile[Any]

    def write(self, moment: Moment) -> None:
        """Add an event."""

    def end_all(self, time_ns: int) -> None:
        """Whatever is under way has ended, without an event of its own."""


class JsonLines:
    """One object a line: the first tells of the run, each other of an event."""

    suffix: ClassVar[str] = ".jsonl"

    def __init__(self, beginning: Beginning) -> None:
        self.file = GrowingFile(None, lambda state: "")
        self.file.add(f"{compact({'torchbus_trace': 1, **_about(beginning), 'rank': beginning.rank})}\n", None)

    def write(self, moment: Moment) -> None:
        """Add a line."""
        name, hook = moment.event.__name__, moment.event.hook_name
        self.file.add(f'{{"time":{moment.time_ns / 1e9:.6f},"event":"{name}","hook":"{hook}",{moment.about}}}\n', None)

    def end_all(self, time_ns: int) -> None:
        """Lines do not last."""


class Drawn(NamedTuple):
    """What a trace has so far.

    Attributes:
        num_events: events that were to be drawn.
        time_ns: of the newest.
        under_way: slices without an end, outermost first.
    """

    num_events: int = 0
    time_ns: int = 0
    under_way: tuple[Slice, ...] = ()


class PerfettoTrace:
    """A trace in which what lasts is a slice, from the event at its start to that at its end, and all else an instant.

    Rows, names and units are those of the trace that ``profiler="plugins"`` writes.

    Args:
        beginning: what is written first.
        classes: the events that will come.
        max_events: how many are drawn, the first ones. Slices that are under way then still get their ends.
    """

    suffix: ClassVar[str] = ".trace.json"

    def __init__(self, beginning: Beginning, classes: Iterable[type[Event]], max_events: int) -> None:
        self.file = GrowingFile(Drawn(), self._closing)
        self._beginning = beginning
        self._nesting = Nesting(classes)
        self._max_events = max_events
        names = {"process_name": f"rank {beginning.rank}", "thread_name": beginning.entry}
        row = {"pid": beginning.rank, "tid": 0}
        heads = [{"name": key, "ph": "M", **row, "args": {"name": name}} for key, name in names.items()]
        self.file.add('{"traceEvents":[\n' + ",\n".join(map(compact, heads)), Drawn())

    def write(self, moment: Moment) -> None:
        """Add what an event means."""
        before = self.file.state
        draws = before.num_events < self._max_events
        marks, under_way = self._nesting.after(moment.event, before.under_way, draws)
        records = [self._record(one, moment.time_ns, _details(one, moment)) for one in marks]
        self.file.add("".join(records), Drawn(before.num_events + 1, moment.time_ns, under_way))

    def end_all(self, time_ns: int) -> None:
        """End the slices under way."""
        before = self.file.state
        marks, rest = ended(before.under_way)
        self.file.add(self._records(marks, time_ns), Drawn(before.num_events, time_ns, rest))

    def num_left_out(self, drawn: Drawn) -> int:
        """Events that came after the last one to be drawn."""
        return max(0, drawn.num_events - self._max_events)

    def _closing(self, drawn: Drawn) -> str:
        """The ends that are still to come, as if all ended here, and the last bracket: so it can be opened at any time."""
        marks, _ = ended(drawn.under_way)
        about = {**_about(self._beginning), "events_left_out": self.num_left_out(drawn)}
        rest = compact({"displayTimeUnit": "ms", "otherData": about})
        return f"{self._records(marks, drawn.time_ns)}\n],{rest[1:]}\n"

    def _records(self, marks: list[Mark], time_ns: int) -> str:
        return "".join(self._record(one, time_ns, "") for one in marks)

    def _record(self, mark: Mark, time_ns: int, details: str) -> str:
        """One of Chrome's trace events, behind another one."""
        scope = ',"s":"t"' if mark.kind == "moment" else ""  # drawn in its row, not over all of them
        rest = f',"args":{{{details}}}' if details else ""
        start = f',\n{{"name":"{mark.name}","ph":"{_PHASES[mark.kind]}","ts":{time_ns / 1e3:.3f}'
        return f'{start},"pid":{self._beginning.rank},"tid":0{scope}{rest}}}'


_PHASES = {"start": "B", "end": "E", "moment": "i"}


def _details(mark: Mark, moment: Moment) -> str:
    """What is shown of an event: with a slice both that at its start and that at its end."""
    if mark.kind != "end":
        return moment.about
    return f'"fields_at_end":{moment.fields}' if mark.is_event and moment.fields else ""


def _about(beginning: Beginning) -> dict[str, Any]:
    return {"entry": beginning.entry, "started": beginning.started, "module": beginning.module}


def compact(value: Any) -> str:
    """A value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))
