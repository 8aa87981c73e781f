"""Warn of plugins that slow training down, at next to no cost."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torchbus_hookspecs import PassThroughProfiler, hookimpl, validated
from torchbus_hookspecs.profiler import Watch

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["SlowPlugins"]

JUDGED_HOOKS = (
    "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step",
    "on_train_batch_end", "on_log_record", "log_metrics", "save",
)  # fmt: skip
"""Hooks of a training step whose implementations only look on: the work itself may take what it takes."""

WARM_UP = 20
"""Batches before anything is timed, and those over which the length of a step is then measured."""
WINDOW = 10
"""Steps of one sample."""
PAUSE = 500
"""Batches from one sample to the next at least."""
PAUSE_S = 1.0
"""Seconds to the next look where steps are too short to judge: they are thousands then, and a look costs as much as one."""
FIRST_COST_S = 0.01
"""What a sample is taken to cost before there was one: compiling the hooks of ten plugins twice, and some more."""


@validated
class SlowPlugins:
    """Times the plugins of a few training steps out of many hundreds, and names those that take too large a part of a step.

    Between samples nothing is timed and nothing is called: the loop compares one number a batch. A sample has the calls of
    plugins compiled anew, with clocks around them, for ten steps. Judged is the median of these steps, so a plugin that takes
    its time now and then, such as one that saves a checkpoint, is not.
    """

    on_failure = "quarantine"

    def __init__(
        self,
        share: Annotated[
            float, Field(gt=0, le=1, description="Part of a training step from which on a plugin's hook is slow.")
        ] = 0.05,
        min_step_ms: Annotated[
            float, Field(ge=0, description="Training steps shorter than that (milliseconds) are not looked at.")
        ] = 1.0,
        cost: Annotated[
            float, Field(gt=0, le=1, description="Part of the training time that looking may take at most.")
        ] = 0.002,
    ) -> None:
        self.share = share
        self.min_step_s = min_step_ms / 1000
        self.cost = cost
        self._told: set[tuple[str, str]] = set()
        self._sampling: _Sampling | None = None

    @hookimpl
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look in later, unless somebody measures the whole run."""
        if isinstance(trainer.profiler, PassThroughProfiler):
            self._sampling = _Sampling(trainer, self)
            self._sampling.wait(WARM_UP)

    @hookimpl
    def on_train_end(self) -> None:
        """Stop looking."""
        self._stop()

    @hookimpl
    def on_exception(self) -> None:
        """Stop looking."""
        self._stop()

    def _stop(self) -> None:
        sampling, self._sampling = self._sampling, None
        if sampling is not None:
            sampling.end()

    def judge(self, sample: dict[tuple[str, str], list[float]], step_s: float, origins: dict[str, str]) -> None:
        """Warn of those that take more of a step than they should; of each plugin's hook once.

        Args:
            sample: for each plugin and hook, the part of each sampled step that it took.
            step_s: the median length of these steps.
            origins: distribution and version of each plugin, as text.
        """
        for (plugin, hook), parts in sorted(sample.items()):
            part = statistics.median(parts)
            if part > self.share and (plugin, hook) not in self._told:
                self._told.add((plugin, hook))
                origin = f" ({origins[plugin]})" if origins.get(plugin) else ""
                warnings.warn(
                    f"Plugin `{plugin}`{origin} takes {part:.0%} of a training step in its `{hook}`:"
                    f" {1e3 * part * step_s:.2g} of {1e3 * step_s:.2g} ms, the median of {len(parts)} steps. On a GPU this"
                    " contains what it waits for, such as a value it reads with .item(). To fix: have it do less, or only"
                    ' every n-th batch. Trainer(profiler="plugins") shows what each plugin takes;'
                    ' plugins=["no:slow_plugins"] ends these warnings.',
                    UserWarning,
                    stacklevel=2,
                )


class _Sampling:
    """The samples of one fit: when to take them, and what they show."""

    def __init__(self, trainer: Trainer, owner: SlowPlugins) -> None:
        self._trainer = trainer
        self._owner = owner
        self._start_s = self._last_s = time.perf_counter()
        self._spent_s = 0.0
        self._num_samples = 0
        self._watches: dict[tuple[str, str], _Stopwatch] = {}
        self._origins: dict[str, str] = {}
        self._steps_s: list[float] = []
        self._changes_seen = -1
        self._is_worth_it = False

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def wait(self, batches: int) -> None:
        """Look in after that many batches."""
        self._at(batches, self._measure_steps)

    def _at(self, batches: int, function: Callable[[], None]) -> None:
        self._trainer.before_batch(function, skip=batches)

    def _measure_steps(self) -> None:
        self._last_s = time.perf_counter()
        self._at(WARM_UP, self._decide)

    def _decide(self) -> None:
        """Take a sample now, or later: when steps are long enough to judge, and it may cost what it costs."""
        now = time.perf_counter()
        step_s = (now - self._last_s) / WARM_UP
        if step_s < self._owner.min_step_s or not self._has_listeners() or self._trainer.bus.is_watched:
            self.wait(max(PAUSE, int(PAUSE_S / max(step_s, 1e-6))))
            return
        one_costs = self._spent_s / self._num_samples if self._num_samples else FIRST_COST_S
        earliest_s = (self._spent_s + one_costs) / self._owner.cost
        missing_s = earliest_s - (now - self._start_s)
        if missing_s > 0:
            self.wait(max(1, math.ceil(missing_s / step_s)))
        else:
            self._begin()

    def _has_listeners(self) -> bool:
        bus = self._trainer.bus
        if self._changes_seen != bus.changes:
            plugins = bus.plugins
            heard = (name for hook in JUDGED_HOOKS for name, _ in bus.implementations(hook))
            self._is_worth_it = any(not plugins[name].is_user_code for name in heard)
            self._changes_seen = bus.changes
        return self._is_worth_it

    # ---- a sample ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._paid():
            self._trainer.bus.watch(self._watch, JUDGED_HOOKS)
            self._last_s = time.perf_counter()
            self._at(1, self._end_step)

    def _watch(self, plugin: Any, hook: str) -> Watch | None:
        if plugin.is_user_code or hook not in JUDGED_HOOKS:
            return None
        self._origins[plugin.name] = plugin.origin
        return self._watches.setdefault((plugin.name, hook), _Stopwatch())

    def _end_step(self) -> None:
        with self._paid():
            now = time.perf_counter()
            took = now - self._last_s
            self._steps_s.append(took)
            for watch in self._watches.values():
                watch.parts.append(watch.take() / took)
            if len(self._steps_s) < WINDOW:
                self._at(1, self._end_step)
            else:
                self._end_sample()
            self._last_s = time.perf_counter()

    def _end_sample(self) -> None:
        self._num_samples += 1
        sample = {key: watch.parts for key, watch in self._watches.items()}
        step_s, origins = statistics.median(self._steps_s), dict(self._origins)
        self.end()
        self.wait(PAUSE)
        self._owner.judge(sample, step_s, origins)

    def end(self) -> None:
        """Take the clocks out again, if they are in."""
        if self._watches:
            self._trainer.bus.watch(None, JUDGED_HOOKS)
        self._watches, self._steps_s = {}, []

    @contextmanager
    def _paid(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spent_s += time.perf_counter() - start


class _Stopwatch:
    """The time of one plugin's hook in the step under way."""

    __slots__ = ("_depth", "_start_s", "_time_s", "parts")

    def __init__(self) -> None:
        self.parts: list[float] = []
        self._time_s = self._start_s = 0.0
        self._depth = 0

    def begin(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._start_s = time.perf_counter()

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._time_s += time.perf_counter() - self._start_s

    def take(self) -> float:
        """The time since this was last asked."""
        taken, self._time_s = self._time_s, 0.0
        return taken
