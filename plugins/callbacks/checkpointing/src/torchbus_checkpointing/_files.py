"""The folder and the files of checkpoints: may we write here, may we remove this, link to that."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from torchbus_hookspecs import MisconfigurationException

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["absolute_folder", "default_folder", "link", "may_be_removed", "obstacle", "remove", "unwritable"]


def absolute_folder(folder: str | Path, owner: str) -> str:
    """A folder as it was given to ``owner``, made absolute, with ``~`` and symbolic links resolved.

    Raises:
        MisconfigurationException: it is an address elsewhere, such as ``s3://...``.
    """
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", str(folder)):
        raise MisconfigurationException(
            f"{owner}: `dirpath` is {str(folder)!r}; checkpoints are written to local folders only.\n"
            "To fix: set it to a folder, and upload from it in the hook `on_checkpoint_committed`.",
            plugin=owner,
        )
    return os.path.realpath(os.path.expanduser(folder))


def default_folder(trainer: Trainer) -> str:
    """Where a run keeps its checkpoints if nothing else is said: with its first logger's files, if it has a logger."""
    if not trainer.loggers:
        return os.path.abspath(os.path.join(trainer.default_root_dir, "checkpoints"))
    logger = trainer.loggers[0]
    root = trainer.default_root_dir if logger.save_dir is None else logger.save_dir
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return os.path.abspath(os.path.join(root, str(logger.name or ""), version, "checkpoints"))


def obstacle(folder: str) -> str | None:
    """Why no file can be written below a folder, which need not exist yet; ``None`` if nothing seems to hinder it."""
    nearest = Path(folder)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"`{nearest}` is not a folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"there is no permission to write to `{nearest}`"
    return None


def unwritable(folder: str, problem: str, owner: str) -> MisconfigurationException:
    """The error that tells of an obstacle."""
    return MisconfigurationException(
        f"{owner}: checkpoints cannot be written to `{folder}`: {problem}.\n"
        "To fix: set `dirpath` (or the trainer's `default_root_dir`) to a folder you may write to, or save no checkpoints"
        " with `Trainer(enable_checkpointing=False)`.",
        plugin=owner,
    )


def may_be_removed(path: str, replaced_by: str, folder: str, resumed_from: str | None) -> bool:
    """Whether a checkpoint that is no longer wanted is ours to remove.

    Not if its replacement has its name, if it lies in another folder (it is then an earlier run's), or if the run was
    resumed from it.
    """
    if path == replaced_by or (resumed_from is not None and _located(path) == _located(resumed_from)):
        return False
    return Path(os.path.realpath(folder)) in Path(_located(path)).parents


def _located(path: str) -> str:
    # the folder's links are resolved, the file's are not: `last.ckpt` may point elsewhere tomorrow
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def remove(path: str) -> None:
    """Remove a checkpoint, a file or a folder of shards; one that is gone already is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def link(target: str, path: str) -> None:
    """Make ``path`` a relative symbolic link to ``target``, or a copy where links are not possible.

    Whoever opens ``path`` meanwhile gets the old one or the new one.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)  # a folder of shards: nothing can be renamed over it
    beside = f"{path}.{os.getpid()}.link"
    remove(beside)
    try:
        os.symlink(os.path.relpath(target, os.path.dirname(path)), beside)
    except OSError:  # a file system, or a Windows account, without symbolic links
        if os.path.isdir(target):
            shutil.copytree(target, beside)
        else:
            shutil.copyfile(target, beside)
    os.replace(beside, path)
