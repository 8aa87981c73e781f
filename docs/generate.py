"""Write the tables that come from the code, between their marks in READMEs and docs pages.

    python docs/generate.py            # bring all tables up to date
    python docs/generate.py --check    # only say which are not; exit status 1 if any

A mark is a comment before the table, and one behind it: ``<!-- settings: early_stopping -->`` has the settings of that plugin,
``<!-- coverage -->`` each setting of each plugin with a test that uses it; ``<!-- end -->`` closes both.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from torchbus_hookspecs.settings import Setting, describe_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/*.md", "plugins/*/*/README.md", "contrib/plugins/*/README.md")
MARKED = re.compile(r"(<!-- (settings: (?P<plugin>[\w-]+)|coverage) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Declared:
    """A plugin as its distribution declares it."""

    name: str
    kind: str
    cls: Any
    folder: Path

    @property
    def settings(self) -> list[Setting]:
        return describe_settings(self.cls)


@cache
def declared_plugins() -> dict[str, Declared]:
    """The plugins of this repository by name; those whose own dependencies are not installed are left out."""
    found: dict[str, Declared] = {}
    for file in sorted([*ROOT.glob("plugins/*/*/pyproject.toml"), *ROOT.glob("contrib/plugins/*/pyproject.toml")]):
        for group, points in tomllib.loads(file.read_text())["project"].get("entry-points", {}).items():
            for name, target in points.items():
                module, _, attribute = target.partition(":")
                try:
                    cls = getattr(importlib.import_module(module), attribute)
                except ModuleNotFoundError:
                    continue
                found[name] = Declared(name, group.removeprefix("torchbus."), cls, file.parent)
    return found


# ---- settings ---------------------------------------------------------------------------------------------------------


def in_words(type_text: str) -> str:
    """A type as a table cell: alternatives without the bar that would end the cell."""
    choices = re.sub(r"Literal\[(.*?)\]", lambda found: " | ".join(found[1].split(", ")), type_text)
    parts = ["none" if one == "None" else f"`{one}`".replace("'", '"') for one in choices.split(" | ")]
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if parts[:-1] else parts)


def settings_table(name: str) -> str:
    """The settings of one plugin, in the order of its constructor; those that differ in nothing but their names in one row."""
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    settings = declared_plugins()[name].settings
    for (type_text, default, meaning), group in groupby(
        settings, lambda one: (one.type, default_of(one), one.description)
    ):
        names = ", ".join(f"`{one.name}`" for one in group)
        rows.append(f"| {names} | {in_words(type_text)} | {default} | {escaped(meaning)} |")
    return "\n".join(rows) + "\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")  # a bar would end the cell


def default_of(setting: Setting) -> str:
    return "required" if setting.required else f"`{escaped(setting.default).replace(chr(39), chr(34))}`"


# ---- tests of settings ------------------------------------------------------------------------------------------------


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
    for plugin in declared_plugins().values():
        if "contrib" in plugin.folder.relative_to(ROOT).parts:
            continue
        for position, one in enumerate(plugin.settings):
            test = test_of(plugin, position, one.name) or "none"
            rows.append(f"| `{plugin.name}` | `{one.name}` | {default_of(one)} | {test} |")
    return "\n".join(rows) + "\n"


# ---- pages ------------------------------------------------------------------------------------------------------------


def renewed(text: str) -> str:
    """A page with its tables as the code has them; those of plugins that cannot be imported here stay."""

    def table(found: re.Match[str]) -> str:
        plugin = found["plugin"]
        if plugin and plugin not in declared_plugins():
            return found[0]
        return f"{found[1]}\n{settings_table(plugin) if plugin else coverage_table()}\n{found[4]}"

    return MARKED.sub(table, text)


def main() -> int:
    pages = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    stale = {page: new for page in pages if (new := renewed(old := page.read_text(encoding="utf-8"))) != old}
    for page, new in stale.items():
        print(
            f"{page.relative_to(ROOT)}: {'out of date; run docs/generate.py' if '--check' in sys.argv else 'written'}"
        )
        if "--check" not in sys.argv:
            page.write_text(new, encoding="utf-8")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
