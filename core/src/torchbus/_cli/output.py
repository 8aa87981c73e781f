"""Text on stdout: coloured and wrapped on a terminal, plain and whole where it is piped or written to a file."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["complain", "is_terminal", "pad_columns", "print_json", "print_table", "say"]


def is_terminal() -> bool:
    """Whether somebody reads along."""
    return sys.stdout.isatty()


@functools.cache
def _console(stderr: bool = False) -> Console:
    from rich.console import Console  # here, not above: whoever pipes need not wait for it

    return Console(highlight=False, stderr=stderr)


def say(*parts: str | tuple[str, str], indent: int = 0) -> None:
    """Print one line, made of texts and ``(text, style)``; on a terminal it wraps to the same indent."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    if not pairs or not is_terminal():
        print(" " * indent + "".join(text for text, _ in pairs).rstrip())  # noqa: T201
        return
    from rich.padding import Padding
    from rich.text import Text

    _console().print(Padding(Text.assemble(*pairs), (0, 0, 0, indent), expand=False))


def complain(message: str) -> None:
    """Print what went wrong on stderr."""
    if sys.stderr.isatty():
        _console(stderr=True).print(message, markup=False)  # wraps between words
    else:
        print(message, file=sys.stderr)  # noqa: T201


def pad_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same cells, as wide as the widest of their column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as one line below a header, whatever its length: for files and pipes."""
    for line in pad_columns([[title.upper() for title in header], *rows]):
        say("  ".join(line))


def print_json(value: Any) -> None:
    """Print JSON, for other programs."""
    print(json.dumps(value, indent=2))  # noqa: T201
