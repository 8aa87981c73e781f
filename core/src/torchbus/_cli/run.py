"""``torchbus run``: run a script with other plugins than it asks for, without editing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .._discovery import discover
from .._run_options import RUN_VARIABLE, RunOptions
from .enabling import ARGUMENTS

__all__ = ["run_script"]


def run_script(
    script: Annotated[Path, typer.Argument(exists=True, help="A Python script.", show_default=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Its arguments. After `--`, all are the script's.")
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin", metavar="NAME[.FIELD=VALUE]", help="Add a plugin, or give a setting. May be repeated."
        ),
    ] = None,
    no: Annotated[
        list[str] | None, typer.Option("--no", metavar="NAME", help="Leave a plugin out. May be repeated.")
    ] = None,
) -> None:
    """Run a script, and add plugins to every Trainer that it makes, or leave some out. Exits as the script does."""
    options = _options(plugin or [], no or [])
    environment = {**os.environ, RUN_VARIABLE: options.as_variable()}
    command = [sys.executable, str(script), *(arguments or [])]
    sys.stdout.flush()
    if sys.platform == "win32":  # there, exec does not wait
        raise typer.Exit(subprocess.call(command, env=environment))  # noqa: S603  # what the user asked for
    os.execve(sys.executable, command, environment)  # noqa: S606  # the same


def _options(plugins: list[str], off: list[str]) -> RunOptions:
    asked: dict[str, dict[str, Any]] = {}
    for text in plugins:
        left, equals, value = text.partition("=")
        name, dot, field = left.rpartition(".") if equals else (left, "", "")
        if equals and not (name and dot and field):
            raise typer.BadParameter(f"--plugin {text}: a setting is written as NAME.FIELD=VALUE.")
        owner, colon, bare = name.rpartition(":")
        settings = asked.setdefault(bare if colon else name, {})
        if colon:
            settings["plugin"] = f"{owner}:{bare}"
        if field:
            settings[field] = _value(value)
    for name in asked:
        _refuse_hardware(name)
        if name in off:
            raise typer.BadParameter(f"--plugin {name} and --no {name} contradict each other.")
    return RunOptions(asked, tuple(off))


def _value(text: str) -> Any:
    """As in an environment variable: lists and tables are JSON, all else is converted by the setting's type."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:  # a file name such as {epoch}-{step}
            return text
    return text


def _refuse_hardware(name: str) -> None:
    kinds = {offer.kind for offer in discover() if offer.name == name}
    for kind in kinds - {"callbacks", "loggers", "plugins"} if len(kinds) == 1 else ():
        raise typer.BadParameter(
            f"--plugin {name}: it is chosen by the script, as Trainer({ARGUMENTS[kind]}={name!r})."
        )
