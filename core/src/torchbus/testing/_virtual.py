"""A plugin with an entry point, without an install: found, enabled and shown as an installed one is."""

from __future__ import annotations

import importlib
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .._discovery import GROUPS, PluginKind

__all__ = ["virtual_plugin"]

_numbers = itertools.count()


@contextmanager
def virtual_plugin(
    name: str,
    plugin: Any,
    kind: PluginKind = "callbacks",
    *,
    distribution: str = "virtual-plugin",
    version: str = "1.0",
    requires: Sequence[str] = ("torchbus-hookspecs>=1,<2",),
) -> Iterator[str]:
    """Inside, ``plugin`` is what an installed distribution offers as ``name``.

    Args:
        name: the entry point's name.
        plugin: a class, module or object; or ``"package.module:attribute"``, as an entry point has it.
        kind: ``"callbacks"``, ``"loggers"``, ``"accelerators"``, ``"strategies"``, ``"profilers"`` or ``"plugins"``.
        distribution, version, requires: what the distribution's metadata say.

    Yields:
        The name.
    """
    holder: str | None = None
    target = plugin
    if not isinstance(plugin, str):
        holder = f"torchbus_virtual_{next(_numbers)}"
        sys.modules[holder] = ModuleType(holder)
        attribute = plugin.__name__.rpartition(".")[2] if hasattr(plugin, "__name__") else "plugin"
        setattr(sys.modules[holder], attribute, plugin)
        target = f"{holder}:{attribute}"
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        fields = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        fields += [f"Requires-Dist: {one}" for one in requires]
        (info / "METADATA").write_text("\n".join([*fields, ""]))
        (info / "entry_points.txt").write_text(f"[{GROUPS[kind]}]\n{name} = {target}\n")
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            yield name
        finally:
            sys.path.remove(folder)
            importlib.invalidate_caches()
            if holder is not None:
                del sys.modules[holder]
