"""A plugin that raises, in each hook of a run, under each policy, with each kind of exception: what becomes of the run."""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer
from torchbus_hookspecs import Callback, EndRun
from torchbus_hookspecs.specs import HOOKS

from .runs import Grave, Wrong, live, note_of, plugin

STRIKES = 3
# the module, which has the last word in them, answers before any plugin is asked (see test_other_runs.py)
ANSWERED = {
    "configure_optimizers", "forward", "predict_step", "test_step", "training_step", "validation_step",
    "predict_dataloader", "test_dataloader", "train_dataloader", "val_dataloader",
}  # fmt: skip
# not in this run: runs that fail, manual optimization, states of plugins, modes that the module would set (there too)
ELSEWHERE = {
    "on_exception", "on_plugin_failed", "on_preempted", "manual_backward",
    "toggle_optimizer", "toggled_optimizer", "untoggle_optimizer",
    "load_state_dict", "on_validation_model_train", "on_test_model_train",
}  # fmt: skip
REACHED = [name for name in HOOKS if name not in ANSWERED | ELSEWHERE]
"""The hooks that a plugin is called for by ``live``."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a run without anything that fails."""
    return live(tmp_path_factory.mktemp("alone"))[1]


def test_the_matrix_covers_every_hook_that_a_run_calls_plugins_for(tmp_path: Path) -> None:
    called: set[str] = set()
    listeners = [{f"on_{hook}": plugin([hook], functools.partial(called.add, hook))} for hook in HOOKS]
    live(tmp_path, *listeners)
    assert called == set(REACHED)


@pytest.mark.parametrize("hook", REACHED)
def test_an_exception_ends_the_run_with_its_type_and_a_note(hook: str, tmp_path: Path) -> None:
    error = Wrong("no luck")

    def fail() -> None:
        raise error

    with pytest.raises(Wrong, match="no luck") as caught:
        live(tmp_path, {"failing": plugin([hook], fail)})
    assert caught.value is error
    assert error.__notes__ == [note_of(hook)]


@pytest.mark.parametrize("hook", REACHED)
def test_one_in_quarantine_changes_nothing_and_is_switched_off_after_three_strikes(
    hook: str, tmp_path: Path, alone: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[None] = []

    def fail() -> None:
        calls.append(None)
        raise Wrong("no luck")

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer, weights = live(tmp_path, {"failing": plugin([hook], fail, on_failure="quarantine")})
    for name, value in alone.items():
        assert torch.equal(weights[name], value)
    told = [str(one.message) for one in said if "`failing`" in str(one.message)]
    assert 1 <= len(told) == len(calls) <= STRIKES
    assert all(one.startswith(f"Plugin `failing` failed in `{hook}`: Wrong: no luck.") for one in told)
    printed = "".join(capsys.readouterr())
    block = f"`failing`: 3 failures, the last in `{hook}`: Wrong: no luck"
    if len(calls) == STRIKES:
        assert [one.name for one in trainer.bus.quarantined] == ["failing"] and "failing" not in trainer.bus.plugins
        assert re.search("since they kept failing:\n *" + re.escape(block), printed)
    else:
        assert trainer.bus.plugins["failing"].strikes == len(calls) and block not in printed


@pytest.mark.parametrize("policy", ["raise", "quarantine"])
@pytest.mark.parametrize("hook", REACHED)
@pytest.mark.parametrize(
    ("error", "seen", "has_note"),
    [(Grave("end"), Grave, True), (KeyboardInterrupt(), SystemExit, False), (SystemExit(7), SystemExit, False)],
    ids=["a BaseException", "an interrupt", "an exit"],
)
def test_what_is_more_than_an_exception_goes_through_under_either_policy(
    hook: str, policy: str, error: BaseException, seen: type[BaseException], has_note: bool, tmp_path: Path
) -> None:
    error.__dict__.clear()  # what an earlier run noted on it

    def fail() -> None:
        raise error

    with pytest.raises(seen) as caught:
        live(tmp_path, {"failing": plugin([hook], fail, on_failure=policy)})
    assert caught.value is error or (caught.value.code == 130 and isinstance(error, KeyboardInterrupt))
    assert getattr(error, "__notes__", []) == ([note_of(hook)] if has_note else [])


@pytest.mark.parametrize("policy", ["raise", "quarantine"])
def test_a_plugin_that_ends_the_run_has_not_failed(policy: str, tmp_path: Path) -> None:
    def end() -> None:
        raise EndRun

    trainer = quiet_trainer(tmp_path, plugins={"ending": plugin(["on_train_batch_end"], end, on_failure=policy)})
    assert trainer.fit(TinyModule(), datamodule=TinyDataModule()) is None
    assert trainer.global_step == 1 and trainer.bus.plugins["ending"].strikes == 0


@pytest.mark.parametrize("hook", ["on_exception", "on_plugin_failed"])
def test_one_that_fails_while_it_is_told_of_a_failure_hides_nothing(hook: str, tmp_path: Path) -> None:
    def fail_again() -> None:
        raise Wrong("while told")

    def fail() -> None:
        raise KeyError("the first")

    with (
        pytest.warns(RuntimeWarning, match=f"`telling` failed in `{hook}`: Wrong: while told"),
        pytest.raises(KeyError),
    ):
        live(
            tmp_path,
            {"failing": plugin(["on_train_start"], fail)},
            {"telling": plugin([hook], fail_again, on_failure="quarantine")},
        )


class Forgetful(Callback):
    """It has a state, and cannot take it back."""

    def __init__(self, policy: str) -> None:
        self.on_failure = policy

    def state_dict(self) -> dict[str, Any]:
        return {"value": 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        raise Wrong("forgotten")


def test_a_state_that_cannot_be_taken_back_is_the_plugins_failure(
    tmp_path: Path, alone: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(Wrong) as caught:
        live(tmp_path, Forgetful("raise"))
    assert caught.value.__notes__ == ["Raised by plugin `forgetful`, in its `load_state_dict`."]
    with pytest.warns(RuntimeWarning, match="`forgetful` failed in `load_state_dict`: Wrong: forgotten"):
        weights = live(tmp_path, Forgetful("quarantine"))[1]
    assert all(torch.equal(weights[name], value) for name, value in alone.items())


class Unfit(Callback):
    def on_train_start(self, trainer: Any) -> None: ...  # type: ignore[override]


class Circular(Callback):
    before = ("fine",)
    after = ("fine",)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...


class Fine(Callback):
    def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...


@pytest.mark.parametrize("unfit", [Unfit, Circular])
def test_a_plugin_that_fails_while_it_registers_leaves_nothing_behind(
    unfit: type[Callback], tmp_path: Path, alone: dict[str, torch.Tensor]
) -> None:
    trainer = quiet_trainer(tmp_path, plugins={"fine": Fine()})
    before = list(trainer.bus.plugins)
    heard = {hook: trainer.bus.implementations(hook) for hook in HOOKS}
    with pytest.raises(ValueError, match="unfit|circular"):
        trainer.bus.register(unfit(), unfit.__name__.lower())
    assert list(trainer.bus.plugins) == before
    assert {hook: trainer.bus.implementations(hook) for hook in HOOKS} == heard
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    assert trainer.global_step == 8
