"""Text on stdout: coloured and wrapped on a terminal, plain and whole where it is piped or written to a file."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["is_terminal", "pad_columns", "print_json", "print_table", "say"]

GAP = "  "


def is_terminal() -> bool:
    """Whether somebody reads along."""
    return sys.stdout.isatty()


@functools.cache
def _console() -> Console:
    from rich.console import Console  # here, not above: whoever pipes need not wait for it

    return Console(highlight=False)


def say(*parts: str | tuple[str, str], indent: int = 0) -> None:
    """Print one line, made of texts and ``(text, style)``; on a terminal it wraps to the same indent."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    if not is_terminal():
        print(" " * indent + "".join(text for text, _ in pairs).rstrip())  # noqa: T201
        return
    from rich.padding import Padding
    from rich.text import Text

    _console().print(Padding(Text.assemble(*pairs), (0, 0, 0, indent), expand=False))


def pad_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same cells, as wide as the widest of their column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    """Print rows below a header; on a terminal the cells wrap, elsewhere each row is one line."""
    if not is_terminal():
        for row in pad_columns([[title.upper() for title in header], *rows]):
            say(GAP.join(row))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title, style in zip(header, styles, strict=True):
        table.add_column(title, style=style, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def print_json(value: Any) -> None:
    """Print JSON, for other programs."""
    print(json.dumps(value, indent=2))  # noqa: T201
