"""The examples of all READMEs and docs pages run, and what they point to is there.

The Python blocks of a file run in their order, in one namespace and in an empty folder. A block that begins with a comment
naming a file (`# my_hooks.py`, `# torchbus.toml`) is saved under that name first, as its reader would do; a `# pyproject.toml`
with entry points also counts as installed. What only the test needs stands before a block in `<!-- setup: ... -->`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = (
    "README.md",
    "hookspecs/README.md",
    "core/README.md",
    "contrib/**/README.md",
    "plugins/*/*/README.md",
    "docs/*.md",
    "docs/reference/*.md",
)
PAGES = sorted({page for pattern in PATTERNS for page in ROOT.glob(pattern)})
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$|^<!-- setup:(?P<setup>.*?)-->", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# (?P<name>[\w.-]+\.(?:py|toml))\n")
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)[^)]*\)")


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "contrib/plugins" in page.as_posix():
        _skip_unless_installed(page)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # a real module, since classes are asked for the module they were defined in
    module = ModuleType(f"example_{len(sys.modules)}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    known = set(sys.modules)
    try:
        for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
            _run(found, module, page, tmp_path)
    finally:
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
                del sys.modules[name]


def _run(found: re.Match[str], module: ModuleType, page: Path, folder: Path) -> None:
    language, code = ("python", found["setup"].strip()) if found["setup"] else (found["language"], found["code"])
    named = FILE_NAME.match(code)
    if named:
        (folder / named["name"]).write_text(code, encoding="utf-8")
    if language == "toml":
        content = tomllib.loads(code)
        if "project" in content:
            _install(content["project"], folder)
    elif language == "python":
        first_line = page.read_text(encoding="utf-8")[: found.start()].count("\n") + 1
        exec(compile("\n" * first_line + code, str(page), "exec"), vars(module))


def _install(project: dict, folder: Path) -> None:
    """Write down what pip would about an installed distribution: its metadata and its entry points."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {one}\n" for one in project.get("dependencies", []))
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
    )
    lines = []
    for group, points in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


def _skip_unless_installed(page: Path) -> None:
    name = tomllib.loads((page.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    try:
        version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed: pip install ./{page.parent.relative_to(ROOT)}")


def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = {found["target"] for found in LINK.finditer(text)}
    missing = [one for one in targets if "://" not in one and not (page.parent / one).exists()]
    assert not missing


def test_pages_were_found() -> None:
    assert len(PAGES) >= 10
