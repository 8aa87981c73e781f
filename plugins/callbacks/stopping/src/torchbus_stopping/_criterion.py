"""The judgement on one score: go on, or stop, and why. It knows of no trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

import torch
from torch import Tensor

__all__ = ["BETTER", "SIGN", "EarlyStoppingReason", "Mode", "Rules", "Verdict", "judge", "worst_score"]

Mode = Literal["min", "max"]

BETTER: Final[dict[str, Callable[..., Tensor]]] = {"min": torch.lt, "max": torch.gt}
"""For each mode, whether the first score is better than the second."""

SIGN: Final[dict[str, str]] = {"min": "<", "max": ">"}


class EarlyStoppingReason(Enum):
    """Why training was asked to stop."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a score; the fields are the settings of ``EarlyStopping``."""

    monitor: str
    mode: Mode
    min_delta: float
    patience: int
    check_finite: bool
    stopping_threshold: float | None
    divergence_threshold: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a score.

    Attributes:
        reason: why to stop, or ``NOT_STOPPED``.
        message: the same in words; empty when there is nothing to tell.
        best: the best score so far.
        wait: checks in a row without improvement.
    """

    reason: EarlyStoppingReason
    message: str
    best: Tensor
    wait: int

    @property
    def stops(self) -> bool:
        """Whether training should stop."""
        return self.reason is not EarlyStoppingReason.NOT_STOPPED


def worst_score(mode: Mode) -> Tensor:
    """The score that every other one beats."""
    return torch.tensor(torch.inf if mode == "min" else -torch.inf)


def judge(score: Tensor, best: Tensor, wait: int, rules: Rules) -> Verdict:
    """Judge one score.

    Args:
        score: the new value, shape ``()``.
        best: the best value before it, shape ``()``.
        wait: checks in a row without improvement before it.
        rules: what is asked of it.
    """
    better, name, value = BETTER[rules.mode], rules.monitor, float(score)
    if rules.check_finite and not torch.isfinite(score):
        message = f"`{name}` is {value}, not a finite number; best: {float(best):.6g}."
        return Verdict(EarlyStoppingReason.NON_FINITE_METRIC, message, best, wait)
    if rules.stopping_threshold is not None and better(score, rules.stopping_threshold):
        message = (
            f"`{name}` is {value:.6g} {SIGN[rules.mode]} {rules.stopping_threshold:g}: as good as it was asked to be."
        )
        return Verdict(EarlyStoppingReason.STOPPING_THRESHOLD, message, best, wait)
    if rules.divergence_threshold is not None and better(-score, -rules.divergence_threshold):
        message = f"`{name}` is {value:.6g}, worse than the divergence threshold {rules.divergence_threshold:g}."
        return Verdict(EarlyStoppingReason.DIVERGENCE_THRESHOLD, message, best, wait)
    margin = rules.min_delta if rules.mode == "max" else -rules.min_delta
    if better(score - margin, best):
        gain = f", better by {abs(float(best) - value):.6g}" if torch.isfinite(best) else ""
        message = f"`{name}` is {value:.6g}: a new best{gain}."
        return Verdict(EarlyStoppingReason.NOT_STOPPED, message, score, 0)
    wait += 1
    if wait >= rules.patience:
        checks = "1 check" if wait == 1 else f"{wait} checks"
        message = f"`{name}` is {value:.6g}: no improvement for {checks}; best: {float(best):.6g}."
        return Verdict(EarlyStoppingReason.PATIENCE_EXHAUSTED, message, best, wait)
    return Verdict(EarlyStoppingReason.NOT_STOPPED, "", best, wait)
