"""``torchbus plugins check``: import plugins and tell everything that does not fit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from .._discovery import Offer, discover, is_allowed, normal_name
from .._errors import PluginNotFoundError, did_you_mean
from .children import TIMEOUT_S, examine_all
from .output import print_json, say

__all__ = ["Timeout", "check_plugins", "count_of"]

Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="What the plugins of one distribution may take.")
]


def check_plugins(
    distribution: Annotated[str | None, typer.Argument(metavar="[DIST]", help="Only of this distribution.")] = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import plugins, each distribution in a process of its own, and tell every fault. Exits with 1 if there is any."""
    results = examine_all(_offers(distribution), timeout)
    faults = sum(len(found["faults"]) for _, found in results)
    if as_json:
        print_json([_told(offer, found) for offer, found in results])
    else:
        for offer, found in results:
            _print(offer, found)
        say(f"{count_of(len(results), 'plugin')}, ", (count_of(faults, "fault"), "red" if faults else "green"))
    if faults:
        raise typer.Exit(1)


def _offers(distribution: str | None) -> list[Offer]:
    offers = discover()
    if distribution is None:
        return [offer for offer in offers if is_allowed(offer.distribution)]  # the others are kept out on purpose
    found = [offer for offer in offers if normal_name(offer.distribution) == normal_name(distribution)]
    if not found:
        hint = did_you_mean(distribution, {offer.distribution for offer in offers})
        raise PluginNotFoundError(f"No installed distribution `{distribution}` offers plugins.{hint}")
    return found


def _told(offer: Offer, found: dict[str, Any]) -> dict[str, Any]:
    return {**asdict(offer), "faults": found["faults"], "remarks": found["remarks"]}


def _print(offer: Offer, found: dict[str, Any]) -> None:
    verdict, style = (count_of(len(found["faults"]), "fault"), "red") if found["faults"] else ("ok", "green")
    say((offer.name, "bold"), f"  {offer.kind}  {offer.origin}  ", (verdict, style))
    for fault in found["faults"]:
        say((fault, "red"), indent=2)
    for remark in found["remarks"]:
        say((remark, "dim"), indent=2)


def count_of(number: int, what: str) -> str:
    """``1 fault``, ``2 faults``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
