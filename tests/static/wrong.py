"""What a wrong piece of code is, for the tables beside this file: how it looks, and who sees that it is wrong."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

__all__ = ["FIRST_LINE", "Wrong", "as_module"]

HEAD = """
from __future__ import annotations

from collections.abc import Generator
from typing import Any

from torchbus import LightningModule, Trainer
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.events import Event, TrainBatchEnd, TrainStart


def use(trainer: Trainer) -> object:
"""
FIRST_LINE = HEAD.count("\n")
"""The line of a module that is the first of what it uses."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A few lines that use a trainer wrongly.

    Attributes:
        lines: the body of a function that has ``trainer``.
        error: the type of what is raised.
        says: what the message names: the plugin or handler, the hook or argument, and what would be right.
        mypy: the error code in each line (from 1) where mypy in strict mode finds it, or why typing cannot see it.
    """

    lines: str
    error: type[Exception]
    says: tuple[str, ...]
    mypy: dict[int, str] | str


def as_module(lines: str) -> str:
    """The lines as a module with the function ``use``."""
    return HEAD.lstrip() + textwrap.indent(textwrap.dedent(lines).strip("\n"), "    ") + "\n"
