"""What tests of several rooms share."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

# how fast a busy machine is says nothing about the code
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


class Install(Protocol):
    """Make a fake distribution, and return the folder that holds it."""

    def __call__(
        self,
        name: str,
        version: str = "1.0",
        *,
        entry_points: Mapping[str, Mapping[str, str]] | None = None,
        modules: Mapping[str, str] | None = None,
        requires: Sequence[str] = ("torchbus-hookspecs>=1,<2",),
        site: str = "site",
    ) -> Path: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install fake distributions: metadata, entry points and modules, in folders of the test's own.

    ``entry_points`` has a mapping of names and targets for each group; ``modules`` has sources by file name. A folder of
    another ``site`` comes earlier on the path than those before it.
    """
    sites: list[Path] = []

    def install(
        name: str,
        version: str = "1.0",
        *,
        entry_points: Mapping[str, Mapping[str, str]] | None = None,
        modules: Mapping[str, str] | None = None,
        requires: Sequence[str] = ("torchbus-hookspecs>=1,<2",),
        site: str = "site",
    ) -> Path:
        folder = tmp_path / site
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        fields = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *fields, ""]))
        lines = []
        for group, points in (entry_points or {}).items():
            lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
        for file, source in (modules or {}).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(dedent(source))
        if folder not in sites:
            sites.append(folder)
            monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return folder

    before = set(sys.modules)
    yield install
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path) + os.sep):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from the environment of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("TORCHBUS_")]:
        monkeypatch.delenv(name)
