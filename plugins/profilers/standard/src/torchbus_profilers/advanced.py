"""Which functions each action spends its time in."""

from __future__ import annotations

import cProfile
import io
import pstats
import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torchbus_hookspecs import Profiler, validated

from ._titles import title

__all__ = ["AdvancedProfiler"]


@validated
class AdvancedProfiler(Profiler):
    """Runs ``cProfile`` over every action.

    Python profiles one thing at a time, so an action's profile pauses while another runs inside of it: what
    ``run_training_batch`` shows is its own, and ``training_step`` has a profile of its own beside it.

    Attributes:
        profiled_actions: the profile of each action.
    """

    def __init__(
        self,
        dirpath: Annotated[
            str | Path | None, Field(description="Folder of report and profiles; default: the logger's.")
        ] = None,
        filename: Annotated[
            str | None, Field(description="Name of the report without suffix; default: print it.")
        ] = None,
        line_count_restriction: Annotated[
            int | float, Field(ge=0, description="Functions shown of each action: how many, or (as 0.5) which share.")
        ] = 1.0,
        dump_stats: Annotated[
            bool, Field(description="Also write each action's profile to a `.prof` file, for `pstats` and viewers.")
        ] = False,
    ) -> None:
        super().__init__(dirpath, filename)
        # pstats takes a whole number for a count, a float up to 1.0 for a share, and passes over larger ones
        is_share = isinstance(line_count_restriction, float) and line_count_restriction <= 1
        self.line_count_restriction = line_count_restriction if is_share else int(line_count_restriction)
        self.dump_stats = dump_stats
        self.profiled_actions: dict[str, cProfile.Profile] = defaultdict(cProfile.Profile)
        self._running: list[str] = []

    def start(self, action_name: str) -> None:
        """An action begins; the one around it pauses."""
        if self._running:
            self.profiled_actions[self._running[-1]].disable()
        self._running.append(action_name)
        self.profiled_actions[action_name].enable()

    def stop(self, action_name: str) -> None:
        """An action ends; the one around it goes on.

        Raises:
            ValueError: it has not begun.
        """
        if action_name not in self._running:
            raise ValueError(
                f"Attempting to stop recording an action ({action_name}) that is not under way. To fix: start it first, or"
                " use `with profiler.profile(name)`."
            )
        self.profiled_actions[self._running[-1]].disable()
        del self._running[len(self._running) - 1 - self._running[::-1].index(action_name)]
        if self._running:
            self.profiled_actions[self._running[-1]].enable()

    def summary(self) -> str:
        """For each action, its functions, those that took longest (with what they called) first."""
        parts = [title(self._stage)]
        for name, profile in self.profiled_actions.items():
            text = io.StringIO()
            pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative").print_stats(
                self.line_count_restriction
            )
            parts.append(f"Profile stats for: {name}\n{text.getvalue()}")
        return "\n".join(parts)

    def describe(self) -> None:
        """Write the report, and the profiles if they are asked for."""
        if self.dump_stats:
            for name, profile in self.profiled_actions.items():
                # names of actions hold whatever users put into names of metrics, and some of it means folders
                file = self.output_file(".prof", re.sub(r'[\\/:*?"<>|\n\r\t]', "_", name))
                pstats.Stats(profile).dump_stats(str(file))
        super().describe()

    def teardown(self, stage: str | None) -> None:
        """The run is over: drop the profiles, which can be neither copied nor pickled."""
        super().teardown(stage)
        self.profiled_actions.clear()
        self._running.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "profiled_actions": defaultdict(cProfile.Profile), "_running": []}
