"""Which steps torch's profiler records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from torch.profiler import ProfilerAction

__all__ = ["DEFAULT_STEPS", "Schedule", "Windows", "default_schedule"]

Schedule = Callable[[int], ProfilerAction]

WAIT, WARMUP, ACTIVE = 1, 1, 3
DEFAULT_STEPS = WAIT + WARMUP + ACTIVE
"""Steps that the default schedule needs to record a whole window."""


def default_schedule(step: int) -> ProfilerAction:
    """One step is waited for, one warms the profiler up, three are recorded."""
    if step < WAIT or step >= DEFAULT_STEPS:
        return ProfilerAction.NONE
    if step < WAIT + WARMUP:
        return ProfilerAction.WARMUP
    return ProfilerAction.RECORD if step < DEFAULT_STEPS - 1 else ProfilerAction.RECORD_AND_SAVE


class Windows:
    """A schedule, followed by each kind of step (training, validation, ...) on its own: one recorded window for each.

    A window that one kind has opened stays open while steps of another come in between, since a recording cannot pause.

    Args:
        schedule: what to do in a step, by the number of its kind.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._counts: Counter[str] = Counter()
        self._done: set[str] = set()
        self._owner = ""
        self._action = ProfilerAction.NONE

    def __call__(self, step: int) -> ProfilerAction:
        """What torch's profiler asks for: its own count is of no use, as it has one for all kinds."""
        return self._action

    @property
    def records(self) -> bool:
        """Whether the step under way is recorded."""
        return self._action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)

    def enter(self, kind: str, num_steps: int | None = None) -> bool:
        """A step of that kind begins; tell whether torch's profiler should be told.

        Args:
            kind: the kind of step.
            num_steps: record so many from the first on, whatever the schedule says.
        """
        if self._owner != kind and self._action in (ProfilerAction.WARMUP, ProfilerAction.RECORD):
            return False
        self._owner, count = kind, self._counts[kind]
        self._counts[kind] += 1
        if kind in self._done:
            self._action = ProfilerAction.NONE
        elif num_steps is None:
            self._action = self._schedule(count)
        else:
            self._action = ProfilerAction.RECORD if count + 1 < num_steps else ProfilerAction.RECORD_AND_SAVE
        if self._action == ProfilerAction.RECORD_AND_SAVE:
            self._done.add(kind)
        return True
