"""``torchbus plugins why``: which levels enable or disable a plugin, and whether a trainer has it then.

Run as a program it makes a trainer, or runs a script as far as its first one, and tells who takes part in it.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .._discovery import ALLOW_VARIABLE, DEFAULTS, Offer, discover, find_offer, is_allowed
from .._errors import PluginNotFoundError, TorchbusError
from .._run_options import RUN_SOURCE, read_run_options
from .._settings import read_config_file
from .enabling import used_by_default
from .output import is_terminal, print_json, print_table, say

__all__ = ["Answer", "ask", "reasons", "why_plugin"]


@dataclass(frozen=True, slots=True)
class Level:
    """What one level says of a plugin: ``"on"``, ``"off"`` or nothing."""

    level: str
    says: str
    where: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a trainer tells of its plugins, by name: their instance names, and the names under which classes are offered.

    Attributes:
        on, off: what its arguments ask for and refuse.
        taking_part: who takes part in the end.
        roles: by the name of a default, the others that have its role.
        refusal: why there is no such trainer, or empty.
    """

    on: list[str]
    off: list[str]
    taking_part: list[str]
    roles: dict[str, list[str]]
    refusal: str = ""


def why_plugin(
    name: Annotated[str, typer.Argument(help="Its instance name.", show_default=False)],
    script: Annotated[
        Path | None, typer.Argument(exists=True, help="A script, which is run as far as its first Trainer.")
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="The script's arguments.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which levels enable or disable a plugin: environment, `torchbus run`, script, file, default."""
    told = reasons(name, script, _ask_in_child(script, arguments or []))
    if as_json:
        print_json(told)
        return
    levels = [(one["level"], one["says"] or "nothing", one["where"]) for one in told["levels"]]
    if is_terminal():
        for level, says, where in levels:
            say((level, "bold"), f"  {says}  ", (where, "dim"))
    else:
        print_table(("level", "says", "where"), levels)
    say((f"{name} is {'on' if told['enabled'] else 'off'}.", "bold"))
    if told["refusal"]:
        say((f"There would be no trainer: {told['refusal']}", "red"))


def reasons(name: str, script: Path | None, answer: Answer) -> dict[str, Any]:
    """What is printed as JSON: each level, and whether the plugin takes part. The latter is the trainer's own answer."""
    config, run = read_config_file(), read_run_options()
    offer = _offer(str(config.plugins.get(name, {}).get("plugin", name)), is_known=name in answer.on)
    requests = {one.removeprefix("no:").rpartition(":")[2]: one for one in config.enabled}
    in_file = requests.get(name, "")
    allowed = offer is None or is_allowed(offer.distribution)
    said = "off" if name in answer.off else "on" if name in answer.on else ""
    others = answer.roles.get(name, [])
    is_default = offer is not None and offer.name == name and name in used_by_default(discover())
    levels = [
        Level("environment", "" if allowed else "off", ALLOW_VARIABLE if ALLOW_VARIABLE in os.environ else ""),
        Level(RUN_SOURCE, "on" if name in run.plugins else "off" if name in run.off else "", ""),
        Level("script", said, str(script) if script else "no script was given"),
        Level("file", "off" if in_file.startswith("no:") else "on" if in_file else "", str(config.path or "")),
        Level(
            "default",
            "on" if is_default and not others else "",
            f"its role is taken by {', '.join(others)}" if is_default and others else "",
        ),
    ]
    return {
        "name": name,
        "enabled": name in answer.taking_part,
        "levels": [asdict(one) for one in levels],
        "refusal": answer.refusal,
    }


def _offer(plugin: str, is_known: bool) -> Offer | None:
    try:
        return find_offer(plugin)
    except PluginNotFoundError:
        if is_known:  # an instance of the script's own has a name of its own
            return None
        raise


# ---- asking a trainer --------------------------------------------------------------------------------------------------


def _ask_in_child(script: Path | None, arguments: list[str]) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        command = [
            sys.executable,
            "-m",
            "torchbus._cli.why",
            str(report),
            *([str(script)] if script else []),
            *arguments,
        ]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if not report.exists():
            last = (done.stderr.strip().splitlines() or ["it ended"])[-1]
            raise TorchbusError(f"{script or 'A script'} did not get as far as a Trainer: {last}")
        return Answer(**json.loads(report.read_text(encoding="utf-8")))


def ask(script: str | None, arguments: list[str], told: Callable[[Answer], object]) -> None:
    """Make a trainer, or run a script, and call ``told`` when the first trainer has decided who takes part in it."""
    from .. import Trainer
    from .._wiring import Wiring

    def tell(self: Wiring, *levels: Any, **options: Any) -> None:
        """In place of ``enable_all``: nothing is built."""
        self.enabler.only_decides = True
        refusal = ""
        try:
            self.decide(*levels, **options)
        except TorchbusError as error:
            refusal = str(error)
        told(_answer(self, refusal, *levels))

    original, Wiring.enable_all = Wiring.enable_all, tell  # type: ignore[method-assign]  # for this question only
    try:
        if script is None:
            Trainer()
        else:
            sys.argv = [script, *arguments]
            runpy.run_path(script, run_name="__main__")
    except TorchbusError as error:  # before it came to plugins
        told(Answer([], [], [], {}, str(error)))
    finally:
        Wiring.enable_all = original  # type: ignore[method-assign]  # the same


def _answer(
    wiring: Any, refusal: str, callbacks: Any, plugins: Any, logger: Any, options: Mapping[str, bool | None]
) -> Answer:
    from .._plugins import as_list, instance_name

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
            on += [instance_name(request), *_offered_as(request, wiring.enabler.offers)]
    switches = {**options, "logger": logger}
    refused = {name for role, wanted in switches.items() if wanted is False for name in DEFAULTS[role]}
    takes_part = [] if refusal else wiring.taking_part
    return Answer(
        on=on,
        off=off + sorted(refused.difference(on)),
        taking_part=[
            name
            for one in takes_part
            for name in (one.name, *(_offered_as(one.object, wiring.enabler.offers) if one.is_given else ()))
        ],
        roles={
            name: [one.name for one in wiring.having_role(role) if one.name != name]
            for role, names in DEFAULTS.items()
            for name in names
        },
        refusal=refusal,
    )


def _offered_as(plugin: object, offers: list[Offer]) -> list[str]:
    """The names under which an instance's class is offered: it is switched off by them too."""
    modules = [(one.name, *one.target.partition(":")[::2]) for one in offers]
    return [
        name for name, module, attribute in modules if getattr(sys.modules.get(module), attribute, None) is type(plugin)
    ]


def main() -> None:
    """Write the answer into a file, and end before the script goes on."""
    report, *rest = sys.argv[1:]

    def told(answer: Answer) -> None:
        Path(report).write_text(json.dumps(asdict(answer)), encoding="utf-8")
        os._exit(0)

    if rest:
        sys.path[0] = str(Path(rest[0]).resolve().parent)
    ask(rest[0] if rest else None, rest[1:], told)


if __name__ == "__main__":
    main()
