"""Which files of a checkpoint callback a logger has not seen yet: for loggers that keep checkpoints elsewhere."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

__all__ = ["CheckpointFile", "CheckpointFiles"]


class CheckpointFile(NamedTuple):
    """A file of a checkpoint callback: its path, its score as a number, and the words ``latest`` or ``best`` that fit it."""

    path: str
    score: float | None
    aliases: tuple[str, ...]


class CheckpointFiles:
    """Remembers which files were seen, and in which state."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def news_of(self, callback: Any) -> list[CheckpointFile]:
        """The files of a callback that are new, or were written anew, since the last call; the oldest first."""
        scores = dict(getattr(callback, "best_k_models", {}))
        best, last = getattr(callback, "best_model_path", ""), getattr(callback, "last_model_path", "")
        scores.setdefault(best, getattr(callback, "best_model_score", None))
        scores.setdefault(last, getattr(callback, "current_score", None))
        times = {path: os.path.getmtime(path) for path in scores if path and os.path.isfile(path)}
        new = sorted((path for path in times if self._seen.get(path) != times[path]), key=times.__getitem__)
        self._seen.update({path: times[path] for path in new})
        latest = last or (max(times, key=times.__getitem__) if times else "")
        return [
            CheckpointFile(path, _number(scores[path]), ("latest",) * (path == latest) + ("best",) * (path == best))
            for path in new
        ]


def _number(score: Any) -> float | None:
    number: float | None = score.item() if hasattr(score, "item") else score
    return number
