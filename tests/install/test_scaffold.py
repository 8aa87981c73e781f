"""What ``torchbus plugins new`` writes, as its author meets it: installed, tested, checked and enabled in a real environment."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .environments import ROOT, install, run

pytestmark = pytest.mark.slow

KINDS = {
    "callback": "callbacks", "logger": "loggers", "accelerator": "accelerators", "strategy": "strategies",
    "hooks": "plugins",
}  # fmt: skip
NAMES = {kind: f"my_{kind}" for kind in KINDS}
FOLDERS = [f"torchbus-my-{kind}" for kind in KINDS]


@pytest.fixture(scope="module")
def python(environment: Callable[..., Path]) -> Path:
    return environment(["torchbus-hookspecs", "torchbus-core", "torchbus-cpu", "torchbus-template"])


@pytest.fixture(scope="module")
def written(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one new distribution of each kind, all of them installed."""
    folder = tmp_path_factory.mktemp("written")
    for kind, name in NAMES.items():
        run(python.parent / "torchbus", "plugins", "new", name, "--kind", kind, cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FOLDERS)
    install(python, *(folder / one for one in FOLDERS))
    return folder


def test_they_are_listed_under_their_kinds(python: Path, written: Path) -> None:
    listed = json.loads(run(python.parent / "torchbus", "plugins", "list", "--json", cwd=written))
    found = {(one["name"], one["kind"], one["distribution"], one["fault"]) for one in listed}
    assert {(f"my_{kind}", group, f"torchbus-my-{kind}", "") for kind, group in KINDS.items()} <= found


def test_they_pass_their_own_tests(python: Path, written: Path) -> None:
    tests = [f"{folder}/tests" for folder in FOLDERS]
    told = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=written)
    assert re.search(r"\d+ passed", told) and "skipped" not in told, told


def test_they_pass_ruff_and_mypy(python: Path, written: Path) -> None:
    for folder in FOLDERS:
        run(sys.executable, "-m", "ruff", "check", ".", cwd=written / folder)
        run(sys.executable, "-m", "ruff", "format", "--check", ".", cwd=written / folder)
    sources = [f"{folder}/src" for folder in FOLDERS]
    assert "no issues" in run(python, "-m", "mypy", "--strict", *sources, cwd=written)


def test_the_four_commands_of_the_documentation_lead_to_a_run_with_the_new_plugin(
    python: Path, written: Path, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "ship-a-plugin.md").read_text()
    section = text[text.index("## Four commands") : text.index("## Entry points")]
    (block,) = re.findall(r"```text\n(torchbus plugins new.*?)```", section, re.DOTALL)
    new, editable, test, train = (shlex.split(line) for line in block.splitlines())
    run(python.parent / new[0], *new[1:], cwd=tmp_path)
    assert editable[:3] == ["pip", "install", "-e"]
    (folder,) = tmp_path.iterdir()
    assert editable[3:] == [f"./{folder.name}[dev]"]
    install(python, "-e", folder)  # without the extra, since nothing is fetched here
    assert test == ["pytest", folder.name]
    assert " passed" in run(python, "-m", *test, cwd=tmp_path)
    (script,) = re.findall(r"```py\n# train.py\n(.*?)```", section, re.DOTALL)
    (tmp_path / train[-1]).write_text(script)
    assert train == ["python", "train.py"]
    assert "pause: 20 batches are enough" in run(python, *train[1:], cwd=tmp_path)
