"""Spikes: the judgement by itself, the end of a fit, and going on from a checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from hypothesis import given
from hypothesis import strategies as st
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_monitoring import SpikeDetection, TrainingSpikeException
from torchbus_monitoring._spikes import SpikeWatch

from .small_fits import Line, loader, trainer

NAN = float("nan")


def judged(losses: list[float], **changes: Any) -> list[bool]:
    rules: dict[str, Any] = {"mode": "min", "window": 10, "warmup": 1, "atol": None, "rtol": 2.0, "finite_only": True}
    watch = SpikeWatch(**{**rules, **changes})
    return [watch.is_spike(loss) for loss in losses]


class Scripted(Line):
    """Its losses are written down."""

    def __init__(self, *losses: float) -> None:
        super().__init__()
        self.losses = losses

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.losses[batch_idx] + 0.0 * self.layer.weight.sum()


@given(st.lists(st.floats(0.5, 1.4), min_size=1, max_size=30))
def test_losses_of_one_size_are_no_spikes(losses: list[float]) -> None:
    assert not any(judged(losses))


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=30))
def test_a_loss_that_only_falls_has_no_spike(losses: list[float]) -> None:
    assert not any(judged(sorted(losses, reverse=True)))
    assert not any(judged(sorted(losses), mode="max"))


def test_it_must_be_far_by_both_measures() -> None:
    assert judged([1, 4]) == [False, True]
    assert judged([1, 4], atol=5.0) == [False, False]
    assert judged([1, 4], atol=2.0, rtol=None) == [False, True]


def test_a_spike_in_the_warm_up_is_passed_over() -> None:
    assert judged([1, 50, 1], warmup=2) == [False, False, False]


def test_what_is_not_finite_is_a_spike_unless_it_may_be() -> None:
    assert judged([1, NAN, 1]) == [False, True, False]
    assert judged([1, NAN, 1], finite_only=False) == [False, False, False]
    assert judged([1, math.inf, -math.inf], finite_only=False) == [False, True, False]
    assert judged([NAN, 1, NAN], warmup=2) == [False, False, True]


def test_training_ends_and_the_suspects_are_written_down(tmp_path: Path) -> None:
    detection = SpikeDetection(exclude_batches_path=tmp_path / "found" / "skip.json")
    with pytest.raises(TrainingSpikeException, match="batch 2 in epoch 0 is 60") as raised:
        trainer(tmp_path, detection).fit(Scripted(1, 1, 60, 1), loader())
    assert raised.value.batch_idx == 2 and raised.value.loss == 60
    assert json.loads((tmp_path / "found" / "skip.json").read_text()) == detection.bad_batches == [1, 2]


def test_another_length_of_accumulation_is_no_spike(tmp_path: Path) -> None:
    schedule = L.callbacks.GradientAccumulationScheduler({0: 4, 1: 1})
    run = trainer(tmp_path, schedule, plugins=["spike_detection"], max_epochs=2)
    run.fit(Scripted(1, 1, 1, 1), loader())
    assert run.current_epoch == 2


def test_a_resumed_run_knows_the_losses_before(tmp_path: Path) -> None:
    run = trainer(tmp_path, SpikeDetection())
    run.fit(Scripted(1, 1, 1, 1), loader())
    run.save_checkpoint(tmp_path / "one.ckpt")
    resumed = SpikeDetection(exclude_batches_path=tmp_path)
    with pytest.raises(TrainingSpikeException):
        trainer(tmp_path, resumed, max_epochs=2).fit(Scripted(9, 1, 1, 1), loader(), ckpt_path=tmp_path / "one.ckpt")
    assert resumed.bad_batches == [0]


@pytest.mark.parametrize("wrong", [{"mode": "up"}, {"window": 0}, {"warmup": 0}, {"rtol": -1.0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        SpikeDetection(**wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(SpikeDetection))
