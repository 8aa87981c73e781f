"""What a checkpoint callback knows of its files, and how that travels in a checkpoint."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchbus_hookspecs import Checkpoint

from ._retention import Mode, rankable

__all__ = ["Records"]

_FIELDS = (
    "best_k_models",
    "best_model_path",
    "best_model_score",
    "current_score",
    "kth_best_model_path",
    "kth_value",
    "last_model_path",
)


class Records(Checkpoint):
    """The files of a checkpoint callback and their scores; ``ModelCheckpoint`` describes the attributes."""

    dirpath: str | None
    monitor: str | None

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.mode: Mode = mode
        self.best_k_models: dict[str, Tensor] = {}
        self.best_model_path = ""
        self.best_model_score: Tensor | None = None
        self.current_score: Tensor | None = None
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(rankable(math.nan, mode))
        self.last_model_path = ""
        self._last_global_step_saved = 0

    def state_dict(self) -> dict[str, Any]:
        """Which files there are, with their scores."""
        state = {**self._snapshot(), "dirpath": self.dirpath, "monitor": self.monitor}
        if self._last_global_step_saved:
            state["last_global_step_saved"] = self._last_global_step_saved
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the files of an earlier run. In another folder a new list begins; only the best is remembered."""
        # a file written after a validation resumes with that validation, and need not be written again
        self._last_global_step_saved = state_dict.get("last_global_step_saved", 0)
        if state_dict.get("dirpath", self.dirpath) == self.dirpath:
            vars(self).update({name: state_dict[name] for name in _FIELDS if name in state_dict})
            self.best_k_models = dict(self.best_k_models)
            return
        self.best_model_path = state_dict["best_model_path"]
        warnings.warn(
            f"{type(self).__name__}: the checkpoint comes from a run that saved to `{state_dict['dirpath']}`, this one"
            f" saves to `{self.dirpath}`. Files there are neither ranked nor removed; `best_model_path` is taken over.",
            stacklevel=2,
        )

    def to_yaml(self, filepath: str | Path | None = None) -> None:
        """Write the best files with their scores as YAML; by default to ``best_k_models.yaml`` in their folder."""
        if filepath is None:
            filepath = os.path.join(self.dirpath or "", "best_k_models.yaml")
        # a string in JSON is one in YAML, too; numbers differ only where they are not finite
        special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
        scores = {path: repr(score) for path, score in self._scores().items()}
        lines = [
            f"{json.dumps(path, ensure_ascii=False)}: {special.get(text, text)}\n" for path, text in scores.items()
        ]
        Path(filepath).write_text("".join(lines) or "{}\n", encoding="utf-8")

    def _scores(self) -> dict[str, float]:
        return {path: float(score) for path, score in self.best_k_models.items()}

    def _snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS} | {"best_k_models": dict(self.best_k_models)}

    @contextmanager
    def _undone_on_failure(self) -> Iterator[None]:
        """Records are set before saving, since they go into the file; a file that was not written must leave none."""
        before = self._snapshot()
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise
