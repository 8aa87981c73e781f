"""``torchbus config``: which settings are in force, where they come from, and a schema for editors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from .._discovery import Offer, discover, is_allowed
from .._errors import PluginNotFoundError, did_you_mean
from .._settings import ConfigFile, read_config_file
from .check import Timeout
from .children import TIMEOUT_S, Found, examine_all
from .enabling import used_by_default
from .output import is_terminal, print_json, print_table, say

__all__ = ["app"]

app = typer.Typer(help="Which settings are in force, and where they come from.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _examined(timeout: float, only: set[str] | None = None) -> list[tuple[Offer, Found]]:
    offers = [one for one in discover() if is_allowed(one.distribution) and (only is None or one.name in only)]
    return examine_all(offers, timeout)


# ---- show -------------------------------------------------------------------------------------------------------------


@app.command("show")
def show_config(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only of these instances.")] = None,
    enabled: Annotated[
        bool, typer.Option("--enabled", help="Only of plugins that the file or a default enables.")
    ] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that are not the default.")] = False,
    timeout: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Show the settings that a plugin has where the script gives none, each with its source."""
    config = read_config_file()  # its faults are errors here
    plugins = _names_of_plugins(names, config)
    results = _examined(timeout, plugins)
    wanted = set(names) if names else None
    if enabled:
        on = _enabled(config)
        wanted = on if wanted is None else wanted & on
    rows = [
        {"plugin": offer.name, "distribution": offer.distribution, **value}
        for offer, found in results
        for value in found["values"]
        if (wanted is None or value["instance"] in wanted) and not (changed and value["source"] in UNCHANGED)
    ]
    broken = [f"{offer.name}: {found['faults'][0]}" for offer, found in results if found["facts"] is None]
    if as_json:
        path = str(config.path) if config.path else None
        print_json({"configuration": path, "settings": rows, "cannot_be_imported": broken})
    else:
        _print(rows)
        for one in broken:
            say((one, "red"))
    if broken or any(row["problem"] for row in rows):
        raise typer.Exit(1)


UNCHANGED = ("default", "required", "given by the trainer")


def _names_of_plugins(names: Sequence[str] | None, config: ConfigFile) -> set[str] | None:
    """The plugins that are meant by instance names; ``None`` for all."""
    if not names:
        return None
    installed = {offer.name for offer in discover()}
    meant = {name: str(config.plugins.get(name, {}).get("plugin", name)) for name in names}
    for name, plugin in meant.items():
        if plugin not in installed:
            hint = did_you_mean(name, installed | set(config.plugins))
            raise PluginNotFoundError(
                f"No installed plugin, and no instance in the configuration file, is `{name}`.{hint}"
            )
    return set(meant.values())


def _enabled(config: ConfigFile) -> set[str]:
    """Instances that run where a script says nothing."""
    off = {one.removeprefix("no:") for one in config.enabled if one.startswith("no:")}
    on = {one.rpartition(":")[2] for one in config.enabled if not one.startswith("no:")}
    return (on | used_by_default(discover())) - off


def _print(rows: Sequence[dict[str, Any]]) -> None:
    if not is_terminal():
        cells = [(row["instance"], row["setting"], row["value"], row["source"], row["problem"]) for row in rows]
        print_table(("plugin", "setting", "value", "source", "problem"), cells)
        return
    for instance, group in groupby(rows, lambda row: row["instance"]):
        say((str(instance), "bold cyan"))
        for row in group:
            style = "dim" if row["source"] in UNCHANGED else "green"
            say(
                (row["setting"], "bold"),
                f" = {row['value']}  " if row["value"] else "  ",
                (row["source"], style),
                indent=2,
            )
            if row["problem"]:
                say((row["problem"], "red"), indent=4)


# ---- schema -----------------------------------------------------------------------------------------------------------


@app.command("schema")
def show_schema(
    timeout: Timeout = TIMEOUT_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as it does anyway.")] = False,
) -> None:
    """Print a JSON schema of torchbus.toml for the installed plugins, from which editors complete and check it."""
    definitions: dict[str, Any] = {}
    tables = {}
    for offer, found in _examined(timeout):
        if found["facts"] is not None and offer.kind in ("callbacks", "loggers", "plugins", "profilers"):
            tables[offer.name] = _table(offer, found["facts"], definitions)
    names = sorted(tables)
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "torchbus.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "enable": {
                "description": "Plugins that every trainer uses, and with `no:` those that none uses.",
                "type": "array",
                "items": {"anyOf": [{"enum": [*names, *(f"no:{name}" for name in names)]}, {"type": "string"}]},
            },
            "plugins": {
                "description": "Settings by instance name.",
                "type": "object",
                "properties": tables,
                "additionalProperties": {"type": "object"},
            },
        },
        "definitions": definitions,
    }
    print_json(schema)


POLICY = {"enum": ["raise", "quarantine"], "description": "What happens when it raises."}


def _table(offer: Offer, facts: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The table of one plugin: what its settings are, none of them required, since the script may give it."""
    own = dict(facts["schema"])
    prefix = f"{offer.distribution}.{offer.name}."
    for name, definition in own.pop("$defs", {}).items():
        definitions[prefix + name] = _with_references(definition, prefix)
    described = {one["name"]: one["description"] for one in facts["settings"]}
    properties = {
        name: {**_with_references(one, prefix), **({"description": described[name]} if described.get(name) else {})}
        for name, one in own.get("properties", {}).items()
    }
    plugin = {"type": "string", "description": "The plugin that this instance name means."}
    return {
        "description": facts["summary"],
        "type": "object",
        "properties": {**properties, "plugin": plugin, "on_failure": POLICY},
        "additionalProperties": bool(own.get("additionalProperties", False)),
    }


def _with_references(schema: Any, prefix: str) -> Any:
    """The same with references to where the definitions are in the whole."""
    if isinstance(schema, list):
        return [_with_references(one, prefix) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: one.replace("#/$defs/", f"#/definitions/{prefix}") if key == "$ref" else _with_references(one, prefix)
        for key, one in schema.items()
    }
