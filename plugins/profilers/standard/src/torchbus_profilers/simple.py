"""How often each action ran, and for how long."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torchbus_hookspecs import Profiler, validated

from ._titles import title

__all__ = ["SimpleProfiler"]


@validated
class SimpleProfiler(Profiler):
    """Reports duration and number of calls of every action, the longest first.

    Durations are inclusive: ``run_training_epoch`` contains ``run_training_batch``, and so on. On a GPU they are those of
    Python, which does not wait for what it has started there.

    Attributes:
        recorded_durations: seconds of each call, by action.
        current_actions: when each action under way began, by action.
        start_time: when the profiler was made: what percentages are of.
    """

    def __init__(
        self,
        dirpath: Annotated[str | Path | None, Field(description="Folder of the report; default: the logger's.")] = None,
        filename: Annotated[
            str | None, Field(description="Name of the report without suffix; default: print it.")
        ] = None,
        extended: Annotated[bool, Field(description="Also numbers of calls and shares of the time.")] = True,
    ) -> None:
        super().__init__(dirpath, filename)
        self.extended = extended
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, list[float]] = defaultdict(list)
        self.start_time = time.perf_counter()

    def start(self, action_name: str) -> None:
        """An action begins.

        Raises:
            ValueError: it has begun already.
        """
        if action_name in self.current_actions:
            raise ValueError(
                f"Attempted to start {action_name}, which is under way already. To fix: stop it first, or give the inner"
                " action another name."
            )
        self.current_actions[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """An action ends.

        Raises:
            ValueError: it has not begun.
        """
        now = time.perf_counter()
        if action_name not in self.current_actions:
            raise ValueError(
                f"Attempting to stop recording an action ({action_name}) that is not under way. To fix: start it first, or"
                " use `with profiler.profile(name)`."
            )
        self.recorded_durations[action_name].append(now - self.current_actions.pop(action_name))

    def summary(self) -> str:
        """The table, as Lightning lays it out."""
        actions = [(name, math.fsum(all_of), len(all_of)) for name, all_of in self.recorded_durations.items()]
        actions = sorted((one for one in actions if one[2]), key=lambda one: one[1] / one[2], reverse=True)
        if not self.extended:
            rows = [[name, f"{total / calls:.5}", f"{total:.5}"] for name, total, calls in actions]
            return _table(title(self._stage), ["Action", "Mean duration (s)", "Total time (s)"], [rows])
        elapsed = time.perf_counter() - self.start_time
        actions.sort(key=lambda one: one[1], reverse=True)
        rows = [
            [name, f"{total / calls:.5}", f"{calls}", f"{total:.5}", f"{100 * total / elapsed:.5}"]
            for name, total, calls in actions
        ]
        everything = ["Total", "-", f"{sum(calls for _, _, calls in actions)}", f"{elapsed:.5}", "100 %"]
        heads = ["Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"]
        return _table(title(self._stage), heads, [[everything], rows])


def _table(head: str, columns: Sequence[str], blocks: Sequence[Sequence[Sequence[str]]]) -> str:
    """Rows between bars and tabs, blocks between rulers: the layout that scripts which read these reports expect."""
    width = max((len(row[0]) for block in blocks for row in block), default=0)

    def line(cells: Sequence[str]) -> str:
        first, *rest = cells
        return "".join([f"|  {first:<{width}}\t", *(f"|  {cell:<15}\t" for cell in rest), "|"])

    ruler = "-" * (len(line(columns).expandtabs()) + 1)
    parts = [head, "", ruler, line(columns), ruler]
    for block in blocks:
        parts += [*map(line, block), ruler]
    return "\n".join([*parts, ""])
