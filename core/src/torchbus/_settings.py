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
    if not isinstance(plugins, dict):
        raise MisconfigurationException(
            f"{path}: `plugins` must hold one table of settings for each plugin name; it is {plugins!r}."
        )
    for name, one in plugins.items():
        if not isinstance(one, dict):
            raise MisconfigurationException(
                f"{path}: `plugins.{name}` is {one!r}; it should be a table of settings, [plugins.{name}].", plugin=name
            )
    if not isinstance(enabled, list) or not all(isinstance(one, str) for one in enabled):
        raise MisconfigurationException(f"{path}: `enable` must be a list of plugin names; it is {enabled!r}.")
    return ConfigFile(path, plugins, tuple(enabled))


def environment_settings(name: str, declaration: Callable[..., Any]) -> tuple[dict[str, Any], set[str]]:
    """Settings of one plugin from environment variables, as pydantic-settings reads them (JSON for lists and tables).

    Returns:
        The settings, and the names of those that should be JSON and are not: they are left as text, for their type to refuse.
    """
    prefix = setting_variable(name, "")
    given = {key for key in os.environ if key.upper().startswith(prefix)}
    if not given:  # pydantic-settings is imported only when there is something to read
        return {}, set()
    from pydantic_settings import BaseSettings, EnvSettingsSource
    from torchbus_hookspecs.settings import settings_model

    no_json = set()

    class Source(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            try:
                return super().decode_complex_value(field_name, field, value)
            except ValueError:
                no_json.add(getattr(field, "alias", None) or field_name)
                return value

    model = settings_model(declaration)
    reader = type(f"{name}Environment", (BaseSettings, model), {})
    source: Any = Source(reader, env_prefix=prefix, env_prefix_target="all", env_nested_delimiter="__")
    known: dict[str, Any] = source()
    fields = {key.lower(): key for key in known}
    unknown = {}
    for key in given:
        field = key[len(prefix) :].split("__")[0].lower()
        if field not in fields:
            unknown[field] = os.environ[key]
    return {**known, **unknown}, no_json


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
    environment, no_json = environment_settings(name, declaration)
    layers: tuple[tuple[Mapping[str, Any], Callable[[str], str]], ...] = (
        (config.plugins.get(name, {}), lambda field: f"{config.path}, [plugins.{name}]"),
        (
            environment,
            lambda field: (
                f"environment variable {setting_variable(name, field)}"
                + (" (lists and tables are JSON there)" if field in no_json else "")
            ),
        ),
        (script, lambda field: "the script"),
        (run or {}, lambda field: RUN_SOURCE),
    )
    for layer, source in layers:
        for field, value in layer.items():
            values[field], sources[field] = value, source(field)
    return values, sources
