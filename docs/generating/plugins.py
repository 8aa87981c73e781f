"""The plugins of this repository, as their distributions declare them."""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torchbus_hookspecs.settings import Setting, describe_settings

from .pages import ROOT


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


def standard_plugins() -> dict[str, Declared]:
    """Those of them that are not in ``contrib``."""
    return {
        name: one for name, one in declared_plugins().items() if "contrib" not in one.folder.relative_to(ROOT).parts
    }
