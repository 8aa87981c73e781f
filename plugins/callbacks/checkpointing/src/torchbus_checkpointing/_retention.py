"""What to keep: pure decisions about scores. It knows of no files and no trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

__all__ = ["Mode", "admits", "best", "displaced", "rankable", "worst"]

Mode = Literal["min", "max"]


def rankable(score: float, mode: Mode) -> float:
    """The score as a number that can be ranked: NaN becomes the worst one there is."""
    if math.isnan(score):
        return math.inf if mode == "min" else -math.inf
    return score


def _cost(score: float, mode: Mode) -> float:
    return rankable(score, mode) if mode == "min" else -rankable(score, mode)


def best(scores: Mapping[str, float], mode: Mode) -> str:
    """The name with the best score; the earliest of several."""
    return min(scores, key=lambda name: _cost(scores[name], mode))


def worst(scores: Mapping[str, float], mode: Mode) -> str:
    """The name with the worst score; the earliest of several."""
    return max(scores, key=lambda name: _cost(scores[name], mode))


def admits(scores: Mapping[str, float], score: float, k: int, mode: Mode) -> bool:
    """Whether a checkpoint with this score belongs among the best.

    Args:
        scores: the scores of those that are kept, by name, in the order of saving.
        score: that of the new one. NaN is worse than any number; a tie does not replace.
        k: how many to keep; -1: all, 0: none.
        mode: whether low or high scores are good.
    """
    if k == -1 or len(scores) < k:
        return True
    return k > 0 and _cost(score, mode) < _cost(scores[worst(scores, mode)], mode)


def displaced(scores: Mapping[str, float], k: int, mode: Mode) -> list[str]:
    """The names that have to go for one more to be kept, worst first.

    It is more than one where ``k`` has become smaller, as after a resume with other settings.
    """
    left, leaving = dict(scores), []
    while k > 0 and len(left) >= k:
        leaving.append(worst(left, mode))
        del left[leaving[-1]]
    return leaving
