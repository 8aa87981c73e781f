"""Where a plugin's settings come from, and which source wins.

First wins, field by field: ``torchbus run``; the script; environment variables
(``TORCHBUS_EARLY_STOPPING__PATIENCE=5``); the table ``[plugins.early_stopping]`` of ``torchbus.toml``, or
``[tool.torchbus.plugins.early_stopping]`` of ``pyproject.toml``, in the current folder or the nearest above it; the
declaration's defaults.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import MisconfigurationException
from ._run_options import RUN_SOURCE

__all__ = ["PREFIX", "ConfigFile", "environment_settings", "gather", "read_config_file", "setting_variable"]

PREFIX = "TORCHBUS_"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file says.

    Attributes:
        path: the file, or ``None`` when there is none.
        plugins: settings by instance name.
        enabled: what the file's ``enable`` list asks for.
    """

    path: Path | None
    plugins: Mapping[str, Mapping[str, Any]]
    enabled: tuple[str, ...] = ()


def read_config_file(start: Path | None = None) -> ConfigFile:
    """Read the nearest ``torchbus.toml``, or ``pyproject.toml`` with a ``[tool.torchbus]`` table, from ``start`` upwards.

    Raises:
        MisconfigurationException: the file is not valid TOML (the message gives line and column) or has wrong tables.
    """
    folder = (start or Path.cwd()).resolve()
    for parent in (folder, *folder.parents):
        for name in ("torchbus.toml", "pyproject.toml"):
            path = parent / name
            if not path.is_file():
                continue
            try:
                content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise MisconfigurationException(f"{path} is not valid TOML: {error}.") from None
            if name == "pyproject.toml":
                tools = content.get("tool")
                content = tools.get("torchbus") if isinstance(tools, dict) else None
            if content is not None:
                return _checked(path, content)
    return ConfigFile(None, {})


def _checked(path: Path, table: Any) -> ConfigFile:
    if not isinstance(table, dict):
        raise MisconfigurationException(f"{path}: `tool.torchbus` must be a table.")
    plugins, enabled = table.get("plugins", {}), table.get("enable", [])
    unknown = set(table) - {"plugins", "enable"}
    if unknown:
        raise MisconfigurationException(
            f"{path}: unknown table or key {', '.join(f'`{name}`' for name in sorted(unknown))}; known are `plugins`"
            " (settings by plugin name) and `enable` (a list of names)."
        )
    if not isinstance(plugins, dict) or not all(isinstance(one, dict) for one in plugins.values()):
        raise MisconfigurationException(f"{path}: `plugins` must hold one table of settings for each plugin name.")
    if not isinstance(enabled, list) or not all(isinstance(one, str) for one in enabled):
        raise MisconfigurationException(f"{path}: `enable` must be a list of plugin names.")
    return ConfigFile(path, plugins, tuple(enabled))


def environment_settings(name: str, declaration: Callable[..., Any]) -> dict[str, Any]:
    """Settings of one plugin from environment variables, as pydantic-settings reads them (JSON for lists and tables)."""
    prefix = setting_variable(name, "")
    given = {key for key in os.environ if key.upper().startswith(prefix)}
    if not given:  # pydantic-settings is imported only when there is something to read
        return {}
    from pydantic_settings import BaseSettings, EnvSettingsSource
    from pydantic_settings.exceptions import SettingsError
    from torchbus_hookspecs.settings import settings_model

    model = settings_model(declaration)
    reader = type(f"{name}Environment", (BaseSettings, model), {})
    try:
        source: Any = EnvSettingsSource(reader, env_prefix=prefix, env_prefix_target="all", env_nested_delimiter="__")
        known: dict[str, Any] = source()
    except SettingsError as error:
        raise MisconfigurationException(
            f"{name}: an environment variable {prefix}... cannot be read: {error}."
        ) from None
    fields = {key.lower(): key for key in known}
    unknown = {}
    for key in given:
        field = key[len(prefix) :].split("__")[0].lower()
        if field not in fields:
            unknown[field] = os.environ[key]
    return {**known, **unknown}


def setting_variable(name: str, field: str) -> str:
    """The environment variable of a setting: ``TORCHBUS_EARLY_STOPPING__PATIENCE``."""
    safe = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"{PREFIX}{safe}__{field}".upper()


def gather(
    name: str,
    declaration: Callable[..., Any],
    script: Mapping[str, Any],
    config: ConfigFile,
    run: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a plugin from all sources, and for each where it was read.

    Args:
        name: the plugin's instance name.
        declaration: its class or factory.
        script: what the script gave.
        config: the configuration file.
        run: what ``torchbus run`` gave.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers: tuple[tuple[Mapping[str, Any], Callable[[str], str]], ...] = (
        (config.plugins.get(name, {}), lambda field: f"{config.path}, [plugins.{name}]"),
        (
            environment_settings(name, declaration),
            lambda field: f"environment variable {setting_variable(name, field)}",
        ),
        (script, lambda field: "the script"),
        (run or {}, lambda field: RUN_SOURCE),
    )
    for layer, source in layers:
        for field, value in layer.items():
            values[field], sources[field] = value, source(field)
    return values, sources
