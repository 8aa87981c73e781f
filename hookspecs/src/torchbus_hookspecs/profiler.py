"""The base class of profilers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Profiler"]


class Profiler(ABC):
    """Measures named actions of a run.

    Args:
        dirpath: the folder for reports; default: the logger's folder.
        filename: the report's name without suffix; ``None`` prints to the terminal.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath = dirpath
        self.filename = filename

    @abstractmethod
    def start(self, action_name: str) -> None:
        """An action begins."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """An action ends."""

    @abstractmethod
    def summary(self) -> str:
        """The report as text."""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Measure what runs inside the ``with`` block."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins."""

    def describe(self) -> None:
        """Write the report to its file, or print it."""
        text = self.summary()
        if self.filename is None:
            print(text)  # noqa: T201  # the report is the output the user asked for
        else:
            folder = Path(self.dirpath or ".")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.filename}.txt").write_text(text)

    def teardown(self, stage: str | None) -> None:
        """The run is over."""
