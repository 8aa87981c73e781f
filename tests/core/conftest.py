"""What the tests of the ground floor share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from torchbus import Bus


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def calls() -> list[str]:
    """Where plugins write down that they were called."""
    return []


# ---- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def offer(tmp_path: Path) -> Callable[..., None]:
    """Make the test's folder hold what pip leaves of a distribution, and its code."""

    def offer(name: str, points: str, version: str = "1.2", code: str = "", folder: str = ".") -> None:
        module = name.replace("-", "_")
        information = tmp_path / folder / f"{module}-{version}.dist-info"
        information.mkdir(parents=True)
        fields = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: torchbus-hookspecs>=1,<2\n"
        (information / "METADATA").write_text(fields)
        (information / "entry_points.txt").write_text(textwrap.dedent(points))
        if code:
            (tmp_path / folder / f"{module}.py").write_text(textwrap.dedent(code))

    return offer


@pytest.fixture
def torchbus(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``torchbus`` in the test's folder, which is on the path; keywords are environment variables."""

    def torchbus(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torchbus._cli", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), **variables}
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    return torchbus
