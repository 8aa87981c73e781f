"""``torchbus plugins new``: what it writes, and what it refuses to write."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torchbus_template")

Run = Callable[..., subprocess.CompletedProcess[str]]
KINDS = {
    "callback": "torchbus.callbacks", "logger": "torchbus.loggers", "accelerator": "torchbus.accelerators",
    "strategy": "torchbus.strategies", "hooks": "torchbus.plugins",
}  # fmt: skip


@pytest.fixture
def new(tmp_path: Path) -> Run:
    """Run ``torchbus plugins new`` in an empty folder."""
    program = "import sys; from torchbus._cli import main; sys.argv[0] = 'torchbus'; sys.exit(main())"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "plugins", "new", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_is_written_that_ruff_accepts(kind: str, new: Run, tmp_path: Path) -> None:
    done = new("warm_start", "--kind", kind, "--author", "Ann Example")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "torchbus-warm-start"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "torchbus-warm-start" and project["authors"] == [{"name": "Ann Example"}]
    [target] = project["entry-points"][KINDS[kind]].values()
    assert target == ("torchbus_warm_start" if kind == "hooks" else "torchbus_warm_start:WarmStart")
    assert (folder / ".github" / "workflows" / "test.yml").is_file()
    assert (folder / "src" / "torchbus_warm_start" / "py.typed").is_file()
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "."], cwd=folder, check=True, capture_output=True)


def test_it_says_what_to_do_next(new: Run) -> None:
    shown = new("warmup").stdout
    assert "pip install -e 'torchbus-warmup[dev]'" in shown and "torchbus plugins show warmup" in shown


def test_json_names_every_file(new: Run, tmp_path: Path) -> None:
    told = json.loads(new("warmup", "--into", "elsewhere", "--json").stdout)
    assert told["folder"] == "elsewhere"
    assert all((tmp_path / "elsewhere" / file).is_file() for file in told["files"])


def test_a_folder_that_is_in_use_is_left_alone(new: Run, tmp_path: Path) -> None:
    (tmp_path / "torchbus-warmup").mkdir()
    (tmp_path / "torchbus-warmup" / "thesis.txt").write_text("precious")
    done = new("warmup")
    assert done.returncode == 1 and "`torchbus-warmup` is there already" in done.stderr
    assert [file.name for file in (tmp_path / "torchbus-warmup").iterdir()] == ["thesis.txt"]


def test_a_name_that_cannot_be_one_is_refused(new: Run, tmp_path: Path) -> None:
    done = new("Warm-Up")
    assert done.returncode == 2 and "small letters" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused(new: Run, tmp_path: Path) -> None:
    done = new("early_stopping")
    assert done.returncode == 1 and "torchbus-stopping 0.1.0 offers a plugin `early_stopping`" in done.stderr
    assert not list(tmp_path.iterdir())


def test_another_template_may_be_named(new: Run, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "copier.yml").write_text("name: {type: str}\nkind: {type: str}\nauthor: {type: str}\n")
    (tmp_path / "own" / "{{ name }}.txt.jinja").write_text("{{ kind }}")
    assert new("warmup", "--template", "own", "--into", "out").returncode == 0
    assert (tmp_path / "out" / "warmup.txt").read_text() == "callback"
    done = new("warmup", "--template", "nowhere", "--into", "out2")
    assert done.returncode == 1 and "nowhere" in done.stderr
