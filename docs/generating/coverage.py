"""``<!-- coverage -->``: each setting of each standard plugin, and a test that uses it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .pages import ROOT
from .plugins import Declared, standard_plugins
from .settings import default_of


@dataclass(frozen=True, slots=True)
class Program:
    """A test, or a recorded program: where it is, and what it uses.

    Attributes:
        words: what could name a plugin or a setting: names, keywords of calls, and the words in strings.
        positional: how many arguments are given by place, by the name of what is called.
    """

    file: Path
    name: str
    words: frozenset[str]
    positional: dict[str, int]


@cache
def programs() -> list[Program]:
    """All tests and recorded programs."""
    found = []
    for file in [*sorted(ROOT.glob("tests/**/test_*.py")), *sorted(ROOT.glob("tests/parity/scenario_groups/*.py"))]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.name.startswith("test_") or "scenario_groups" in file.parts):
                found.append(Program(file, node.name, frozenset(words_of(node)), positional_arguments(node)))
    return found


def words_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def positional_arguments(tree: ast.AST) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            counts[name] = max(counts.get(name, 0), len(node.args))
    return counts


def test_of(plugin: Declared, position: int, setting: str) -> str:
    """The first test that uses a setting of a plugin, as ``file::name``; empty if there is none."""
    own, cls = f"test_{plugin.name}.py", plugin.cls.__name__
    for one in sorted(programs(), key=lambda one: one.file.name != own):
        is_about = one.file.name == own or plugin.name in one.words or cls in one.words
        if is_about and (setting in one.words or one.positional.get(cls, 0) > position):
            return f"{one.file.relative_to(ROOT).as_posix()}::{one.name}"
    return ""


def coverage_table() -> str:
    """Each setting of each plugin, and a test that uses it."""
    rows = ["| plugin | setting | default | a test that uses it |", "|---|---|---|---|"]
    for plugin in standard_plugins().values():
        for position, one in enumerate(plugin.settings):
            test = test_of(plugin, position, one.name) or "none"
            rows.append(f"| `{plugin.name}` | `{one.name}` | {default_of(one)} | {test} |")
    return "\n".join(rows) + "\n"
