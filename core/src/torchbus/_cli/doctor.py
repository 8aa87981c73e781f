"""``torchbus doctor``: what is installed and configured here, and what is wrong with it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import importlib_metadata as metadata
import typer
from torchbus_hookspecs import CONTRACT_VERSION

from .._discovery import ALLOW_VARIABLE, STANDARD, Offer, discover, is_allowed, normal_name
from .._errors import TorchbusError, did_you_mean
from .._run_options import RUN_VARIABLE
from .._settings import PREFIX, ConfigFile, read_config_file, setting_variable
from .check import Timeout, count_of
from .children import TIMEOUT_S, Found, examine_all
from .enabling import twins
from .output import pad_columns, print_json, say

__all__ = ["diagnose"]

KNOWN_VARIABLES = {ALLOW_VARIABLE, RUN_VARIABLE}
"""Variables that begin like settings and are none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong here.

    Attributes:
        area: ``"installation"``, ``"plugins"``, ``"configuration"`` or ``"environment"``.
        about: what it is about: a distribution, a plugin, a file, a variable.
        text: what is wrong.
    """

    area: str
    about: str
    text: str


def diagnose(
    timeout: Timeout = TIMEOUT_S, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at versions, conflicts, plugins, the configuration file and the environment. Exits with 1 if something is wrong."""
    offers = discover()
    config, problems = _read_config()
    results = examine_all([offer for offer in offers if is_allowed(offer.distribution)], timeout)
    problems = [
        *_clashes(offers), *_versions_twice(), *_wrong_plugins(results), *problems, *_wrong_settings(results),
        *_unknown_names(config, offers), *_odd_variables(config, offers),
    ]  # fmt: skip
    versions = _versions(offers)
    path = str(config.path) if config.path else None
    if as_json:
        print_json({"versions": versions, "configuration": path, "problems": [asdict(one) for one in problems]})
    else:
        _print(versions, path, problems)
    if problems:
        raise typer.Exit(1)


def _print(versions: dict[str, str], path: str | None, problems: Sequence[Problem]) -> None:
    say(("Versions", "bold cyan"))
    for name, version in pad_columns(list(versions.items())):
        say(f"{name}  {version}", indent=2)
    say(("Configuration file", "bold cyan"))
    say(path or "none", indent=2)
    say(("Problems", "bold cyan"))
    for one in problems:
        say((one.about, "bold"), f" ({one.area}): ", (one.text, "red"), indent=2)
    if not problems:
        say(("none", "green"), indent=2)
    say(count_of(len(problems), "problem"))


# ---- what is installed ------------------------------------------------------------------------------------------------


def _versions(offers: Sequence[Offer]) -> dict[str, str]:
    """Of Python, torch, the contract, and each distribution that is torchbus's or offers plugins."""
    own = {name: version for name, version, _ in _distributions() if _is_ours(name)}
    own |= {offer.distribution: offer.version for offer in offers}
    try:
        torch = metadata.version("torch")  # not imported: it takes seconds, and may be what is broken
    except metadata.PackageNotFoundError:
        torch = "not installed"
    fixed = {"python": platform.python_version(), "torch": torch, "contract": CONTRACT_VERSION}
    return {**fixed, **dict(sorted(own.items()))}


def _distributions() -> list[tuple[str, str, str]]:
    """Name, version and folder of all that is on the path, those that an earlier one hides included."""
    found = []
    for one in metadata.distributions():
        try:
            about = one.metadata
            found.append((about["Name"], about["Version"], str(one.locate_file(""))))
        except Exception:  # noqa: S112  # damaged metadata, told as a plugin's fault where it offers one
            continue
    return found


def _is_ours(name: str) -> bool:
    return normal_name(name) == "torchbus" or normal_name(name).startswith("torchbus-")


def _versions_twice() -> Iterator[Problem]:
    """A distribution that is there in several versions: which is imported depends on the path."""
    places: dict[str, dict[str, str]] = {}
    for name, version, folder in _distributions():
        if _is_ours(name) and version:
            places.setdefault(normal_name(name), {}).setdefault(version, folder)
    for name, versions in places.items():
        if len(versions) > 1:
            told = ", ".join(f"{version} in {folder}" for version, folder in versions.items())
            yield Problem(
                "installation", name, f"It is installed in several versions: {told}. To fix: remove all but one."
            )


def _clashes(offers: Sequence[Offer]) -> Iterator[Problem]:
    told = set()
    for offer in offers:
        others = [offer, *(twin for twin in twins(offer, offers) if twin.kind == offer.kind)]
        if len(others) > 1 and (offer.kind, offer.name) not in told:
            told.add((offer.kind, offer.name))
            owners = " and ".join(sorted(other.origin for other in others))
            text = (
                f"{owners} offer it. To fix: write `{offer.distribution}:{offer.name}` to pick one, or uninstall one."
            )
            yield Problem("installation", offer.name, text)


def _wrong_plugins(results: Sequence[tuple[Offer, Found]]) -> Iterator[Problem]:
    for offer, found in results:
        yield from (Problem("plugins", f"{offer.name} ({offer.origin})", fault) for fault in found["faults"])


# ---- what is configured -----------------------------------------------------------------------------------------------


def _read_config() -> tuple[ConfigFile, list[Problem]]:
    try:
        return read_config_file(), []
    except TorchbusError as error:
        return ConfigFile(None, {}), [Problem("configuration", "configuration file", str(error))]


def _wrong_settings(results: Sequence[tuple[Offer, Found]]) -> Iterator[Problem]:
    for _, found in results:
        for one in found["values"]:
            if one["problem"]:
                area = "environment" if one["source"].startswith("environment") else "configuration"
                yield Problem(area, one["instance"], one["problem"])


def _unknown_names(config: ConfigFile, offers: Sequence[Offer]) -> Iterator[Problem]:
    """Names in the file that are nobody's. A table may belong to an instance that a script names; a near miss does not."""
    installed = {offer.name for offer in offers}
    known = installed | set(STANDARD) | set(config.plugins)
    for request in config.enabled:
        name = request.removeprefix("no:")
        bare = name.rpartition(":")[2]
        if bare not in installed | set(config.plugins) and "." not in name and ":" not in name:
            brings = f" It comes with {STANDARD[bare]}." if bare in STANDARD else did_you_mean(bare, known)
            text = f"`enable` names `{request}`, and no installed plugin has that name.{brings}"
            yield Problem("configuration", str(config.path), text)
    for name, table in config.plugins.items():
        wanted = table.get("plugin", name)
        hint = did_you_mean(str(wanted), installed | set(STANDARD), cutoff=0.8)
        if wanted not in installed | set(STANDARD) and hint:
            text = f"[plugins.{name}] means no installed plugin.{hint}"
            yield Problem("configuration", str(config.path), text)


def _odd_variables(config: ConfigFile, offers: Sequence[Offer]) -> Iterator[Problem]:
    """Variables that nobody reads. One with a setting may belong to an instance that a script names; a near miss does not."""
    names = {offer.name for offer in offers} | set(STANDARD) | set(config.plugins)
    prefixes = {setting_variable(name, ""): name for name in names}
    for variable in sorted(os.environ):
        owner, separator, _ = variable.upper().partition("__")
        if not owner.startswith(PREFIX) or variable in KNOWN_VARIABLES or (separator and f"{owner}__" in prefixes):
            continue
        known = names if separator else KNOWN_VARIABLES
        hint = did_you_mean(owner.removeprefix(PREFIX).lower() if separator else variable, known, cutoff=0.8)
        if hint or not separator:
            text = f"It means nothing to any installed plugin; settings are {PREFIX}PLUGIN__SETTING.{hint}"
            yield Problem("environment", variable, text)
