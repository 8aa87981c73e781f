"""A hook's specification in its parts: what its signature and its docstring say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchbus_hookspecs.events import EVENTS
from torchbus_hookspecs.markers import HookKind, kind_of
from torchbus_hookspecs.specs import HOOKS

PARTS = ("Called", "Kind", "Result", "Default", "Order", "Args", "Raises", "Source")
LEADING = ("trainer", "pl_module")


@dataclass(frozen=True, slots=True)
class Specification:
    """One hook.

    Attributes:
        room: the module it stands in.
        summary: the first line of its docstring.
        parts: the others, by their label; ``Called`` and ``Source`` are always there.
        types: the type of each argument, in order.
        returns: the type of its result.
        event: the name of its event's class.
    """

    name: str
    room: str
    kind: HookKind
    summary: str
    parts: dict[str, str]
    types: dict[str, str]
    returns: str
    event: str

    @property
    def signature(self) -> str:
        """Its signature with types, as code; on several lines where one would be too long."""
        arguments = [f"{name}: {type_text}" for name, type_text in self.types.items()]
        whole = f"def {self.name}({', '.join(arguments)}) -> {self.returns}: ..."
        if len(whole) <= 100:
            return whole
        return f"def {self.name}(\n    " + ",\n    ".join(arguments) + f",\n) -> {self.returns}: ..."

    @property
    def arguments(self) -> list[str]:
        """Its arguments without trainer and module."""
        return [name for name in self.types if name not in LEADING]


def specification(name: str) -> Specification:
    """The specification of a hook."""
    function = HOOKS[name]
    summary, parts = parts_of(function)
    signature = inspect.signature(function)
    return Specification(
        name,
        function.__module__.rpartition(".")[2],
        kind_of(function),
        summary,
        parts,
        {one.name: str(one.annotation) for one in signature.parameters.values()},
        str(signature.return_annotation),
        EVENTS[name].__name__,
    )


def parts_of(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The summary of a docstring, and the text behind each label."""
    summary, _, rest = (inspect.getdoc(function) or "").partition("\n")
    labelled = re.split(rf"^({'|'.join(PARTS)}):[ \n]?", rest.strip(), flags=re.MULTILINE)
    texts = [one.strip("\n") for one in labelled]
    return summary, dict(zip(texts[1::2], texts[2::2], strict=True))


def items_of(text: str) -> dict[str, str]:
    """The entries of an ``Args`` or ``Raises`` part, each with its text in one line."""
    entries: dict[str, str] = {}
    for entry in re.split(r"^    (?=\S)", text, flags=re.MULTILINE)[1:]:
        name, _, described = entry.partition(":")
        entries[name] = " ".join(described.split())
    return entries
