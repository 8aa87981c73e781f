"""Who may import whom. The imports are read from the sources, and wrong arrows and circles are refused.

What stands under ``TYPE_CHECKING`` costs nothing at run time and is free. Imports inside functions count for who may know
whom. (The floors of the core stand in docs/architecture.md, and tests/docs/test_architecture.py holds them.)
"""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACT, CORE = ROOT / "hookspecs/src/torchbus_hookspecs", ROOT / "core/src/torchbus"
PLUGINS = {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/*/src/torchbus_*/__init__.py"))}
CONTRIB = {path.parent.name: path.parent for path in sorted(ROOT.glob("contrib/*/*/src/torchbus_*/__init__.py"))}
PACKAGES = {"torchbus_hookspecs": CONTRACT, "torchbus": CORE, **PLUGINS}


# ---- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrow:
    """One import: from a module to a module."""

    source: str
    target: str
    line: int
    is_lazy: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def import_nodes(node: ast.AST, is_lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Imports that happen at run time, and whether only when a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                yield from import_nodes(ast.Module([other], []), is_lazy)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_lazy
        else:
            yield from import_nodes(child, is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def arrows_of(source: str, module: str, is_package: bool, modules: Mapping[str, object] = {}) -> Iterator[Arrow]:
    """The imports of one module; a name that is a module itself counts as the target."""
    for node, is_lazy in import_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [one.name for one in node.names]
        else:
            parent = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*parent, *(node.module.split(".") if node.module else [])])
            inner = [f"{base}.{one.name}" for one in node.names]
            targets = [one if one in modules else base for one in inner]
        yield from (Arrow(module, target, node.lineno, is_lazy) for target in targets)


@cache
def modules_of(package: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def arrows(package: Path) -> list[Arrow]:
    modules = modules_of(package)
    return [
        arrow
        for module, path in modules.items()
        for arrow in arrows_of(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", modules)
    ]


def top(module: str) -> str:
    return module.partition(".")[0]


def is_private(module: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in module.split("."))


def circle(graph: Mapping[str, set[str]]) -> list[str] | None:
    """A path that comes back to where it began, if there is one."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for target in sorted(graph.get(module, ())):
            found = search(target, [*path, module])
            if found:
                return found
        done.add(module)
        return None

    return next((found for module in sorted(graph) if (found := search(module, []))), None)


# ---- the reader itself ------------------------------------------------------------------------------------------------


def test_the_reader_sees_every_kind_of_import() -> None:
    source = """
from typing import TYPE_CHECKING
import a.b, c
from . import sibling, _private
from .other import name
from ..up import name
if TYPE_CHECKING:
    from never import seen
else:
    import otherwise
try:
    import attempted
except ImportError:
    pass
def later():
    from .lazy import name
"""
    modules = dict.fromkeys(["p.q.sibling", "p.q._private", "p.q.other", "p.up", "p.q.lazy"])
    found = list(arrows_of(source, "p.q.m", False, modules))
    assert [(arrow.target, arrow.is_lazy) for arrow in found] == [
        ("typing", False), ("a.b", False), ("c", False), ("p.q.sibling", False), ("p.q._private", False),
        ("p.q.other", False), ("p.up", False), ("otherwise", False), ("attempted", False), ("p.q.lazy", True),
    ]  # fmt: skip
    assert [arrow.target for arrow in arrows_of("from .x import y", "p.q", True)] == ["p.q.x"]


def test_the_reader_sees_circles() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


def test_the_packages_are_found() -> None:
    assert {"torchbus_stopping", "torchbus_checkpointing", "torchbus_csv", "torchbus_cpu"} <= set(PLUGINS)
    for package in PACKAGES.values():
        assert arrows(package) or len(modules_of(package)) == 1


# ---- arrows -----------------------------------------------------------------------------------------------------------


def test_the_contract_imports_neither_torch_nor_core_nor_plugins() -> None:
    wrong = [
        str(one) for one in arrows(CONTRACT) if top(one.target) == "torch" or top(one.target) in {*PLUGINS, "torchbus"}
    ]
    assert not wrong


def test_the_core_knows_no_plugin() -> None:
    wrong = [str(one) for one in arrows(CORE) if top(one.target) in PLUGINS]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_no_imports_go_round_in_a_circle(package: str) -> None:
    modules = modules_of(PACKAGES[package])
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for arrow in arrows(PACKAGES[package]):
        # a package's own __init__ is run before its modules anyhow
        if not arrow.is_lazy and arrow.target in modules and not arrow.source.startswith(f"{arrow.target}."):
            graph[arrow.source].add(arrow.target)
    found = circle(graph)
    assert found is None, " imports ".join(found or [])


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_import_the_contract_and_public_names_of_the_core_only(plugin: str) -> None:
    wrong = [
        str(one)
        for one in arrows(PLUGINS[plugin])
        if top(one.target) in {"torchbus", "torchbus_hookspecs"} and is_private(one.target)
    ]
    assert not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_do_not_import_each_other(plugin: str) -> None:
    wrong = [str(one) for one in arrows(PLUGINS[plugin]) if top(one.target) in {*PLUGINS} - {plugin}]
    assert not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_that_imports_the_core_or_torch_requires_it(plugin: str) -> None:
    project = tomllib.loads((PLUGINS[plugin].parents[1] / "pyproject.toml").read_text())["project"]
    required = {text.split(">")[0].split("[")[0].strip() for text in project["dependencies"]}
    assert "torchbus-hookspecs" in required
    used = {top(one.target) for one in arrows(PLUGINS[plugin])}
    assert ("torchbus" in used) <= ("torchbus-core" in required)
    assert ("torch" in used) <= ("torch" in required)


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_contrib(package: str) -> None:
    assert CONTRIB
    wrong = [str(one) for one in arrows(PACKAGES[package]) if top(one.target) in {*CONTRIB, "contrib"}]
    assert not wrong


# ---- faces ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [*PACKAGES, *CONTRIB])
def test_every_package_is_typed(package: str) -> None:
    assert ({**PACKAGES, **CONTRIB}[package] / "py.typed").is_file()


PUBLIC = [
    (package, module) for package, path in PACKAGES.items() for module in modules_of(path) if not is_private(module)
]


@pytest.mark.parametrize(("package", "module"), PUBLIC, ids=[module for _, module in PUBLIC])
def test_public_names_of_public_modules_exist(package: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PACKAGES[package].parent)
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    assert names is not None, f"{module} does not say what is public"
    assert len(set(names)) == len(names)
    for name in names:
        assert hasattr(loaded, name), f"{module}.{name}"


@pytest.mark.parametrize("module", sorted(modules_of(CORE)))
def test_rooms_of_the_core_say_what_they_offer(module: str) -> None:
    tree = ast.parse(modules_of(CORE)[module].read_text())
    names = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    has_definitions = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)
    if not names:
        # all of `_defaults` is hookimpls, for the bus; where plugins' classes are shown, `__all__` depends on what is installed
        excused = not has_definitions or module == "torchbus._defaults"
        assert excused or hasattr(importlib.import_module(module), "__all__"), f"{module} has no __all__"
        return
    loaded = importlib.import_module(module)
    for name in names[0]:
        assert hasattr(loaded, name), f"{module}.{name}"
