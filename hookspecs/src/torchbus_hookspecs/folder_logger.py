"""A base for loggers that keep one folder per run: ``save_dir/name/version_N``, with ``hparams.yaml`` in it.

A distribution that uses it requires ``pyyaml`` itself: the contract does not.
"""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from .errors import MisconfigurationException
from .files import unusable
from .hparams_file import HPARAMS_FILE, as_mapping, write_hparams
from .logger import Logger

__all__ = ["FolderLogger", "SilentExperiment", "on_rank_zero"]


def on_rank_zero() -> bool:
    """Whether this process is the one that writes: rank zero of a distributed run, or the only one."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


class SilentExperiment:
    """Takes any method call and does nothing: what ``experiment`` is on the ranks that do not write."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle and copy ask for these, and must hear that there is none
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class FolderLogger(Logger):
    """A logger of local files. Nothing is created before there is something to write."""

    LOGGER_JOIN_CHAR: ClassVar[str] = "-"
    NAME_HPARAMS_FILE: ClassVar[str] = HPARAMS_FILE

    def __init__(self, save_dir: str | Path, name: str | None, version: int | str | None, prefix: str) -> None:
        self._save_dir = os.path.expandvars(os.path.expanduser(save_dir))
        self._name = name or ""
        self._version = version
        self._prefix = prefix
        self.hparams: dict[str, Any] = {}
        self._unsaved_hparams = False
        self._has_hparams_file = False
        if "://" in self._save_dir:
            raise MisconfigurationException(
                f"{type(self).__name__}: `save_dir` is {self._save_dir!r}; it must be a folder of a local file system."
            )

    @property
    def save_dir(self) -> str:
        """The folder given by the user, with ``~`` and variables filled in."""
        return self._save_dir

    @property
    def name(self) -> str:
        """The name of the experiment: a folder in ``save_dir``. ``""`` when there is none."""
        return self._name

    @property
    def root_dir(self) -> str:
        """The folder of all versions: ``save_dir/name``."""
        return os.path.join(self._save_dir, self._name)

    @property
    def version(self) -> int | str:
        """The version as given, or else the number after the highest there is; decided when first asked, then fixed."""
        if self._version is None:
            self._version = self._next_version()
        return self._version

    @property
    def log_dir(self) -> str:
        """The folder of this run: ``save_dir/name/version_N``, or ``save_dir/name/VERSION`` if it was given as text."""
        version = self.version
        return os.path.join(self.root_dir, version if isinstance(version, str) else f"version_{version}")

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Remember hyperparameters, beside those of earlier calls; ``save`` writes them to ``hparams.yaml``."""
        self.hparams.update(as_mapping(params))
        self._unsaved_hparams = bool(self.hparams)

    def _save_hparams(self, needed: bool) -> None:
        """Write hyperparameters that are new. If ``needed``, the file is there afterwards, be there any or none."""
        needed = needed and not self._has_hparams_file
        if not (self._unsaved_hparams or needed) or not on_rank_zero():
            return
        with self._writing() as folder:
            if self._unsaved_hparams or not os.path.exists(os.path.join(folder, HPARAMS_FILE)):
                write_hparams(folder, self.hparams)
        self._unsaved_hparams, self._has_hparams_file = False, True

    def _labelled(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics by the names they are written under, tensors of one element as numbers."""
        start = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        return {f"{start}{name}": self._scalar(name, value) for name, value in metrics.items()}

    def _scalar(self, name: str, value: Any) -> Any:
        if type(value) is float:  # what a trainer hands over
            return value
        if isinstance(value, Mapping):
            return {str(inner): self._scalar(f"{name}/{inner}", one) for inner, one in value.items()}
        try:
            return value.item() if hasattr(value, "item") else value
        except (RuntimeError, ValueError) as error:
            raise TypeError(
                f"{type(self).__name__}: the metric `{name}` is not one number ({error}). Log its mean, for instance."
            ) from error

    def _next_version(self) -> int:
        try:
            present = os.listdir(self.root_dir)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._unusable(self.root_dir, error) from error
        matches = (re.fullmatch("version_([0-9]+)", entry) for entry in present)
        return max((int(match[1]) for match in matches if match), default=-1) + 1

    @contextmanager
    def _writing(self) -> Iterator[str]:
        """The folder of this run, made if need be. An ``OSError`` while writing there names logger and path."""
        folder = self.log_dir
        try:
            os.makedirs(folder, exist_ok=True)
            yield folder
        except OSError as error:
            raise self._unusable(folder, error) from error

    def _unusable(self, path: str, error: OSError) -> MisconfigurationException:
        return unusable(path, type(self).__name__, "save_dir", error, what="folder")
