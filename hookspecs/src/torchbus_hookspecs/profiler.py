"""The base class of profilers, and what a run tells one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Action", "PassThroughProfiler", "Profiler", "Watch"]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a run does, again and again, and that a profiler may measure.

    Attributes:
        name: as Lightning's profilers name it, such as ``"[Callback]EarlyStopping{...}.on_validation_end"``.
        plugin: the instance name of the plugin that does it; empty for the loops themselves.
        origin: that plugin's distribution and version, as text; empty if it came as an object of the script's own.
        hook: the hook that it implements.
    """

    name: str
    plugin: str = ""
    origin: str = ""
    hook: str = ""


class Watch(Protocol):
    """Measures the calls of one action."""

    def begin(self) -> None:
        """A call of the action comes next."""

    def end(self) -> None:
        """The call is over, whether it returned or raised."""


class Profiler(ABC):
    """Measures named actions of a run.

    Args:
        dirpath: the folder for reports; default: the logger's folder.
        filename: the report's name without suffix; ``None`` prints to the terminal.

    Attributes:
        lightning_module: the module of the run under way; the trainer sets it.
    """

    lightning_module: Any = None
    _stage: str | None = None
    _local_rank: int | None = None

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath = dirpath
        self.filename = filename

    # ---- measuring ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, action_name: str) -> None:
        """An action begins."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """An action ends."""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Measure what runs inside the ``with`` block."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def watch(self, action: Action) -> Watch | None:
        """How calls of an action are measured: asked before the run's code is compiled, not at each call.

        The default calls ``start`` and ``stop`` with the action's name. Override it to know of plugins and hooks.

        Returns:
            What is told of each call, or ``None``: they are not measured, and cost nothing.
        """
        watches: dict[str, _Named] = self.__dict__.setdefault("_watches", {})
        return watches.setdefault(action.name, _Named(self, action.name))

    # ---- reporting ---------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The report as text; nothing is written if it is empty."""
        return ""

    def describe(self) -> None:
        """Write the report to its file, or print it on rank zero."""
        text = self.summary()
        if not text:
            return
        if self.filename is not None and self.dirpath is not None:
            with self.output_file(".txt").open("a", encoding="utf-8") as file:
                file.write(text)
        elif self.local_rank == 0:
            print(text)  # noqa: T201  # the report is the output the user asked for

    def output_file(self, suffix: str, action_name: str | None = None) -> Path:
        """The path of a file in ``dirpath``, named after stage, ``filename``, rank and action. The folder is made."""
        rank = None if self._local_rank is None else str(self._local_rank)
        name = "-".join(part for part in (self._stage, self.filename, rank, action_name) if part)
        folder = Path(os.fspath(self.dirpath or "."))
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}{suffix}"

    # ---- the run -----------------------------------------------------------------------------------------------------

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine, from 0."""
        return self._local_rank or 0

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins.

        Args:
            stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
            local_rank: the number of this process on its machine; ``None`` where there is one process.
            log_dir: where files go if ``dirpath`` was not given.
        """
        self._stage, self._local_rank = stage, local_rank
        if self.dirpath is None:
            self.dirpath = log_dir

    def teardown(self, stage: str | None) -> None:
        """The run is over, and the report written."""


class PassThroughProfiler(Profiler):
    """Measures nothing: what a trainer has when no profiler was asked for."""

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""


class _Named:
    """Tells a profiler of an action by name. A call inside a call of the same action is part of that."""

    __slots__ = ("_depth", "_name", "_profiler")

    def __init__(self, profiler: Profiler, name: str) -> None:
        self._profiler, self._name = profiler, name
        self._depth = 0

    def begin(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._profiler.start(self._name)

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._profiler.stop(self._name)
