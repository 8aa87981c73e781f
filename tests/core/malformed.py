"""Malformed configuration files, made from what the installed plugins declare: the same ones in every run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torchbus._cli.facts import facts_of
from torchbus._discovery import STANDARD, discover, load_offer

__all__ = ["Malformed", "malformed_files", "wrong_settings"]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A ``torchbus.toml`` that a trainer must refuse.

    Attributes:
        name: what is wrong with it.
        text: the file.
        says: what the message must name.
        plugin: whose setting is wrong, if it is one.
        field: the wrong setting, dotted.
        value: its value.
    """

    name: str
    text: str
    says: tuple[str, ...]
    plugin: str = ""
    field: str = ""
    value: Any = None


def malformed_files() -> list[Malformed]:
    """All of them."""
    plugins = {name: schema for name, schema, _ in _declared()}
    return [*wrong_settings(), *_wrong_tables(list(plugins)), *_wrong_lists(list(plugins)), *_broken()]


def wrong_settings() -> Iterator[Malformed]:
    """One wrong setting of one plugin in each."""
    for plugin, schema, class_name in _declared():
        properties: dict[str, Any] = schema.get("properties", {})
        definitions = schema.get("$defs", {})
        for field, one in properties.items():
            resolved = _resolved(one, definitions)
            for what, path, value, told in _wrong_values(resolved, definitions):
                yield _setting(plugin, ".".join([field, *path]), what, value, told)
        longest = max(properties, key=len, default="")
        if longest:
            near = _misspelt(longest)
            says = (f"`{near}` is not a setting of {class_name}", "Did you mean", f"`{longest}`")
            yield _setting(plugin, near, "unknown", 1, 1, says)
        yield _setting(plugin, "on_failure", "policy", "ignore", "ignore", ("'raise' or 'quarantine'",))
        for field in schema.get("required", ()):
            if field != "save_dir":  # the trainer's folder, where nobody says
                text = f'enable = ["{plugin}"]\n'
                yield Malformed(f"{plugin}.{field}: missing", text, (f"`{plugin}`", f"`{field}` is required"), plugin)


def _declared() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, JSON schema and class of each standard plugin that a file can enable."""
    for offer in discover():
        if offer.kind in ("callbacks", "loggers", "plugins") and STANDARD.get(offer.name) == offer.distribution:
            loaded = load_offer(offer)
            yield offer.name, facts_of(loaded).schema, loaded.__name__


# ---- wrong values ------------------------------------------------------------------------------------------------------

Wrong = tuple[str, tuple[str, ...], Any, Any]
"""What is wrong, where below the setting, what to write there, and which part of it the message shows."""


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    found: dict[str, Any] = definitions[reference.rpartition("/")[2]] if reference else schema
    return found


def _alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas one of which must hold, ``null`` left out, since TOML has none."""
    nested = [_alternatives(one) for one in schema["anyOf"]] if "anyOf" in schema else [[schema]]
    return [one for group in nested for one in group if one.get("type") != "null"]


def _wrong_values(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Wrong]:
    alternatives = _alternatives(schema)
    if any("type" not in one for one in alternatives):
        return  # takes what no schema can describe
    types = {one["type"] for one in alternatives}
    of_wrong_type = [("string", "often"), ("integer", 7), ("array", [1])]
    for kind, value in of_wrong_type:
        if kind not in types and not (kind == "integer" and "number" in types):
            yield "type", (), value, value
            break
    if {"integer", "number"} & types == {"integer"}:
        yield "fraction", (), 1.5, 1.5
    if len(alternatives) == 1:
        yield from _out_of_range(alternatives[0])
        yield from _wrong_parts(alternatives[0], definitions)


def _out_of_range(one: dict[str, Any]) -> Iterator[Wrong]:
    bounds = {
        "minimum": lambda least: least - 1, "exclusiveMinimum": lambda least: least, "maximum": lambda most: most + 1,
        "exclusiveMaximum": lambda most: most, "minLength": lambda _: "", "minItems": lambda _: [],
        "minProperties": lambda _: {},
    }  # fmt: skip
    for bound, beyond in bounds.items():
        if bound in one:
            yield bound, (), beyond(one[bound]), beyond(one[bound])
    if "enum" in one and one["type"] == "string":
        near = _misspelt(one["enum"][0])
        yield "literal", (), near, near


def _wrong_parts(one: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Wrong]:
    """A list with a wrong item, a table with a wrong value, a nested setting."""
    items, values = one.get("items"), one.get("additionalProperties")
    if isinstance(items, dict) and "type" in items and items["type"] != "array":
        wrong = next(_wrong_values(items, definitions))[2]
        yield "item", (), [wrong], wrong
    if isinstance(values, dict):
        wrong = next(_wrong_values(values, definitions))[2]
        yield "entry", ("1",), wrong, wrong
    for name, inner in one.get("properties", {}).items():
        for what, path, value, told in _wrong_values(_resolved(inner, definitions), definitions):
            yield what, (name, *path), value, told


def _misspelt(name: str) -> str:
    """Without its last letter but one, which leaves it near to itself and to nothing else."""
    return name[:-2] + name[-1]


# ---- files -------------------------------------------------------------------------------------------------------------


def _setting(
    plugin: str, field: str, what: str, value: Any, told: Any, says: tuple[str, ...] | None = None
) -> Malformed:
    text = f'enable = ["{plugin}"]\n\n[plugins.{plugin}]\n{field} = {_toml(value)}\n'
    return Malformed(f"{plugin}.{field}: {what}", text, says or (f"is {told!r}; ",), plugin, field, told)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _wrong_tables(plugins: list[str]) -> Iterator[Malformed]:
    for number, plugin in enumerate(plugins):
        near = _misspelt(plugin)
        says = (f"settings for `{near}`", "Did you mean", f"`{plugin}`", f"[plugins.{near}]")
        yield Malformed(f"{near}: table", f"[plugins.{near}]\nx = 1\n", says)
        shapes = {
            "a value": f"[plugins]\n{plugin} = 3\n",
            "a list": f"[plugins]\n{plugin} = [1, 2]\n",
            "an array of tables": f"[[plugins.{plugin}]]\nx = 1\n",
        }
        shape = list(shapes)[number % len(shapes)]
        says = (f"`plugins.{plugin}` is ", f"a table of settings, [plugins.{plugin}]")
        yield Malformed(f"{plugin}: {shape} in place of a table", shapes[shape], says)
    known = ("known are `plugins`", "`enable`")
    yield Malformed("a table of another name", "[plugin.timer]\nverbose = true\n", ("`plugin`", *known))
    yield Malformed("a key of another name", 'enabled = ["timer"]\n', ("`enabled`", *known))
    yield Malformed("no table of plugins", "plugins = 3\n", ("`plugins` must hold",))


def _wrong_lists(plugins: list[str]) -> Iterator[Malformed]:
    for plugin in plugins:
        near = _misspelt(plugin)
        says = (f"`{near}`", "Did you mean", f"`{plugin}`")
        yield Malformed(f"enable {near}", f'enable = ["{near}"]\n', says)
        yield Malformed(
            f"enable no:{near}", f'enable = ["no:{near}"]\n', (f"`no:{near}` switches nothing off", *says[1:])
        )
    for name, text in {
        "a name": '"timer"',
        "a number": "[1]",
        "a list": '[["timer"]]',
        "a table": "{timer = true}",
    }.items():
        yield Malformed(f"enable {name}", f"enable = {text}\n", ("`enable` must be a list of plugin names",))
    yield Malformed("enable nothing near", 'enable = ["zzzzzz"]\n', ("`zzzzzz`", "Installed are"))
    yield Malformed("enable an accelerator", 'enable = ["cpu"]\n', ("`cpu`", "Trainer(accelerator='cpu')"))
    yield Malformed("enable a profiler", 'enable = ["simple"]\n', ("`simple`", "Trainer(profiler='simple')"))


def _broken() -> Iterator[Malformed]:
    """Files that are no TOML, and where that shows."""
    texts = {
        "no value": ("[plugins.timer]\nverbose =\n", "line 2, column 10"),
        "no word": ("[plugins.timer]\nverbose = yes\n", "line 2, column 11"),
        "an open list": ('enable = ["timer"\n[plugins]\n', "line 2, column 1"),
        "an open string": ('[plugins.timer]\nduration = "1h\n', "line 2, column 15"),
        "an open table": ("[plugins.timer\nverbose = true\n", "line 1, column 15"),
        "a key twice": ("[plugins.timer]\nverbose = true\nverbose = false\n", "line 3, column 16"),
        "a table twice": ("[plugins.timer]\n[plugins.csv]\n[plugins.timer]\n", "line 3, column 15"),
        "no key": ("[plugins.timer]\n= 3\n", "line 2, column 1"),
        "a colon": ("[plugins.timer]\nverbose: true\n", "line 2, column 8"),
        "Python": ("[plugins.timer]\nverbose = None\n", "line 2, column 11"),
        "two on a line": ("[plugins.timer]\nverbose = true interval = 1\n", "line 2, column 16"),
        "a wrong escape": ('[plugins.timer]\nduration = "C:\\Users"\n', "line 2, column"),
    }
    for name, (text, place) in texts.items():
        yield Malformed(f"broken: {name}", text, ("is not valid TOML", place))
