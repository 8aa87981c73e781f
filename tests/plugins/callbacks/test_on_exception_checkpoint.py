"""A checkpoint when a fit fails: what is saved, how the next fit goes on, and when the file goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus_checkpointing import OnExceptionCheckpoint
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings

from .small_fits import Failing, Judged, Line, loader, trainer, weights


class Trouble(Exception):
    """Raised on purpose."""


def fail(tmp_path: Path, steps: int = 6, error: BaseException | None = None, **options: Any) -> Path:
    rescue = OnExceptionCheckpoint(tmp_path / "rescue")
    run = trainer(tmp_path, rescue, Failing(steps, error or Trouble()), max_epochs=3, **options)
    with pytest.raises((Trouble, SystemExit)):
        run.fit(Line(), loader())
    return Path(rescue.ckpt_path)


@pytest.mark.parametrize("error", [Trouble(), KeyboardInterrupt()])
def test_running_again_ends_as_a_run_that_never_failed(tmp_path: Path, error: BaseException) -> None:
    path = fail(tmp_path, error=error)
    assert path.name == "on_exception.ckpt" and torch.load(path, weights_only=True)["global_step"] == 6
    straight, again = Line(), Line()
    trainer(tmp_path, max_epochs=3).fit(straight, loader())
    run = trainer(tmp_path, OnExceptionCheckpoint(path.parent), max_epochs=3)
    run.fit(again, loader())
    assert weights(again) == weights(straight)
    assert run.ckpt_path == str(path)
    assert not path.exists()


def test_a_checkpoint_that_the_script_names_comes_first(tmp_path: Path) -> None:
    path = fail(tmp_path)
    other = trainer(tmp_path)
    other.fit(Line(), loader())
    other.save_checkpoint(tmp_path / "chosen.ckpt")
    run = trainer(tmp_path, OnExceptionCheckpoint(path.parent), max_epochs=1)
    run.fit(Line(), loader(), ckpt_path=tmp_path / "chosen.ckpt")
    assert run.ckpt_path == str(tmp_path / "chosen.ckpt") and run.global_step == 4


def test_a_second_fit_of_the_same_trainer_does_not_resume_again(tmp_path: Path) -> None:
    path = fail(tmp_path)
    run = trainer(tmp_path, OnExceptionCheckpoint(path.parent), max_epochs=3)
    run.fit(Line(), loader())
    run.fit(Line(), loader())
    assert run.ckpt_path is None


def test_an_error_before_training_leaves_a_good_file_alone(tmp_path: Path) -> None:
    class Broken(Line):
        def configure_optimizers(self) -> Any:
            raise Trouble

    path = fail(tmp_path)
    good = path.read_bytes()
    with pytest.raises(Trouble):
        trainer(tmp_path, OnExceptionCheckpoint(path.parent), max_epochs=3).fit(Broken(), loader())
    assert path.read_bytes() == good


def test_evaluation_neither_saves_nor_removes(tmp_path: Path) -> None:
    class Broken(Judged):
        def test_step(self, batch: Any, batch_idx: int) -> Any:
            raise Trouble

    path = fail(tmp_path)
    good = path.read_bytes()
    run = trainer(tmp_path, OnExceptionCheckpoint(path.parent))
    run.validate(Judged(), loader(2))
    with pytest.raises(Trouble):
        run.test(Broken(), loader(2))
    assert path.read_bytes() == good


def test_a_file_that_cannot_be_written_does_not_hide_the_exception(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    rescue = OnExceptionCheckpoint(tmp_path / "taken")
    with pytest.warns(UserWarning, match="could not write"), pytest.raises(Trouble) as raised:
        trainer(tmp_path, rescue, Failing(2, Trouble())).fit(Line(), loader())
    assert any("could not write" in note for note in raised.value.__notes__)


def test_it_is_enabled_by_name(tmp_path: Path) -> None:
    settings = {"on_exception_checkpoint": {"dirpath": tmp_path, "filename": "rescue"}}
    run = trainer(tmp_path, Failing(2, Trouble()), plugins=settings, enable_checkpointing=True)
    with pytest.raises(Trouble):
        run.fit(Line(), loader())
    assert (tmp_path / "rescue.ckpt").is_file()
    assert [type(one).__name__ for one in run.callbacks][-1] == "OnExceptionCheckpoint"


@pytest.mark.parametrize("wrong", [{"dirpath": 3}, {"dirpath": "here", "filename": ""}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match="dirpath|filename"):
        OnExceptionCheckpoint(**wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(L.callbacks.OnExceptionCheckpoint))
