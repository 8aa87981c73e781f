"""``torchbus run``: what it adds and leaves out, over the script's head. Who wins is in test_who_decides.py."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus import MisconfigurationException
from torchbus._run_options import RUN_VARIABLE, RunOptions
from torchbus.callbacks import EarlyStopping, Timer

NAME = "timer"
DEFAULT = "model_checkpoint"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trainer(**arguments: Any) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return L.Trainer(**{**quiet, **arguments})


def names(**arguments: Any) -> list[str]:
    return list(trainer(**arguments).bus.plugins)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(plugins: dict[str, dict[str, Any]] | None = None, off: tuple[str, ...] = ()) -> None:
        monkeypatch.setenv(RUN_VARIABLE, RunOptions(plugins or {}, off).as_variable())

    return run


@pytest.mark.parametrize("level", ["run", "script", "file"])
def test_what_the_environment_does_not_allow_is_refused_whoever_asks(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "torchbus-cpu")
    assert DEFAULT not in names()  # a default is passed over
    if level == "run":
        run({NAME: {}})
    elif level == "file":
        (folder / "torchbus.toml").write_text(f'enable = ["{NAME}"]')
    with pytest.raises(MisconfigurationException, match="TORCHBUS_PLUGIN_ALLOW"):
        trainer(plugins=NAME if level == "script" else None)


def test_instances_of_the_script_are_switched_off_by_either_of_their_names(run: Any, folder: Path) -> None:
    from torchbus.loggers import CSVLogger

    run(off=("early_stopping", "csv"))
    made = trainer(callbacks=[EarlyStopping("a"), EarlyStopping("b"), Timer()], logger=CSVLogger(folder))
    assert [type(one).__name__ for one in made.callbacks if not isinstance(one, L.callbacks.Checkpoint)] == ["Timer"]
    assert made.loggers == []


def test_settings_for_an_instance_of_the_script_are_refused(run: Any) -> None:
    run({"early_stopping": {}})
    assert len(trainer(callbacks=[EarlyStopping("a")]).early_stopping_callbacks) == 1
    run({"early_stopping": {"patience": "1"}})
    with pytest.raises(MisconfigurationException, match=r"early_stopping\.patience=.*as an\s+instance"):
        trainer(callbacks=[EarlyStopping("a")])


def test_switches_of_the_trainer_give_way(run: Any) -> None:
    run({DEFAULT: {}, "csv": {}, "best": {"plugin": DEFAULT, "monitor": "loss"}})
    made = trainer(enable_checkpointing=False, logger=False)
    assert len(made.checkpoint_callbacks) == 2 and made.checkpoint_callbacks[1].monitor == "loss"
    assert [type(one).__name__ for one in made.loggers] == ["CSVLogger"]
    assert len(trainer(logger=None).loggers) == 1  # the default logger stays out, as if the script had asked for csv


def test_a_variable_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "timer")
    with pytest.raises(MisconfigurationException, match=f"{RUN_VARIABLE} cannot be read: 'timer'"):
        trainer()


# ---- the command ------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import torchbus as L

for _ in range(2):
    trainer = L.Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False)
    print(sys.argv[1:], list(trainer.bus.plugins), getattr(trainer.early_stopping_callback, "patience", None))
sys.exit(5)
"""


def test_a_script_runs_with_other_plugins_and_exits_as_it_does(torchbus: Any, folder: Path) -> None:
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT))
    options = [
        "--plugin",
        "early_stopping.monitor=loss",
        "--plugin",
        "early_stopping.patience=9",
        "--no",
        "slow_plugins",
    ]
    done = torchbus("run", "train.py", "--epochs", "3", *options, "--", "--no", "x")
    assert done.returncode == 5, done.stderr
    line = "['--epochs', '3', '--no', 'x'] ['early_stopping', 'model_checkpoint', 'torchbus'] 9"
    assert done.stdout.splitlines() == [line, line]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plugin", "timer", "--no", "timer"], "contradict each other"),
        (["--plugin", "patience=3"], "NAME.FIELD=VALUE"),
        (["--plugin", "cpu"], "chosen by the script"),
    ],
)
def test_wrong_options_are_told_before_the_script_runs(torchbus: Any, folder: Path, options: Any, message: str) -> None:
    (folder / "train.py").write_text("raise SystemExit('it ran')")
    done = torchbus("run", "train.py", *options)
    assert done.returncode == 2 and message in " ".join(done.stderr.replace("│", " ").split())
