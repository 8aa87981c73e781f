"""Accumulation by epoch: when the window changes, after a resume too, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from hypothesis import given
from hypothesis import strategies as st
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_training import GradientAccumulationScheduler

from .small_fits import Failing, Line, loader, trainer, weights


@given(st.dictionaries(st.integers(0, 20), st.integers(1, 9), min_size=1), st.integers(0, 25))
def test_an_epoch_has_the_window_of_the_last_one_named_before_it(scheduling: dict[int, int], epoch: int) -> None:
    named = [first for first in scheduling if first <= epoch]
    expected = scheduling[max(named)] if named else 1
    assert GradientAccumulationScheduler(scheduling).get_accumulate_grad_batches(epoch) == expected


def test_the_window_changes_with_the_epoch_and_the_trainer_is_left_as_it_was(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_epochs=3, plugins={"gradient_accumulation_scheduler": {"scheduling": {"1": 2, "2": 4}}})
    run.fit(Line(), loader())
    assert run.global_step == 4 + 2 + 1
    assert run.accumulate_grad_batches == 1


def test_the_same_trainer_fits_again_also_after_a_failure(tmp_path: Path) -> None:
    failing = Failing(1, error=RuntimeError("on purpose"))
    run = trainer(tmp_path, GradientAccumulationScheduler({0: 2}), failing)
    with pytest.raises(RuntimeError, match="on purpose"):
        run.fit(Line(), loader())
    assert run.accumulate_grad_batches == 1
    failing.steps = -1
    run.fit(Line(), loader())


def test_a_run_resumed_inside_an_epoch_has_its_window(tmp_path: Path) -> None:
    class Saving(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if (trainer.current_epoch, batch_idx) == (1, 2):
                trainer.save_checkpoint(tmp_path / "inside.ckpt")

    straight, resumed = Line(), Line()
    schedule = {1: 2}
    trainer(tmp_path, GradientAccumulationScheduler(schedule), Saving(), max_epochs=2).fit(straight, loader())
    run = trainer(tmp_path, GradientAccumulationScheduler(schedule), max_epochs=2)
    run.fit(resumed, loader(), ckpt_path=tmp_path / "inside.ckpt")
    assert weights(resumed) == weights(straight)
    assert run.global_step == 6


def test_whether_it_will_accumulate_can_be_asked() -> None:
    assert GradientAccumulationScheduler({3: 2}).going_to_accumulate_grad_batches()
    assert not GradientAccumulationScheduler({3: 1}).going_to_accumulate_grad_batches()


def test_a_number_for_all_epochs_beside_it_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, GradientAccumulationScheduler({0: 2}), accumulate_grad_batches=3)
    with pytest.raises(ValueError, match="exclude each other"):
        run.fit(Line(), loader())
    assert run.accumulate_grad_batches == 3


def test_a_module_that_optimizes_by_itself_is_refused(tmp_path: Path) -> None:
    module = Line()
    module.automatic_optimization = False
    with pytest.raises(RuntimeError, match="optimizes by itself"):
        trainer(tmp_path, GradientAccumulationScheduler({0: 2})).fit(module, loader())


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(TypeError, match="is empty"):
        GradientAccumulationScheduler({})


@pytest.mark.parametrize("wrong", [{-1: 2}, {0: 0}, {0: 1.5}, {"first": 2}, 3])
def test_a_wrong_schedule_is_refused(wrong: Any) -> None:
    with pytest.raises(MisconfigurationException, match="scheduling"):
        GradientAccumulationScheduler(wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(GradientAccumulationScheduler))
