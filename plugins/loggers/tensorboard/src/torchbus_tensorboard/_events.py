"""torch's ``SummaryWriter`` on an event file that is written without a thread. Knows nothing of torchbus.

torch hands each event to a thread of its own, which opens and closes the file for it while the training step waits for the
interpreter. Here the events of a record are encoded and written together, which is a third of the work.
"""

from __future__ import annotations

import io
import itertools
import os
import socket
import struct
import time
import weakref
from collections.abc import Mapping

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from torch.utils.tensorboard import FileWriter, SummaryWriter

__all__ = ["EventWriter"]

WAIT_S = 0.1
"""How long after the last writing events wait for more of them: what a process that is killed may lose."""

Scalars = tuple[float, int | None, Mapping[str, float]]
"""Time, step, values by name."""

_numbers = itertools.count()


class EventWriter(SummaryWriter):
    """A ``SummaryWriter``; ``add_numbers`` writes several numbers as one event.

    ``max_queue`` and ``flush_secs`` say how many events may wait, and how long, as far as that is more than is needed here.
    """

    file_writer: FileWriter | None  # type: ignore[assignment]  # torch's own type is None alone
    all_writers: dict[str, FileWriter] | None  # type: ignore[assignment]  # the same

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None:
            events = EventFile(self.log_dir, self.max_queue, self.flush_secs, self.filename_suffix)
            self.file_writer = _Files(events)
            self.all_writers = {self.log_dir: self.file_writer}
            if self.purge_step is not None:
                for what in ({"file_version": "brain.Event:2"}, {"session_log": SessionLog(status=SessionLog.START)}):
                    self.file_writer.add_event(Event(step=self.purge_step, **what))
                self.purge_step = None
        return self.file_writer

    def add_numbers(self, values: Mapping[str, float], step: int | None) -> None:
        """Write numbers by their names."""
        self._get_file_writer().event_writer.add_scalars(values, step)

    def write_waiting(self) -> None:
        """Write the events that wait for others."""
        if self.file_writer is not None:
            self.file_writer.event_writer.flush()


class _Files(FileWriter):
    """What a ``SummaryWriter`` hands its events to, with another event file than torch's."""

    def __init__(self, events: EventFile) -> None:
        self.event_writer = events  # and no call of super: it would start a thread


class EventFile:
    """An event file in a folder that exists.

    What waits is written when ``max_queue`` events do, when the file was last written ``WAIT_S`` (or ``flush_secs``) ago, when
    asked to, and when the process ends.
    """

    def __init__(self, folder: str, max_queue: int, flush_secs: float, filename_suffix: str) -> None:
        self._folder = folder
        self._max_queue = max_queue
        self._wait_s = min(flush_secs, WAIT_S)
        self._written_at = 0.0
        self._waiting: list[bytes | Scalars] = []
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = open(os.path.join(folder, name + filename_suffix), "ab", buffering=0)  # noqa: SIM115  # for the run
        self._close = weakref.finalize(self, _write_and_close, self._file, self._waiting)
        writer = SourceMetadata(writer="torchbus_tensorboard")
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2", source_metadata=writer))

    def get_logdir(self) -> str:
        """The folder."""
        return self._folder

    def add_event(self, event: Event) -> None:
        """Write an event."""
        self._add(event.SerializeToString())

    def add_scalars(self, values: Mapping[str, float], step: int | None) -> None:
        """Write an event of several numbers; encoded when it is written, with those that wait."""
        self._add((time.time(), step, values))

    def _add(self, item: bytes | Scalars) -> None:
        self._waiting.append(item)
        since_s = time.monotonic() - self._written_at
        if since_s >= self._wait_s or 0 < self._max_queue <= len(self._waiting):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._written_at = time.monotonic()
            _write(self._file, self._waiting)

    def close(self) -> None:
        """Write what waits; nothing can be added any more."""
        self._close()


def _write(file: io.FileIO, waiting: list[bytes | Scalars]) -> None:
    """Append records to the file, all or none: a half one would hide those that follow."""
    left = b"".join(_record(one if isinstance(one, bytes) else _encoded(*one)) for one in waiting)
    begin = file.tell()
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        file.truncate(begin)
        raise
    waiting.clear()  # not before: where the disk is full, they are tried again


def _write_and_close(file: io.FileIO, waiting: list[bytes | Scalars]) -> None:
    with file:
        _write(file, waiting)


def _record(content: bytes) -> bytes:
    """A record of TensorFlow's format: length and content, each with a checksum (tensorflow/core/lib/io/record_writer.h)."""
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def _checksum(content: bytes) -> bytes:
    """CRC-32C, turned by 15 bits and moved: that of a text which contains checksums is no use otherwise."""
    value = google_crc32c.value(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _encoded(wall_time: float, step: int | None, values: Mapping[str, float]) -> bytes:
    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    event = Event(wall_time=wall_time, summary=Summary(value=scalars), step=step)
    encoded: bytes = event.SerializeToString()
    return encoded
