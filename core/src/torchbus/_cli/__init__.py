"""The command line, ``torchbus``. Its parts import typer, so they are imported only once it is known to be there."""

from __future__ import annotations

import sys

from .._errors import TorchbusError

__all__ = ["main"]


def main() -> int:
    """Run the command in ``sys.argv``.

    Returns:
        1 when the asked-for thing is not there or broken (the message is on stderr), 2 when typer is missing. typer
        itself leaves by ``SystemExit``: with 0 after a command, with 2 after wrong usage.
    """
    try:
        from .app import app

        app(prog_name="torchbus")
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"The command line needs {error.name}: pip install 'torchbus-core[cli]'", file=sys.stderr)  # noqa: T201
        return 2
    except TorchbusError as error:
        from .output import complain

        complain(str(error))  # the message says it all; a traceback would hide it
        return 1
    return 0
