"""Everything that can be said of a plugin by importing it, faults included.

Run as a program it is the child of ``children.py``, since what is imported may hang or end the process.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from torchbus_hookspecs import Callback, Logger
from torchbus_hookspecs.settings import Setting, check_settings

from .._adapters import adapt
from .._bus import CALLBACK_SHAPE, LOGGER_SHAPE
from .._discovery import Offer
from .._dispatch import Scope
from .._errors import Fault, PluginValidationError, TorchbusError
from .._plugins import load_kind, refuse_wrong_kind
from .._settings import ConfigFile, gather, read_config_file
from .._verification import order_option, policy_of, verified_hookimpls
from .enabling import given_by_trainer
from .facts import Facts, facts_of, is_constructed, load_quietly

__all__ = ["Examination", "Value", "examine"]

ONLY_CLASSES = ("accelerators", "strategies")
"""Kinds of which the trainer makes the instance itself, and asks the class before."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as a run would have it that says nothing of it.

    Attributes:
        instance: the plugin's instance name.
        value: as text; empty where a script must give it.
        source: where it was read.
        problem: what is wrong with it, or empty.
    """

    instance: str
    setting: str
    value: str
    source: str
    problem: str = ""


@dataclass(slots=True)
class Examination:
    """What was found out about one plugin.

    Attributes:
        faults: what must be mended before it can be used, or used fully.
        remarks: what would be better otherwise.
        facts: what it says of itself, where it can be imported.
        values: its settings as the environment and the configuration file have them.
    """

    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    facts: Facts | None = None
    values: list[Value] = field(default_factory=list)


def examine(offer: Offer, config: ConfigFile) -> Examination:
    """Import a plugin and check all that can be checked without making an instance of it."""
    found = Examination()
    try:
        plugin = load_quietly(offer)
        if offer.kind in ONLY_CLASSES:
            load_kind(f"{offer.distribution}:{offer.name}", offer.kind)
        else:
            refuse_wrong_kind(offer, plugin)
    except TorchbusError as error:
        found.faults.append(str(error))
        return found
    found.facts = facts_of(plugin)
    if not getattr(plugin, "__doc__", None):  # its own: not what it inherits
        found.remarks.append("It has no docstring.")
    if is_constructed(plugin):
        found.faults += _wrong_defaults(plugin, found.facts.settings)
        found.remarks += [f"`{one.name}` has no description." for one in found.facts.settings if not one.description]
    found.faults += _wrong_hooks(plugin, offer)
    found.values = list(_values(offer, plugin, found.facts.settings, config))
    return found


def _wrong_defaults(plugin: Any, settings: list[Setting]) -> Iterator[str]:
    """Defaults that their own declaration would refuse."""
    parameters = inspect.signature(plugin).parameters
    defaults = {one.name: parameters[one.name].default for one in settings if not one.required}
    for fault in check_settings(plugin, defaults)[1]:
        if fault.field.split(".")[0] in defaults:
            yield f"The default of `{fault.field}` {fault.problem}"


def _wrong_hooks(plugin: Any, offer: Offer) -> list[str]:
    """Each method or function that does not fit the contract."""
    faults: list[PluginValidationError] = []
    name = offer.name
    if isinstance(plugin, type):
        try:
            plugin = object.__new__(plugin)  # methods are looked at, not called: it need not be constructed
        except TypeError as error:  # abstract methods
            return [f"{error}."]
    elif inspect.isfunction(plugin):
        return []  # what it makes is known once it is called
    shape = CALLBACK_SHAPE if isinstance(plugin, Callback) else LOGGER_SHAPE if isinstance(plugin, Logger) else None
    must_hear = shape is None and offer.kind == "plugins"
    hooks = adapt(plugin, shape, name, Scope(), faults.append) if shape else plugin
    verified_hookimpls(hooks, name, must_hear, faults.append)
    checks: list[Callable[[], object]] = [lambda: policy_of(plugin, name)]
    if shape is CALLBACK_SHAPE:
        checks += [lambda: order_option(plugin, "before", name), lambda: order_option(plugin, "after", name)]
    for check in checks:
        try:
            check()
        except PluginValidationError as error:
            faults.append(error)
    return [str(fault).removeprefix(f"{name}: ") for fault in faults]


def _values(offer: Offer, plugin: Any, settings: list[Setting], config: ConfigFile) -> Iterator[Value]:
    """The settings of each instance that the configuration file or the environment may mean."""
    named = [name for name, table in config.plugins.items() if table.get("plugin") == offer.name]
    for instance in (offer.name, *named):
        if "plugin" in config.plugins.get(instance, {}) and instance not in named:
            continue  # the file makes this name mean another plugin
        declaration = plugin if is_constructed(plugin) else _takes_nothing
        try:
            values, sources = gather(instance, declaration, {}, config)
        except TorchbusError as error:
            yield Value(instance, "", "", "environment", str(error))
            continue
        values.pop("plugin", None)
        policy = values.pop("on_failure", None)
        faults = {one.field.split(".")[0]: one for one in check_settings(declaration, values, sources)[1] if one.source}
        if policy not in (None, "raise", "quarantine"):
            problem = f"is {policy!r}; it should be 'raise' or 'quarantine'."
            faults["on_failure"] = Fault("on_failure", problem, policy, sources["on_failure"])
        if policy is not None:
            values["on_failure"] = policy
        known = {one.name: one for one in settings}
        for name in dict.fromkeys([*known, *values]):
            if name in values:
                value, source = repr(values[name]), sources[name]
            elif known[name].required:
                value = ""
                source = "given by the trainer" if name in given_by_trainer(offer.kind) else "required"
            else:
                value, source = known[name].default, "default"
            yield Value(instance, name, value, source, str(faults[name]) if name in faults else "")


def _takes_nothing() -> None:
    """The declaration of modules and objects: they have no settings."""


def main() -> None:
    """Examine the plugins given as JSON, and write a line before and after each, so that it is known who ended it."""
    offers, path = [Offer(**one) for one in json.loads(sys.argv[1])], sys.argv[2]
    sys.path[:] = json.loads(sys.argv[3])
    try:
        config = read_config_file()
    except TorchbusError:  # told by whoever asks about the file
        config = ConfigFile(None, {})
    with open(path, "w", encoding="utf-8") as report:
        for number, offer in enumerate(offers):
            print(json.dumps({"begun": number}), file=report, flush=True)
            try:
                found = asdict(examine(offer, config))
            except BaseException as error:  # SystemExit too: a stranger's code may raise anything
                found = asdict(Examination([f"{_where(error)}{type(error).__name__}: {error}."]))
            print(json.dumps({"done": number, "found": found}), file=report, flush=True)
    os._exit(0)  # what plugins left running (threads, exit handlers) must not keep this process


def _where(error: BaseException) -> str:
    return "Importing it ended in " if isinstance(error, SystemExit) else "Examining it ended in "


if __name__ == "__main__":
    main()
