"""``torchbus plugins``: what is installed, and how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .._discovery import GROUPS, Offer, PluginKind, discover, find_offer
from .._errors import did_you_mean
from .check import check_plugins
from .enabling import enable_text, example_text, full_name, given_by_trainer, remark, twins, used_by_default
from .output import is_terminal, pad_columns, print_json, print_table, say
from .scaffold import new_plugin
from .why import why_plugin

if TYPE_CHECKING:
    from torchbus_hookspecs.settings import Setting

    from .facts import Facts

__all__ = ["app"]

app = typer.Typer(help="What is installed, and how to use it.", no_args_is_help=True)


def _known_kind(kind: str | None) -> str | None:
    if kind is not None and kind not in GROUPS:
        raise typer.BadParameter(f"there is no kind `{kind}`.{did_you_mean(kind, GROUPS)} Kinds: {', '.join(GROUPS)}.")
    return kind


Kind = Annotated[
    str | None,
    typer.Option("--kind", callback=_known_kind, metavar="KIND", help=f"Only of this kind: {', '.join(GROUPS)}."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


app.command("check")(check_plugins)
app.command("why", context_settings={"ignore_unknown_options": True})(why_plugin)
app.command("new")(new_plugin)


# ---- list -------------------------------------------------------------------------------------------------------------


@app.command("list")
def list_plugins(kind: Kind = None, as_json: AsJson = False) -> None:
    """List the installed plugins, without importing any. Those a trainer uses unasked are marked `default`."""
    installed = discover()
    offers = [offer for offer in installed if kind in (None, offer.kind)]
    if as_json:
        print_json([_offer_facts(offer, installed) for offer in offers])
    elif not offers:
        say(f"No plugins of kind `{kind}` are installed." if kind else "No plugins are installed.")
    elif is_terminal():
        _print_groups(offers, installed)
    else:
        _print_lines(offers, installed)


def _offer_facts(offer: Offer, installed: Sequence[Offer]) -> dict[str, Any]:
    return {
        **asdict(offer),
        "enable": enable_text(offer.kind, full_name(offer, installed)),
        "default": offer.name in used_by_default(installed),
        "also_offered_by": [twin.origin for twin in twins(offer, installed)],
    }


def _print_lines(offers: Sequence[Offer], installed: Sequence[Offer]) -> None:
    """One plugin per line, with everything said in it."""
    defaults = used_by_default(installed)
    rows = []
    for offer in offers:
        remarks = ["default"] if offer.name in defaults else []
        remarks += filter(None, [remark(offer, installed)])
        enable = enable_text(offer.kind, full_name(offer, installed))
        rows.append((offer.name, offer.kind, offer.distribution, offer.version, enable, ". ".join(remarks)))
    print_table(("name", "kind", "distribution", "version", "enable with", "remarks"), rows)


def _print_groups(offers: Sequence[Offer], installed: Sequence[Offer]) -> None:
    """One block per kind: how to enable is said once, so that names of any length fit in 80 columns."""
    defaults = used_by_default(installed)
    columns = iter(pad_columns([(offer.name, offer.distribution, offer.version) for offer in offers]))
    for kind, group in groupby(offers, lambda offer: offer.kind):
        say((kind, "bold cyan"), "   ", (enable_text(kind, "NAME"), "dim"))
        for offer in group:
            name, distribution, version = next(columns)
            default = "default" if offer.name in defaults else ""
            say((name, "bold"), "  ", distribution, "  ", (version, "dim"), "  ", (default, "green"), indent=2)
            if problem := remark(offer, installed):
                say((problem, "red" if offer.fault else "yellow"), indent=4)
        say()


# ---- show -------------------------------------------------------------------------------------------------------------


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(help="Its name, or DISTRIBUTION:NAME.", show_default=False)],
    kind: Kind = None,
    as_json: AsJson = False,
) -> None:
    """Import one plugin and show its settings, its hooks and what enables it."""
    installed = discover()
    offer = find_offer(name, cast("PluginKind | None", kind), installed)
    from .facts import gather_facts  # imports pydantic and the bus, which a list does not need

    facts = gather_facts(offer)
    if as_json:
        example = _example(offer, facts, installed)
        print_json({**_offer_facts(offer, installed), "example": example, **facts.as_dict()})
    else:
        _print_facts(offer, facts, installed)


def _example(offer: Offer, facts: Facts, installed: Sequence[Offer]) -> str:
    given = given_by_trainer(offer.kind)
    required = [one.name for one in facts.settings if one.required and one.name not in given]
    return example_text(offer.kind, full_name(offer, installed), required)


def _print_facts(offer: Offer, facts: Facts, installed: Sequence[Offer]) -> None:
    say((offer.name, "bold"), "  ", offer.kind, "  ", offer.origin, "  ", (offer.target, "dim"))
    say(facts.summary or "It has no docstring.")
    say()
    say(("Enable it with", "bold cyan"))
    say(f"Trainer({_example(offer, facts, installed)})", indent=2)
    say()
    say(("It implements", "bold cyan"))
    say(", ".join(facts.hooks) or "no hooks", indent=2)
    say()
    say(("Its settings", "bold cyan"))
    given = given_by_trainer(offer.kind)
    if not facts.settings:
        say("none", indent=2)
    elif is_terminal():
        _print_signature(facts.settings, given)
    else:
        rows = [(one.name, one.type, _default(one, given), one.description) for one in facts.settings]
        print_table(("name", "type", "default", "description"), rows)


def _print_signature(settings: Sequence[Setting], given: Sequence[str]) -> None:
    """Each setting as in a signature, its description below it: four columns are too many for a terminal."""
    for one in settings:
        mark, style = (", ", "yellow") if one.required else (" = ", "green")
        say((one.name, "bold"), (f": {one.type}{mark}", "dim"), (_default(one, given), style), indent=2)
        if one.description:
            say(one.description, indent=4)


def _default(setting: Setting, given: Sequence[str]) -> str:
    if not setting.required:
        return setting.default
    return "given by the trainer" if setting.name in given else "required"
