"""The timer: reading it, and what happens when time is up."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_stopping import Timer

from .small_fits import Judged, Line, loader, trainer

INSTANT = timedelta(microseconds=1)


class Slow(Line):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)


def test_training_stops_after_the_step_or_the_epoch_in_which_time_is_up(tmp_path: Path) -> None:
    for settings, steps in (({}, 1), ({"interval": "epoch"}, 4)):
        run = trainer(tmp_path, max_epochs=3, plugins={"timer": {"duration": INSTANT, **settings}})
        run.fit(Line(), loader())
        assert run.global_step == steps


def test_minimums_are_met_all_the_same(tmp_path: Path) -> None:
    run = trainer(tmp_path, Timer(INSTANT), max_epochs=3, min_epochs=2)
    run.fit(Line(), loader())
    assert run.current_epoch == 2


def test_a_stage_that_there_is_not_has_no_time() -> None:
    with pytest.raises(ValueError, match="no stage; the stages are train, sanity_check, validate, test, predict"):
        Timer().time_elapsed("trian")


def test_each_stage_has_its_times(tmp_path: Path) -> None:
    timer = Timer("1h")
    assert timer.start_time() is None and timer.time_elapsed() == 0 and timer.time_remaining() == 3600
    run = trainer(tmp_path, timer)
    run.fit(Slow(), loader())
    assert 0.08 <= timer.time_elapsed("train") < 5
    elapsed = timer.time_elapsed("train")
    assert timer.time_elapsed("train") == elapsed, "the clock stands still after training"
    assert timer.time_remaining() == pytest.approx(3600 - elapsed)
    started, ended = timer.start_time(), timer.end_time()
    assert started is not None and ended is not None and ended - started == elapsed
    assert timer.start_time("test") is None
    run.test(Judged(), loader(2))
    assert timer.end_time("test") is not None


def test_without_a_duration_it_only_measures(tmp_path: Path) -> None:
    timer = Timer()
    trainer(tmp_path, timer).fit(Line(), loader())
    assert timer.time_remaining() is None and timer.time_elapsed() > 0


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    run = trainer(tmp_path, Timer())
    run.fit(Slow(), loader())
    run.save_checkpoint(tmp_path / "one.ckpt")
    timer = Timer(timedelta(seconds=0.05))
    run = trainer(tmp_path, timer, max_epochs=2)
    run.fit(Line(), loader(), ckpt_path=tmp_path / "one.ckpt")
    assert timer.time_elapsed() > 0.08
    assert run.global_step == 4, "no time is left for a step"


def test_the_end_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "torchbus.timer"):
        trainer(tmp_path, Timer(INSTANT), min_epochs=1).fit(Line(), loader())
        trainer(tmp_path, Timer(INSTANT, verbose=False)).fit(Line(), loader())
    assert caplog.text.count("time is used up") == 1


@pytest.mark.parametrize("wrong", [{"duration": "5 hours"}, {"duration": {"hour": 1}}, {"interval": "batch"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        Timer(**wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(Timer))
