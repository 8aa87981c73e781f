"""``torchbus plugins why``: which levels enable or disable a plugin, and what comes of it.

Run as a program it runs a script as far as its first trainer, and tells what that one was asked for.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .._discovery import ALLOW_VARIABLE, DEFAULTS, discover, find_offer, is_allowed
from .._errors import PluginNotFoundError, TorchbusError
from .._run_options import RUN_SOURCE, read_run_options
from .._settings import read_config_file
from .enabling import used_by_default
from .output import is_terminal, print_json, print_table, say

__all__ = ["why_plugin"]


@dataclass(frozen=True, slots=True)
class Level:
    """What one level says of a plugin: ``"on"``, ``"off"`` or nothing."""

    level: str
    says: str
    where: str


def why_plugin(
    name: Annotated[str, typer.Argument(help="Its instance name.", show_default=False)],
    script: Annotated[
        Path | None, typer.Argument(exists=True, help="A script, which is run as far as its first Trainer.")
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="The script's arguments.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which levels enable or disable a plugin: environment, `torchbus run`, script, file, default."""
    asked = _ask_script(script, arguments or []) if script else {"on": [], "off": []}
    config = read_config_file()
    plugin = config.plugins.get(name, {}).get("plugin", name)
    try:
        offer = find_offer(str(plugin))
    except PluginNotFoundError:
        if not (script and name in asked["on"]):  # an instance of the script's own has a name of its own
            raise
        offer = None
    run = read_run_options()
    requests = {one.removeprefix("no:").rpartition(":")[2]: one for one in config.enabled}
    in_file = requests.get(name, "")
    allowed = offer is None or is_allowed(offer.distribution)
    said = "off" if name in asked["off"] else "on" if name in asked["on"] else ""
    levels = [
        Level("environment", "" if allowed else "off", ALLOW_VARIABLE if ALLOW_VARIABLE in os.environ else ""),
        Level(RUN_SOURCE, "on" if name in run.plugins else "off" if name in run.off else "", ""),
        Level("script", said, str(script) if script else "no script was given"),
        Level("file", "off" if in_file.startswith("no:") else "on" if in_file else "", str(config.path or "")),
        Level("default", "on" if offer and offer.name == name and name in used_by_default(discover()) else "", ""),
    ]
    verdict = _verdict(levels)
    if as_json:
        print_json({"name": name, "enabled": verdict == "on", "levels": [asdict(one) for one in levels]})
        return
    if is_terminal():
        for one in levels:
            say((one.level, "bold"), f"  {one.says or 'nothing'}  ", (one.where, "dim"))
    else:
        print_table(("level", "says", "where"), [(one.level, one.says or "nothing", one.where) for one in levels])
    say((f"{name} is {verdict}.", "bold"))


def _verdict(levels: list[Level]) -> str:
    """As in the table of docs/plugins.md: the environment, then ``torchbus run``, then off before on."""
    allow, run, *rest = (one.says for one in levels)
    if allow == "off":
        return "off"
    return run or ("off" if "off" in rest else "on" if "on" in rest else "off")


# ---- asking a script --------------------------------------------------------------------------------------------------


def _ask_script(script: Path, arguments: list[str]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        command = [sys.executable, "-m", "torchbus._cli.why", str(report), str(script), *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if not report.exists():
            last = (done.stderr.strip().splitlines() or ["it ended"])[-1]
            raise TorchbusError(f"{script} did not get as far as a Trainer: {last}")
        found: dict[str, list[str]] = json.loads(report.read_text(encoding="utf-8"))
        return found


def _run_until_trainer(report: str, script: str, arguments: list[str]) -> None:
    from .._plugins import as_list, instance_name
    from .._wiring import Wiring

    def tell(self: Any, callbacks: Any, plugins: Any, logger: Any, *args: Any, **kwargs: Any) -> None:
        """In place of ``enable_all``: nothing is built, and the script ends here."""
        on: list[str] = []
        off: list[str] = []
        loggers = [] if isinstance(logger, bool) else as_list(logger)
        for request in [*as_list(callbacks), *as_list(plugins), *loggers]:
            if isinstance(request, Mapping):
                for name, settings in request.items():
                    (off if settings is False else on).append(name)
            elif isinstance(request, str | os.PathLike):
                text = os.fspath(request)
                (off if text.startswith("no:") else on).append(text.removeprefix("no:").rpartition(":")[2])
            elif request is not None:
                on.append(instance_name(request))
        options: dict[str, Any] = {**(args[0] if args else kwargs["options"]), "logger": logger}
        refused = {name for role, wanted in options.items() if wanted is False for name in DEFAULTS[role]}
        off += sorted(refused.difference(on))
        Path(report).write_text(json.dumps({"on": on, "off": off}), encoding="utf-8")
        os._exit(0)

    Wiring.enable_all = tell  # type: ignore[method-assign]  # this process is for nothing else
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    _run_until_trainer(sys.argv[1], sys.argv[2], sys.argv[3:])
