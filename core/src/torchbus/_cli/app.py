"""The commands of ``torchbus``. Each group has its module and is added here."""

from __future__ import annotations

from typing import Annotated

import typer

from . import config, hooks, plugins
from .doctor import diagnose
from .output import say
from .run import run_script

__all__ = ["app"]

app = typer.Typer(
    help="PyTorch training on a hook bus.",
    epilog="Exit codes: 0 fine; 1 the asked-for thing is not there or broken; 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(plugins.app, name="plugins")
app.add_typer(hooks.app, name="hooks")
app.add_typer(config.app, name="config")
app.command("doctor")(diagnose)
app.command("run", context_settings={"ignore_unknown_options": True})(run_script)


def _print_version(wanted: bool) -> None:
    if wanted:
        from torchbus import __version__

        say(f"torchbus {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command."""
