"""The events of one run, from the bus into the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from torchbus_hookspecs.events import EVENTS, Event, ExceptionRaised, Finalize, Preempted, Teardown
from torchbus_hookspecs.files import writing_to

from ._choice import BATCH_EDGES, NthBatch
from ._formats import Moment, Writer, compact
from ._growing_file import create_together
from ._summary import summary

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["Recording", "Wanted"]

FLUSH_S = 1.0
FLUSH_EVENTS = 1000
"""Events that wait in memory at most, and for how long: what a process that is killed loses."""
PROMPT = (ExceptionRaised, Preempted, Teardown, Finalize)
"""Events after which the process may be gone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written.

    Attributes:
        classes: of which events.
        every_n_batches: of which batches.
        with_fields: whether with their fields.
    """

    classes: frozenset[type[Event]]
    every_n_batches: int
    with_fields: bool


class Recording:
    """Hears the events of one run, and writes them, until the run is over.

    Args:
        trainer: whose run.
        plugin: who is to blame if it fails.
        wanted: what is written.
        writers: the files; nothing reaches them before ``place``.
    """

    def __init__(self, trainer: Trainer, plugin: object, wanted: Wanted, writers: Sequence[Writer]) -> None:
        self._trainer = trainer
        self._plugin = plugin
        self._wanted = wanted
        self._nth_batch = NthBatch(wanted.every_n_batches)
        self._writers = writers
        self._start_ns = time.perf_counter_ns()
        self._flushed_s = time.perf_counter()
        self._num_refused = 0
        # also what is not written: where a batch is, and that the run is over
        heard = {*wanted.classes, ExceptionRaised, Finalize, *(BATCH_EDGES if wanted.every_n_batches > 1 else ())}
        classes = [Event] if heard.issuperset(EVENTS.values()) else sorted(heard, key=lambda one: one.__name__)
        self._subscriptions = [trainer.bus.subscribe(one, self.hear) for one in classes]

    # ---- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """An event."""
        try:
            self._take(event)
        except Exception as error:  # what a handler raises would end the run, whatever the plugin's policy
            self._fail(event, error)

    def _take(self, event: Event) -> None:
        kind, time_ns = type(event), time.perf_counter_ns() - self._start_ns
        trainer = self._trainer
        stage = str(trainer.state.stage or "")
        if self._nth_batch.passes(event, stage) and kind in self._wanted.classes:
            told = _summary_of(event) if self._wanted.with_fields else ""
            moment = Moment(time_ns, kind, stage, trainer.current_epoch, trainer.global_step, told)
            for writer in self._writers:
                writer.write(moment)
        if kind is ExceptionRaised:
            for writer in self._writers:
                writer.end_all(time_ns)
        if kind is Finalize:
            self.end()
        elif kind in PROMPT or self._is_due():
            self._flush()

    @property
    def _num_waiting(self) -> int:
        return max(writer.file.num_waiting for writer in self._writers)

    def _is_due(self) -> bool:
        is_much = self._num_waiting - self._num_refused >= FLUSH_EVENTS
        return is_much or time.perf_counter() - self._flushed_s >= FLUSH_S

    def _fail(self, event: Event, error: Exception) -> None:
        """Deal with an error as if a hook of the plugin had raised it."""
        bus = self._trainer.bus
        name = bus.name_of(self._plugin)
        if name is None:  # in a trial there are no plugins, nor anybody to tell: what waits is tried again
            return
        goes_on = False
        try:
            goes_on = bus.blamer(bus.plugins[name], event.hook_name)(error)
        finally:
            if not goes_on or bus.name_of(self._plugin) is None:
                self.cancel()
        if not goes_on:
            raise error

    # ---- the files ---------------------------------------------------------------------------------------------------

    def place(self, folder: Path, name: str) -> list[Path]:
        """Choose the files, by a name that is free in the folder, and write what was heard so far.

        Raises:
            MisconfigurationException: they cannot be written.
        """
        with writing_to(folder / name, type(self._plugin).__name__, "dirpath"):
            paths = create_together(folder, name, [writer.suffix for writer in self._writers])
        for writer, path in zip(self._writers, paths, strict=True):
            writer.file.path = path
        self._flush()
        return paths

    @property
    def is_placed(self) -> bool:
        """Whether the files are chosen."""
        return all(writer.file.path is not None for writer in self._writers)

    def _flush(self) -> None:
        self._flushed_s = time.perf_counter()
        self._num_refused = self._num_waiting  # if it is: not again with the next event, but with the next thousand
        for writer in self._writers:
            with writing_to(writer.file.path or "", type(self._plugin).__name__, "dirpath"):
                writer.file.flush()
        self._num_refused = 0

    def end(self) -> None:
        """The run is over: write the rest, and hear no more.

        Raises:
            MisconfigurationException: it cannot be written.
        """
        self.cancel()
        for writer in self._writers:
            writer.end_all(time.perf_counter_ns() - self._start_ns)
        self._flush()

    def cancel(self) -> None:
        """Hear no more."""
        for one in self._subscriptions:
            one.cancel()
        self._subscriptions = []


@cache
def _names_of(hook: str) -> tuple[str, ...]:
    """The fields of a hook's event that differ from one to the next."""
    return tuple(one.name for one in fields(EVENTS[hook]) if one.name not in ("trainer", "pl_module"))


def _summary_of(event: Event) -> str:
    names = _names_of(event.hook_name)
    return compact({name: summary(getattr(event, name)) for name in names}) if names else ""
