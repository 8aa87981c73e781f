"""``torchbus plugins new``: write a plugin's distribution from a template."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import importlib_metadata as metadata
import typer

from .._discovery import PluginKind, discover
from .._errors import PluginConflictError, PluginNotFoundError, TorchbusError
from .output import print_json, say

__all__ = ["new_plugin"]

TEMPLATES = "torchbus.templates"
"""The entry-point group in which a distribution offers a copier template, by the name of a package that holds it."""

Shape = Literal["callback", "logger", "accelerator", "strategy", "hooks"]
KINDS: dict[str, PluginKind] = {
    "callback": "callbacks", "logger": "loggers", "accelerator": "accelerators", "strategy": "strategies",
    "hooks": "plugins",
}  # fmt: skip


def new_plugin(
    name: Annotated[str, typer.Argument(help="The name under which it will be enabled.", show_default=False)],
    kind: Annotated[Shape, typer.Option(help="What it is.")] = "callback",
    into: Annotated[Path | None, typer.Option(help="The folder to write. Default: ./torchbus-NAME")] = None,
    author: Annotated[str, typer.Option(help="Who looks after it.")] = "",
    description: Annotated[str, typer.Option(help="What it does, in one sentence.")] = "",
    template: Annotated[
        str, typer.Option(help="Another copier template: a folder, or the address of a repository.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a plugin's distribution: source, settings, tests, README and CI, ready to install and to publish."""
    _check_name(name, KINDS[kind])
    folder = into or Path(f"torchbus-{name.replace('_', '-')}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TorchbusError(f"`{folder}` is there already. To fix: choose another folder with --into, or remove it.")
    answers: dict[str, Any] = {"name": name, "kind": kind, "author": author}
    if description:
        answers["description"] = description
    _copy(template or _installed_template(), folder, answers)
    files = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
    steps = [f"pip install -e '{folder}[dev]'", f"pytest {folder}", f"torchbus plugins show {name}"]
    if as_json:
        print_json({"name": name, "kind": kind, "folder": str(folder), "files": files, "next": steps})
        return
    say("Wrote ", (str(folder), "bold"), f": {len(files)} files. Next:")
    for step in steps:
        say(step, indent=2)


def _check_name(name: str, kind: PluginKind) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise typer.BadParameter(f"`{name}` must be small letters, digits and `_`, beginning with a letter.")
    for offer in discover():
        if offer.name == name and offer.kind == kind:
            raise PluginConflictError(
                f"{offer.origin} offers a plugin `{name}` of the kind `{kind}` already. To fix: choose another name, since"
                " whoever has both installed could enable neither by name alone.",
                plugin=name,
            )


def _installed_template() -> str:
    """The folder of the template that an installed distribution offers."""
    for point in metadata.entry_points(group=TEMPLATES, name="plugin"):
        spec = importlib.util.find_spec(point.value)
        if spec is not None and spec.submodule_search_locations:
            return str(spec.submodule_search_locations[0])
    raise PluginNotFoundError(
        "No template is installed. To fix: pip install torchbus-template, or name one with --template.",
        plugin="torchbus-template",
    )


def _copy(template: str, folder: Path, answers: dict[str, Any]) -> None:
    try:
        import copier
    except ModuleNotFoundError:
        raise TorchbusError("Writing a plugin from a template needs copier: pip install torchbus-template") from None
    from copier.errors import CopierError

    try:
        copier.run_copy(template, folder, data=answers, defaults=True, quiet=True)
    except (CopierError, ValueError) as error:
        raise TorchbusError(f"The template {template!r} cannot be used: {error}") from error
