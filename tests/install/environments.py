"""Real environments: distributions built as wheels, and virtual environments that hold them and nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "hookspecs",
    ROOT / "core",
    *(path.parent for path in sorted(ROOT.glob("plugins/*/*/pyproject.toml"))),
]
TEMPLATE = ROOT / "contrib" / "template"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command without anything of this process's environment that could lead it to the sources."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TORCHBUS_", "PIP_"))}
    done = subprocess.run([str(one) for one in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def distribution(source: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    return project


BY_NAME = {distribution(source)["name"]: source for source in SOURCES}


def build_wheel(source: Path, folder: Path) -> Path:
    """Build a distribution's wheel into an empty folder."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(python: Path, *distributions: str | Path) -> None:
    """``pip install`` wheels or sources (after ``"-e"``: editable) into an environment, from what is here alone."""
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *offline, *distributions)


def link_third_party(folder: Path) -> None:
    """What else is installed here, such as torch, without anything of ours: neither packages nor metadata nor paths."""
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("torchbus", "_editable", "__editable__")) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)


def make_environment(folder: Path, wheels: Iterable[Path], third_party: Path) -> Path:
    """Make a virtual environment with these wheels, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install(python, *wheels)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "third_party.pth").write_text(f"{third_party}\n")
    return python
