"""Files that plugins write: whole or not at all, with an error that says what to do where a disk is full or not ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import MisconfigurationException

__all__ = ["replacing", "set_aside", "unusable", "writing_to"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file so that nobody ever sees half of it: yields a path beside it, whose file takes its place at the end.

    The folder is made if need be. If the body raises, the file is as it was before, and nothing is left beside it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")  # writers go by the suffix
    try:
        yield beside
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def set_aside(path: str | Path) -> Path:
    """Rename a file, such as one of an earlier run, to the first free ``NAME.1.SUFFIX``, ``NAME.2.SUFFIX``, …; return that."""
    taken = Path(path)
    number = 1
    while (free := taken.with_name(f"{taken.stem}.{number}{taken.suffix}")).exists():
        number += 1
    return taken.rename(free)


@contextmanager
def writing_to(path: str | Path, owner: str, setting: str) -> Iterator[None]:
    """Have every ``OSError`` inside say whose file it is and what to do about it.

    Args:
        path: the file or folder.
        owner: the class or plugin that writes it.
        setting: the name of its setting for the path.

    Raises:
        MisconfigurationException: there was an ``OSError``; it is the cause.
    """
    try:
        yield
    except OSError as error:
        raise unusable(path, owner, setting, error) from error


def unusable(
    path: str | Path, owner: str, setting: str, error: OSError, what: str = "file"
) -> MisconfigurationException:
    """The error for a file or folder that cannot be written or read."""
    problem = error.strerror or str(error)
    where = f" ({error.filename!r})" if error.filename and os.fspath(error.filename) != os.fspath(path) else ""
    return MisconfigurationException(
        f"{owner}: cannot use the {what} {os.fspath(path)!r}: {problem}{where}. See that it can be written to and has room,"
        f" or set `{setting}` to another {what}.",
        plugin=owner,
    )
