"""``torchbus hooks``: what can be heard, who hears it, and in which order it comes."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Annotated, Any, Literal

import typer
from torchbus_hookspecs.events import EVENTS
from torchbus_hookspecs.markers import kind_of
from torchbus_hookspecs.specs import HOOKS

from .._discovery import discover
from .._errors import PluginNotFoundError, TorchbusError, did_you_mean
from .outline import lines_of, outline_of
from .output import is_terminal, print_json, print_table, say
from .recording import Call, quietly, recorded

__all__ = ["app"]

app = typer.Typer(help="What can be heard, who hears it, and in which order it comes.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Entry = Literal["fit", "validate", "test", "predict"]


@dataclass(frozen=True, slots=True)
class Hook:
    """What the contract says of one hook."""

    name: str
    kind: str
    event: str
    arguments: list[str]
    room: str
    summary: str


def _hook(name: str) -> Hook:
    specification = HOOKS[name]
    room = specification.__module__.rpartition(".")[2]
    return Hook(
        name,
        kind_of(specification),
        EVENTS[name].__name__,
        list(inspect.signature(specification).parameters),
        room,
        (inspect.getdoc(specification) or "").partition("\n")[0],
    )


@app.command("list")
def list_hooks(as_json: AsJson = False) -> None:
    """List every hook in the order of a run: its kind, its arguments, when it comes."""
    hooks = [_hook(name) for name in HOOKS]
    if as_json:
        print_json([asdict(hook) for hook in hooks])
    elif not is_terminal():
        print_table(
            ("hook", "kind", "arguments", "when"),
            [(hook.name, hook.kind, ", ".join(hook.arguments), hook.summary) for hook in hooks],
        )
    else:
        for room, group in groupby(hooks, lambda hook: hook.room):
            say((room, "bold cyan"))
            for hook in group:
                say((hook.name, "bold"), (f"({', '.join(hook.arguments)})  {hook.kind}", "dim"), indent=2)
                say(hook.summary, indent=4)


# ---- show -------------------------------------------------------------------------------------------------------------


@app.command("show")
def show_hook(
    name: Annotated[str, typer.Argument(help="The hook's name.", show_default=False)], as_json: AsJson = False
) -> None:
    """Show all about one hook, and which installed plugins implement it. Imports the installed plugins."""
    if name not in HOOKS:
        raise PluginNotFoundError(
            f"There is no hook `{name}`.{did_you_mean(name, HOOKS)} `torchbus hooks list` shows them all."
        )
    hook, text = _hook(name), inspect.getdoc(HOOKS[name]) or ""
    implementers, broken = _implementers(name)
    if as_json:
        print_json({**asdict(hook), "text": text, "implemented_by": implementers, "cannot_be_imported": broken})
        return
    say((f"{hook.name}({', '.join(hook.arguments)})", "bold"), (f"  {hook.kind}, event {hook.event}", "dim"))
    say()
    say(re.sub("``", "`", text))
    say()
    say(("Implemented by", "bold cyan"))
    say(", ".join(implementers) or "none of the installed plugins", indent=2)
    for one in broken:
        say((one, "red"), indent=2)


def _implementers(name: str) -> tuple[list[str], list[str]]:
    from .facts import gather_facts  # imports plugins, which a list does not need

    found, broken = [], []
    for offer in discover():
        try:
            if name in gather_facts(offer).hooks:
                found.append(f"{offer.name} ({offer.origin})")
        except TorchbusError as error:
            broken.append(f"{offer.name} ({offer.origin}): {error}")
    return found, broken


# ---- order ------------------------------------------------------------------------------------------------------------


@app.command("order")
def show_order(
    entry: Annotated[Entry, typer.Argument(help="Which part of the trainer is run.")] = "fit",
    plugin: Annotated[list[str] | None, typer.Option(help="Enable a plugin by name. May be repeated.")] = None,
    hook: Annotated[str, typer.Option(help="Show who implements this hook in that run, in calling order.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run a tiny model and show the order in which hooks came; with --hook, who implements one and in which order."""
    trainer, calls = _run(entry, plugin or [])
    if hook:
        if hook not in HOOKS:
            raise PluginNotFoundError(f"There is no hook `{hook}`.{did_you_mean(hook, HOOKS)}")
        listed = [name for name, _ in trainer.bus.implementations(hook)]
        if as_json:
            print_json(listed)
        else:
            say("\n".join(listed) or "nobody")
        return
    nodes = outline_of(calls)
    if as_json:
        print_json([asdict(one) for one in nodes])
        return
    for depth, text, remark in lines_of(nodes):
        style = "" if text in HOOKS else "cyan"
        say((text, style), (f"  # {remark}" if remark else "", "dim"), indent=2 * depth)


def _run(entry: Entry, plugins: list[str]) -> tuple[Any, list[Call]]:
    """One epoch of a tiny model on the CPU, and the hooks that it met.

    Raises:
        TorchbusError: a plugin does not go together with it, such as one that waits for a metric of another model.
    """
    import tempfile

    from ..testing import TinyDataModule, TinyModule, quiet_trainer

    with tempfile.TemporaryDirectory() as folder, quietly():
        trainer = quiet_trainer(folder, max_epochs=1, plugins=plugins, num_sanity_val_steps=1)
        with recorded(trainer.bus) as calls:
            try:
                getattr(trainer, entry)(TinyModule(), datamodule=TinyDataModule())
            except Exception as error:
                told = " ".join([str(error), *getattr(error, "__notes__", ())])
                raise TorchbusError(
                    f"The run of a tiny model ended with {type(error).__name__}: {told} The model logs `train_loss`, `val_loss`"
                    " and `test_loss`. To fix: try it in a folder whose torchbus.toml does not enable that plugin."
                ) from error
        return trainer, calls
