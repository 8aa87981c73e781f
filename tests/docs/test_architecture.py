"""The floors of `docs/architecture.md` are those of the code: every room has one, and imports nothing from above."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "src" / "torchbus"
ROW = re.compile(r"^\| (?P<floor>\d) \| (?P<rooms>[^|]+) \|", re.MULTILINE)
FILES = sorted(CORE.rglob("*.py"))


@cache
def floors() -> dict[str, int]:
    """The floor of each room, by the name it has in the table: ``_bus.py``, ``_loops/``."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {room: int(row["floor"]) for row in ROW.finditer(page) for room in re.findall(r"`([^`]+)`", row["rooms"])}


def room_of(file: Path) -> str:
    first, *inside = file.relative_to(CORE).parts
    return f"{first}/" if inside else first


def imported_files(file: Path) -> Iterator[Path]:
    """Core's own files that a file imports at run time, also inside of functions."""
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for candidate in (folder, *(folder / alias.name for alias in node.names)):
            for found in (candidate.with_suffix(".py"), candidate / "__init__.py"):
                # a package's __init__ counts only where something in it is meant
                if found.is_file() and not (found.name == "__init__.py" and found.parent in file.parents):
                    yield found


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from _statements(node)


def test_every_room_has_a_floor_and_every_floor_has_its_rooms() -> None:
    assert set(floors()) == {room_of(file) for file in FILES}


def test_no_room_imports_one_from_a_floor_above() -> None:
    wrong = [
        f"{room_of(file)} (floor {floors()[room_of(file)]}) imports {room_of(other)} (floor {floors()[room_of(other)]})"
        for file in FILES
        for other in imported_files(file)
        if floors().get(room_of(other), 0) > floors().get(room_of(file), 0)
    ]
    assert not wrong


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = {file: set(imported_files(file)) - {file} for file in FILES}
    while leaves := [file for file, needed in graph.items() if not needed & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert not [str(file.relative_to(CORE)) for file in graph]


def test_the_imports_were_found() -> None:
    found = {room_of(one) for one in imported_files(CORE / "_loops" / "fit.py")}
    assert {"_data/", "_rng.py", "_results.py", "_loops/"} <= found
