"""Which plugin, in which hook, takes how much of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torchbus_hookspecs import Profiler, validated
from torchbus_hookspecs.profiler import Action, Watch

from ._titles import title

__all__ = ["PluginProfiler"]

LOOP = "(loop)"
"""Whom the loops' own actions are listed under."""
SCRIPT = "(script)"
"""Whom the actions that user code names are listed under."""


@validated
class PluginProfiler(Profiler):
    """Reports time and number of calls of each plugin and hook, the costliest first, and writes a trace to look at.

    Times are a plugin's own: what its hook calls in turn (an ``optimizer_step`` the training step, a callback the hooks of a
    checkpoint) counts for those who do it. On a GPU they are those of Python, and contain what it waits for.

    Attributes:
        usages: what was measured, for each plugin and hook.
    """

    def __init__(
        self,
        dirpath: Annotated[
            str | Path | None, Field(description="Folder of report and trace; default: the logger's.")
        ] = None,
        filename: Annotated[
            str | None, Field(description="Name of the report without suffix; default: print it.")
        ] = None,
        trace: Annotated[
            bool, Field(description="Write every call to a `.trace.json` file, for Perfetto (ui.perfetto.dev).")
        ] = True,
        max_calls_in_trace: Annotated[
            int, Field(ge=0, description="Calls kept for the trace, the first ones: about 100 bytes of memory each.")
        ] = 100_000,
        row_limit: Annotated[int, Field(ge=-1, description="Rows of the table of hooks; -1 for all.")] = 30,
    ) -> None:
        super().__init__(dirpath, filename)
        self.usages: dict[Action, Usage] = {}
        self._trace = trace
        self._max_calls = max_calls_in_trace
        self._row_limit = row_limit
        self._forget()

    def _forget(self) -> None:
        self.usages.clear()
        self._clock = _Clock(self._max_calls if self._trace else 0)

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def watch(self, action: Action) -> Watch:
        """Calls of that plugin's hook are measured by themselves."""
        if action not in self.usages:
            self.usages[action] = Usage(action, self._clock)
        return self.usages[action]

    def start(self, action_name: str) -> None:
        """An action of the script's own begins."""
        self.watch(Action(action_name, plugin=SCRIPT)).begin()

    def stop(self, action_name: str) -> None:
        """An action of the script's own ends.

        Raises:
            ValueError: it is not the one that began last.
        """
        usage = self.usages.get(Action(action_name, plugin=SCRIPT))
        if usage is None or not self._clock.is_running(usage):
            raise ValueError(
                f"Attempting to stop recording an action ({action_name}) that is not under way, or has another one running"
                " inside. To fix: use `with profiler.profile(name)`."
            )
        usage.end()

    # ---- the run -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins: measure it from here."""
        super().setup(stage, local_rank, log_dir)
        self._forget()

    def describe(self) -> None:
        """Write the report, and the trace."""
        super().describe()
        if self._trace and self.dirpath is not None and self._clock.calls:
            path = self.output_file(".trace.json", None if self.filename else "plugins")
            path.write_text(json.dumps(_as_trace(self._clock, self._local_rank or 0)), encoding="utf-8")

    # ---- the report --------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """One table of plugins and one of their hooks; what is left is the time in which no hook ran."""
        elapsed = time.perf_counter() - self._clock.start_s
        used = sorted((one for one in self.usages.values() if one.num_calls), key=lambda one: -one.own_s)
        shown = used if self._row_limit < 0 else used[: self._row_limit]
        rest = elapsed - sum(one.own_s for one in used)
        by_plugin: dict[tuple[str, str], list[Usage]] = {}
        for one in used:
            by_plugin.setdefault((one.plugin, one.action.origin), []).append(one)
        plugins = [
            (plugin, origin, sum(one.num_calls for one in them), sum(one.own_s for one in them))
            for (plugin, origin), them in by_plugin.items()
        ]
        parts = [
            title(self._stage),
            _table(
                ("plugin", "distribution", "calls", "own time (s)", "share"),
                [
                    (plugin, origin, str(calls), f"{own:.4g}", f"{own / elapsed:.1%}")
                    for plugin, origin, calls, own in sorted(plugins, key=lambda one: -one[3])
                ]
                + [("(outside of all)", "", "", f"{rest:.4g}", f"{rest / elapsed:.1%}")],
            ),
            _table(
                ("plugin", "hook", "calls", "mean (ms)", "longest (ms)", "own time (s)", "share"),
                [
                    (
                        one.plugin,
                        one.action.hook or one.action.name,
                        str(one.num_calls),
                        f"{1e3 * one.own_s / one.num_calls:.4g}",
                        f"{1e3 * one.longest_s:.4g}",
                        f"{one.own_s:.4g}",
                        f"{one.own_s / elapsed:.1%}",
                    )
                    for one in shown
                ],
            ),
        ]
        if len(shown) < len(used):
            parts.append(f"{len(used) - len(shown)} more took less; row_limit=-1 shows all.")
        if self._trace and self._clock.num_dropped:
            parts.append(
                f"The trace has the first {len(self._clock.calls)} calls; {self._clock.num_dropped} came later"
                " (max_calls_in_trace)."
            )
        return "\n".join([*parts, ""])


class _Clock:
    """Which calls are under way, one inside the other, and those that are kept for the trace."""

    def __init__(self, max_calls: int) -> None:
        self.start_s = time.perf_counter()
        self.running: list[tuple[Usage, float, list[float]]] = []
        self.calls: list[tuple[Usage, float, float]] = []
        self.num_dropped = 0
        self._max_calls = max_calls

    def is_running(self, usage: Usage) -> bool:
        return bool(self.running) and self.running[-1][0] is usage

    def keep(self, usage: Usage, start: float, took: float) -> None:
        if len(self.calls) < self._max_calls:
            self.calls.append((usage, start, took))
        else:
            self.num_dropped += 1


@dataclass(slots=True, eq=False)
class Usage:
    """What a plugin's hook took.

    Attributes:
        action: the plugin and the hook.
        num_calls: how often it was called.
        total_s: the time of all calls.
        own_s: the same without that of other measured calls inside of them.
        longest_s: the longest call.
    """

    action: Action
    clock: _Clock
    num_calls: int = 0
    total_s: float = 0.0
    own_s: float = 0.0
    longest_s: float = 0.0

    @property
    def plugin(self) -> str:
        """Whom it is listed under."""
        return self.action.plugin or LOOP

    def begin(self) -> None:
        """A call comes next."""
        self.clock.running.append((self, time.perf_counter(), [0.0]))

    def end(self) -> None:
        """The call is over."""
        now = time.perf_counter()
        clock = self.clock
        _, start, inside = clock.running.pop()
        took = now - start
        self.num_calls += 1
        self.total_s += took
        self.own_s += took - inside[0]
        self.longest_s = max(self.longest_s, took)
        if clock.running:
            clock.running[-1][2][0] += took
        clock.keep(self, start, took)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Names to the left, figures to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    is_name = [head in ("plugin", "distribution", "hook") for head in heads]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(cells, widths, is_name, strict=True)
        )
        return "  ".join(aligned).rstrip()

    ruler = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([ruler, line(heads), ruler, *map(line, rows), ruler])


def _as_trace(clock: _Clock, rank: int) -> dict[str, Any]:
    """Chrome's trace events: a row for each plugin, times in microseconds from the start of the run."""
    rows: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for usage, start, took in sorted(clock.calls, key=lambda call: call[1]):
        events.append(
            {
                "name": usage.action.hook or usage.action.name,
                "cat": usage.plugin,
                "ph": "X",
                "ts": (start - clock.start_s) * 1e6,
                "dur": took * 1e6,
                "pid": rank,
                "tid": rows.setdefault(usage.plugin, len(rows)),
                "args": {"action": usage.action.name, "distribution": usage.action.origin},
            }
        )
    names = [
        {"name": "thread_name", "ph": "M", "pid": rank, "tid": row, "args": {"name": name}}
        for name, row in rows.items()
    ]
    process = {"name": "process_name", "ph": "M", "pid": rank, "args": {"name": f"rank {rank}"}}
    return {"traceEvents": [process, *names, *events], "displayTimeUnit": "ms"}
