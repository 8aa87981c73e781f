"""Plugins and handlers that cannot work are refused before the run, and by mypy where typing can see it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torchbus import Trainer
from torchbus.testing import quiet_trainer

from .wrong import FIRST_LINE, Wrong, as_module
from .wrong_handlers import HANDLERS, ONLY_TYPING
from .wrong_plugins import PLUGINS

ROOT = Path(__file__).parents[2]
REFUSED = PLUGINS | HANDLERS
ALL = REFUSED | ONLY_TYPING

RIGHT = """
@trainer.on(TrainBatchEnd, every=2)
def show(event: TrainBatchEnd) -> None:
    reveal_type(event.batch_idx)

@hookimpl(tryfirst=True, before=("early_stopping",), ranks="zero")
def on_train_start(trainer: Trainer) -> None: ...

@hookimpl(wrapper=True)
def on_train_end() -> Generator[None, Any, Any]:
    return (yield)

reveal_type(show)
trainer.bus.subscribe(TrainStart, lambda event: reveal_type(event))
trainer.on(TrainBatchEnd)(lambda event: reveal_type(event.pl_module))
reveal_type(trainer.bus.emitter(TrainStart))
reveal_type(on_train_start)
reveal_type(on_train_end)
return show
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a module for each piece of code."""
    package = tmp_path_factory.mktemp("typing") / "pieces"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, lines in {"right": RIGHT, **{name: one.lines for name, one in ALL.items()}}.items():
        (package / f"{name}.py").write_text(as_module(lines))
    return package


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, list[str]]:
    """What mypy says of each module, without the path: one run for all of them."""
    # strict, and with the cache of the checkout's own runs: reading torch takes longest
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary"]
    done = subprocess.run(
        [*command, "--cache-dir", str(ROOT / ".mypy_cache"), "--hide-error-context", "--no-pretty", "-p", "pieces"],
        cwd=folder.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        module, rest = re.fullmatch(r"pieces[/\\](\w+)\.py:(.*)", line).groups()  # type: ignore[union-attr]  # mypy's format
        found.setdefault(module, []).append(rest)
    return found


def use(folder: Path, name: str, trainer: Trainer) -> Any:
    space: dict[str, Any] = {"__name__": name, "reveal_type": lambda value: value}
    exec(compile((folder / f"{name}.py").read_text(), name, "exec"), space)
    return space["use"](trainer)


@pytest.mark.parametrize(("name", "wrong"), REFUSED.items(), ids=REFUSED)
def test_it_is_refused_before_the_run_in_words_that_help(name: str, wrong: Wrong, folder: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path)
    before = list(trainer.bus.plugins)
    with pytest.raises(Exception) as caught:
        use(folder, name, trainer)
    assert type(caught.value) is wrong.error
    for part in wrong.says:
        assert part in str(caught.value)
    assert list(trainer.bus.plugins) == before, "nothing of it stays behind"


@pytest.mark.parametrize(("name", "wrong"), ALL.items(), ids=ALL)
def test_mypy_finds_it_in_its_line_unless_typing_cannot_see_it(
    name: str, wrong: Wrong, told: dict[str, list[str]]
) -> None:
    found: dict[int, str] = {}
    for line in told.get(name, []):
        error = re.fullmatch(r"(\d+): error: .*\[([\w-]+)\]", line)
        if error:  # a second one in the same line follows from the first
            found.setdefault(int(error[1]) - FIRST_LINE + 1, error[2])
    assert found == (wrong.mypy if isinstance(wrong.mypy, dict) else {}), told.get(name)


@pytest.mark.parametrize(("name", "wrong"), ONLY_TYPING.items(), ids=ONLY_TYPING)
def test_what_only_typing_sees_fails_when_the_event_comes(
    name: str, wrong: Wrong, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(wrong.error, match=re.escape(wrong.says[0])):
        use(folder, name, quiet_trainer(tmp_path))


def test_right_code_is_taken_and_its_events_and_fields_are_typed(
    folder: Path, told: dict[str, list[str]], tmp_path: Path
) -> None:
    assert use(folder, "right", quiet_trainer(tmp_path)).every == 2
    revealed = [re.search(r'Revealed type is "(.*)"$', line) for line in told["right"]]
    assert [one and re.sub(r"[\w.]+\.", "", one[1]) for one in revealed] == [
        "int",
        "Subscription[TrainBatchEnd]",
        "TrainStart",
        "LightningModule",
        "def (trainer: Trainer, pl_module: LightningModule) -> Any",
        "def (trainer: Trainer)",
        "def () -> Generator[None, Any, Any]",
    ]
