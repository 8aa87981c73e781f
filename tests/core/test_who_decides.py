"""The tables of docs/plugins.md, each as a rule, in every combination: on a real trainer, and as ``plugins why`` tells it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus import TorchbusError
from torchbus._cli.why import Answer, ask, reasons
from torchbus._run_options import RUN_VARIABLE, RunOptions

pytestmark = pytest.mark.usefixtures("no_environment", "folder")

SAYS = ("nothing", "on", "off")
NAMES = {"timer": False, "model_checkpoint": True, "csv": False}
"""A callback, a default, a logger: whether a trainer uses it unasked."""
ALLOW = {"anybody": None, "its distribution": "{own},torchbus-cpu", "others": "torchbus-cpu"}
OWN = {"timer": "torchbus-stopping", "model_checkpoint": "torchbus-checkpointing", "csv": "torchbus-csv"}
COMBINATIONS = [
    one for one in itertools.product(NAMES, ALLOW, SAYS, SAYS, SAYS) if one[0] != "csv" or one[1] == "anybody"
]  # without the other logger, csv is a default
QUIET = 'accelerator="cpu", enable_progress_bar=False, enable_model_summary=False'


def rule(name: str, allowed: bool, run: str, script: str, file: str) -> str:
    """The table "Who decides": on, off, or an error, where what is not allowed is asked for."""
    by_others = "off" if "off" in (script, file) else "on" if "on" in (script, file) else "default"
    decided = by_others if run == "nothing" else run
    if decided == "default":
        return "on" if NAMES[name] and allowed else "off"
    return "error" if decided == "on" and not allowed else decided


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    return tmp_path


def say(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, allow: str, run: str, script: str, file: str) -> str:
    """Have each level say its part; the trainer's argument ``plugins``, as a script has it."""
    said = {"nothing": [], "on": [name], "off": [f"no:{name}"]}
    allowed = ALLOW[allow]
    if allowed is not None:
        monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", allowed.format(own=OWN[name]))
    options = RunOptions({name: {}} if run == "on" else {}, (name,) if run == "off" else ())
    monkeypatch.setenv(RUN_VARIABLE, options.as_variable())
    (folder / "torchbus.toml").write_text(f"enable = {json.dumps(said[file])}\n")
    (folder / "train.py").write_text(f"import torchbus\ntorchbus.Trainer(plugins={said[script]!r}, {QUIET})\n")
    return said[script]


def of_a_trainer(name: str, plugins: Any, **options: Any) -> str:
    """What becomes of it in a real trainer."""
    try:
        trainer = L.Trainer(
            plugins=plugins, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, **options
        )
    except TorchbusError:
        return "error"
    return "on" if name in trainer.bus.plugins else "off"


def of_the_command(name: str, script: str | None = "train.py") -> str:
    """What ``plugins why`` says of the same, in this process: a new one for each combination takes seconds."""
    answers: list[Answer] = []
    ask(script, [], answers.append)
    told = reasons(name, Path(script) if script else None, answers[0])
    return "error" if told["refusal"] else "on" if told["enabled"] else "off"


@pytest.mark.parametrize(("name", "allow", "run", "script", "file"), COMBINATIONS)
def test_a_trainer_and_the_command_follow_the_table(
    name: str, allow: str, run: str, script: str, file: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = say(folder, monkeypatch, name, allow, run, script, file)
    expected = rule(name, allow != "others", run, script, file)
    assert of_a_trainer(name, plugins) == expected
    assert of_the_command(name) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "allow", "run", "script", "file"),
    [
        ("timer", "anybody", "nothing", "nothing", "nothing"),
        ("timer", "anybody", "on", "off", "off"),
        ("timer", "its distribution", "nothing", "off", "on"),
        ("model_checkpoint", "anybody", "nothing", "nothing", "nothing"),
        ("model_checkpoint", "anybody", "off", "on", "on"),
        ("model_checkpoint", "others", "nothing", "on", "nothing"),
    ],
)
def test_the_command_itself_says_the_same(
    name: str,
    allow: str,
    run: str,
    script: str,
    file: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    torchbus: Any,
) -> None:
    say(folder, monkeypatch, name, allow, run, script, file)
    done = torchbus("plugins", "why", name, "train.py", "--json")
    told = json.loads(done.stdout)
    expected = rule(name, allow != "others", run, script, file)
    assert (told["enabled"], bool(told["refusal"])) == (expected == "on", expected == "error")
    says = {one["level"]: one["says"] or "nothing" for one in told["levels"]}
    assert [says[level] for level in ("torchbus run", "script", "file")] == [run, script, file]
    assert says["environment"] == ("off" if allow == "others" else "nothing")


# ---- the last row: defaults, where their role is free ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "arguments", "taken_by"),
    [
        ("model_checkpoint", 'plugins={"best": {"plugin": "model_checkpoint", "monitor": "loss"}}', "best"),
        ("model_checkpoint", "callbacks=torchbus.callbacks.ModelCheckpoint(monitor='loss')", ""),
        ("tensorboard", 'logger={"mine": {"plugin": "csv"}}', "mine"),
        ("tensorboard", "logger=False", ""),
        ("rich_progress_bar", 'plugins="tqdm_progress_bar"', "tqdm_progress_bar"),
        ("rich_progress_bar", "enable_progress_bar=False", ""),
        ("rich_model_summary", 'plugins={"small": {"plugin": "model_summary"}}', "small"),
        ("slow_plugins", 'plugins={"slow_plugins": {"share": 0.5}}', ""),
    ],
)
def test_a_default_stays_out_where_its_role_is_taken_and_the_command_says_by_whom(
    folder: Path, default: str, arguments: str, taken_by: str
) -> None:
    (folder / "train.py").write_text(f"import torchbus, torchbus.callbacks\ntrainer = torchbus.Trainer({arguments})\n")
    space: dict[str, Any] = {}
    exec((folder / "train.py").read_text(), space)
    answers: list[Answer] = []
    ask("train.py", [], answers.append)
    told = reasons(default, Path("train.py"), answers[0])
    assert told["enabled"] is (default in space["trainer"].bus.plugins)
    where = {one["level"]: one["where"] for one in told["levels"]}["default"]
    assert where == (f"its role is taken by {taken_by}" if taken_by else "")


def test_instances_are_told_by_their_own_name_and_by_that_of_their_class(folder: Path) -> None:
    (folder / "train.py").write_text(
        "import torchbus\nfrom torchbus.loggers import CSVLogger\n"
        "torchbus.Trainer(logger=CSVLogger('.'), plugins={'second': {'plugin': 'timer'}})\n"
    )
    answers: list[Answer] = []
    ask("train.py", [], answers.append)
    assert {"csv", "csv_logger", "second"} <= set(answers[0].taking_part)
    assert "timer" not in answers[0].taking_part, "an instance under another name"


def test_wrong_settings_are_no_reason_to_be_off(folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["early_stopping"]\n[plugins.early_stopping]\npatience = -1\n')
    assert of_the_command("early_stopping", None) == "on"


# ---- settings ----------------------------------------------------------------------------------------------------------

SOURCES = {"torchbus run": 1, "script": 2, "environment": 4, "file": 5}
"""The table under "Settings", first wins, and what each says here. The default is 3."""


@pytest.mark.parametrize("having", [one for count in range(5) for one in itertools.combinations(SOURCES, count)])
def test_a_setting_comes_from_the_first_source_that_has_it(
    having: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = {source: SOURCES[source] for source in having}
    if "torchbus run" in says:
        given = {"early_stopping": {"patience": str(says["torchbus run"])}}
        monkeypatch.setenv(RUN_VARIABLE, RunOptions(given, ()).as_variable())
    if "environment" in says:
        monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__PATIENCE", str(says["environment"]))
    if "file" in says:
        (folder / "torchbus.toml").write_text(f"[plugins.early_stopping]\npatience = {says['file']}\n")
    script = {"monitor": "loss", **({"patience": says["script"]} if "script" in says else {})}
    trainer = L.Trainer(plugins={"early_stopping": script}, logger=False, accelerator="cpu", enable_progress_bar=False)
    assert trainer.early_stopping_callback.patience == next(iter(says.values()), 3)
