"""A file that grows, and is whole whenever somebody looks. Knows nothing of torchbus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["GrowingFile", "create_together"]

S = TypeVar("S")


@dataclass(slots=True)
class _Contents(Generic[S]):
    """What is in the file up to ``end``, the state it has there, what closes it, and the pieces that wait."""

    end: int
    state: S
    closing: bytes = b""
    waiting: list[tuple[str, S]] = field(default_factory=list)


class GrowingFile(Generic[S]):
    """Text that is added to the end of a file, in pieces that wait in memory for the next ``flush``.

    What closes the file, such as a last bracket, is written with each flush, and overwritten by the next. So it is whole
    after each, and stays so if a later one fails. It is open only while it is written to. Adding and flushing are done, or
    are not, also where an interrupt (Ctrl-C) ends them halfway: hence each piece has its state with it.

    Args:
        state: of the empty file: whatever ``closing`` needs to know.
        closing: what closes the file in a state.

    Attributes:
        path: the file, which exists; ``None``: not chosen yet.
    """

    def __init__(self, state: S, closing: Callable[[S], str]) -> None:
        self.path: Path | None = None
        self._closing = closing
        self._contents = _Contents(0, state)

    @property
    def state(self) -> S:
        """The state after the newest piece."""
        now = self._contents
        return now.waiting[-1][1] if now.waiting else now.state

    @property
    def num_waiting(self) -> int:
        """How many pieces wait."""
        return len(self._contents.waiting)

    def add(self, text: str, state: S) -> None:
        """Add a piece, and the state that the file has with it."""
        self._contents.waiting.append((text, state))

    def flush(self) -> None:
        """Write what waits, and what closes the file. Of no effect before there is a path.

        Raises:
            OSError: it cannot be written. The file is as it was before, and what waits goes on waiting.
        """
        if self.path is None:
            return
        before, state = self._contents, self.state
        body = "".join(text for text, _ in before.waiting).encode("ascii")
        closing = self._closing(state).encode("ascii")
        with FileIO(self.path, "r+") as file:
            try:
                _overwrite(file, before.end, body + closing)
            except OSError:
                with suppress(OSError):
                    _overwrite(file, before.end, before.closing)
                raise
        self._contents = _Contents(before.end + len(body), state, closing)


def _overwrite(file: FileIO, position: int, text: bytes) -> None:
    """Replace what is behind a position."""
    file.seek(position)
    rest = memoryview(text)
    while rest:
        rest = rest[file.write(rest) :]
    file.truncate()


def create_together(folder: Path, name: str, suffixes: Sequence[str]) -> list[Path]:
    """Make empty files of one name, the first that is free of ``name``, ``name.1``, ``name.2``, ...

    Raises:
        OSError: one cannot be made.
    """
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        stem = f"{name}.{number}" if number else name
        paths = [folder / f"{stem}{suffix}" for suffix in suffixes]
        made: list[Path] = []
        try:
            for path in paths:
                path.open("x").close()  # refused if it exists: another process may look for a name too
                made.append(path)
        except FileExistsError:
            number += 1
        else:
            return paths
        finally:
            for path in made if len(made) < len(paths) else ():
                path.unlink(missing_ok=True)
