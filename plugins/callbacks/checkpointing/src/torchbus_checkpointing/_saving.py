"""What ``ModelCheckpoint`` does once a checkpoint is due: which files to write, to link and to remove."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torchbus_hookspecs import TorchbusError
from torchbus_hookspecs.errors import did_you_mean
from torchbus_hookspecs.events import AfterSaveCheckpoint

from . import _files
from ._naming import default_pattern, keys_of, render
from ._records import Records
from ._retention import Mode, admits, best, displaced, rankable, worst

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["Saving"]

_log = logging.getLogger("torchbus.model_checkpoint")


class Saving(Records):
    """Writes the files that are due and keeps the records true. The settings are its subclass's."""

    CHECKPOINT_JOIN_CHAR: ClassVar[str] = "-"
    CHECKPOINT_EQUALS_CHAR: ClassVar[str] = "="
    CHECKPOINT_NAME_LAST: ClassVar[str] = "last"
    FILE_EXTENSION: ClassVar[str] = ".ckpt"
    STARTING_VERSION: ClassVar[int] = 1

    filename: str | None
    verbose: bool
    save_last: bool | Literal["link"] | None
    save_top_k: int
    save_weights_only: bool
    auto_insert_metric_name: bool
    enable_version_counter: bool

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode)
        self._newest = ""
        self._told_of_names = False

    def _meet_absence(self, trainer: Trainer, *, at_step: bool) -> None:
        """The monitored metric is missing now that a checkpoint is due."""
        raise NotImplementedError

    # ---- names -------------------------------------------------------------------------------------------------------

    def format_checkpoint_name(
        self,
        metrics: Mapping[str, Any],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """The path of a checkpoint.

        Args:
            metrics: values for the names in the pattern; one that is missing reads 0.
            filename: the pattern; default: the setting ``filename``.
            ver: version to append, as in ``epoch=3-v2.ckpt``.
            prefix: text to begin the name with.
        """
        join = self.CHECKPOINT_JOIN_CHAR
        pattern = filename or self.filename or default_pattern(join)
        name = render(pattern, metrics, insert_names=self.auto_insert_metric_name, equals=self.CHECKPOINT_EQUALS_CHAR)
        parts = [*([prefix] if prefix else []), name, *([] if ver is None else [f"v{ver}"])]
        return os.path.join(self.dirpath or "", f"{join.join(parts)}{self.FILE_EXTENSION}")

    def file_exists(self, filepath: str | Path, trainer: Trainer) -> bool:
        """Whether there is such a file on rank zero; the same answer on every rank."""
        return trainer.strategy.broadcast(os.path.exists(filepath))

    def _free_path(self, trainer: Trainer, candidates: dict[str, Any], pattern: str | None, own: list[str]) -> str:
        """A path that is not taken, unless by a file of our ``own`` that is to be replaced."""
        self._warn_of_unknown_names(trainer, candidates, pattern or self.filename)
        version: int | None = None
        while True:
            # metrics may differ between ranks, names may not
            path = trainer.strategy.broadcast(self.format_checkpoint_name(candidates, pattern, ver=version))
            if not self.enable_version_counter or path in own or not self.file_exists(path, trainer):
                return path
            version = self.STARTING_VERSION if version is None else version + 1

    def _candidates(self, trainer: Trainer) -> dict[str, Any]:
        metrics: dict[str, Any] = dict(trainer.callback_metrics)
        metrics["epoch"] = int(metrics.get("epoch", trainer.current_epoch))
        metrics["step"] = int(metrics.get("step", trainer.global_step))
        return metrics

    # ---- saving ------------------------------------------------------------------------------------------------------

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether a checkpoint with this score would be kept; the same answer on every rank."""
        if current is None:
            return False
        good = admits(self._scores(), float(current), self.save_top_k, self.mode)
        return trainer.strategy.reduce_boolean_decision(good)

    def _save_all(self, trainer: Trainer, *, at_step: bool = False) -> None:
        """Save what is due, and only then remove what it replaces: until now a link may still point there.

        Args:
            trainer: the trainer.
            at_step: whether steps or time made it due, rather than an epoch: ``last.ckpt`` is then saved in any case.
        """
        candidates = self._candidates(trainer)
        obsolete = self._save_best(trainer, candidates, at_step=at_step)
        is_saved = self._last_global_step_saved == trainer.global_step
        if self.save_last and (at_step or is_saved or (self.save_last == "link" and self._newest)):
            obsolete += self._save_last(trainer, candidates)
        self._remove(trainer, obsolete)

    def _save_best(self, trainer: Trainer, candidates: dict[str, Any], *, at_step: bool) -> list[str]:
        """Save the checkpoint if it is good enough. Returns the files that it replaces."""
        if self.save_top_k == 0:
            return []
        if self.monitor is None:
            return self._save_newest(trainer, candidates)
        if self.monitor not in candidates:
            self._meet_absence(trainer, at_step=at_step)
            return []
        score = torch.as_tensor(candidates[self.monitor]).detach().cpu().clone()
        if not self.check_monitor_top_k(trainer, score):
            self._tell(
                trainer, f"`{self.monitor}` is {float(score):.6g}, not among the best {self.save_top_k}: not saved."
            )
            return []
        return self._save_ranked(trainer, candidates, score)

    def _save_newest(self, trainer: Trainer, candidates: dict[str, Any]) -> list[str]:
        previous = self.best_model_path
        with self._undone_on_failure():
            self.best_model_path = self._free_path(trainer, candidates, None, [previous])
            self._write(trainer, self.best_model_path)
        self._newest = self.best_model_path
        return [previous] if self.save_top_k == 1 and self._is_removable(trainer, previous, self._newest) else []

    def _save_ranked(self, trainer: Trainer, candidates: dict[str, Any], score: Tensor) -> list[str]:
        leaving = displaced(self._scores(), self.save_top_k, self.mode)
        with self._undone_on_failure():
            for name in leaving:
                del self.best_k_models[name]
            path = self._free_path(trainer, candidates, None, leaving)
            self.current_score = torch.full_like(score, rankable(float(score), self.mode)) if score.isnan() else score
            self.best_k_models[path] = self.current_score
            scores = self._scores()
            self.best_model_path = best(scores, self.mode)
            self.best_model_score = self.best_k_models[self.best_model_path]
            if self.save_top_k in (-1, len(scores)):
                self.kth_best_model_path = worst(scores, self.mode)
                self.kth_value = self.best_k_models[self.kth_best_model_path]
            self._write(trainer, path)
        self._newest = path
        return [name for name in leaving if self._is_removable(trainer, name, path)]

    def _save_last(self, trainer: Trainer, candidates: dict[str, Any]) -> list[str]:
        previous = self.last_model_path
        with self._undone_on_failure():
            path = self.last_model_path = self._free_path(trainer, candidates, self.CHECKPOINT_NAME_LAST, [previous])
            if self.save_last == "link" and self._newest:
                if trainer.is_global_zero:
                    _files.link(self._newest, path)
                trainer.strategy.barrier("ModelCheckpoint.link")
            else:
                self._write(trainer, path)
        return [previous] if self._is_removable(trainer, previous, path) else []

    def _save_rescue(self, trainer: Trainer) -> None:
        """Save a checkpoint that is not ranked, as the run is failing."""
        candidates = self._candidates(trainer)
        path = self._free_path(trainer, candidates, None, [])
        self._write(trainer, path)
        self._newest = path
        if self.save_last:
            self._remove(trainer, self._save_last(trainer, candidates))

    def _write(self, trainer: Trainer, path: str) -> None:
        before, self._last_global_step_saved = self._last_global_step_saved, trainer.global_step
        try:
            trainer.save_checkpoint(path, self.save_weights_only)
        except BaseException as error:
            self._last_global_step_saved = before
            if isinstance(error, (OSError, TorchbusError)):
                error.add_note(
                    f"{type(self).__name__} could not write `{path}`. Files saved before are untouched.\n"
                    f"To fix: make room in `{self.dirpath}` or make it writable, or set `dirpath` to another folder."
                )
            raise
        self._tell(trainer, f"saved `{path}` at step {trainer.global_step} of epoch {trainer.current_epoch}.")
        if trainer.is_global_zero:
            trainer.bus.emit(AfterSaveCheckpoint(self))

    # ---- removing ----------------------------------------------------------------------------------------------------

    def _is_removable(self, trainer: Trainer, path: str, replaced_by: str) -> bool:
        resumed_from = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
        return bool(path) and _files.may_be_removed(path, replaced_by, self.dirpath or "", resumed_from)

    def _remove(self, trainer: Trainer, paths: list[str]) -> None:
        for path in paths if trainer.is_global_zero else ():
            try:
                _files.remove(path)
            except OSError as error:  # the new file is safe: a leftover is no reason to end the run
                warnings.warn(
                    f"{type(self).__name__}: `{path}` is obsolete but cannot be removed: {error}", stacklevel=2
                )

    # ---- telling -----------------------------------------------------------------------------------------------------

    def _tell(self, trainer: Trainer, message: str) -> None:
        if self.verbose and trainer.is_global_zero:
            _log.info("%s: %s", type(self).__name__, message)

    def _warn_of_unknown_names(self, trainer: Trainer, candidates: dict[str, Any], pattern: str | None) -> None:
        unknown = [key for key in keys_of(pattern or "") if key not in candidates]
        if unknown and not self._told_of_names and trainer.is_global_zero:
            self._told_of_names = True
            names = ", ".join(f"`{key}`" for key in unknown)
            hint = did_you_mean(unknown[0], candidates)
            warnings.warn(
                f"{type(self).__name__}: the name {pattern!r} asks for {names}, not logged so far; it reads 0.{hint}",
                stacklevel=2,
            )
