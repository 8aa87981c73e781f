"""The watch for slow plugins."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus_hookspecs import hookimpl
from torchbus_profilers import SlowPlugins

from .runs import Line, loader, trainer


class Slow(L.Callback):
    def on_train_batch_end(self, *arguments: Any) -> None:
        time.sleep(0.001)


class Hooks:
    @hookimpl
    def on_before_zero_grad(self) -> None:
        time.sleep(0.001)


class Quick(L.Callback):
    def __init__(self) -> None:
        self.num_watched = 0

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        self.num_watched += trainer.bus.is_watched


class Working(Line):
    """A step that takes its time, in the module: that is what a run is for."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.001)
        return super().training_step(batch, batch_idx)


AT_ONCE = {"cost": 1.0, "min_step_ms": 0.1}
"""Settings under which a sample is taken as soon as the warm-up is over: after 40 batches."""


def told(run: L.Trainer, batches: int = 55, model: L.LightningModule | None = None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.fit(model or Working(), loader(batches))
    return [str(one.message) for one in caught if "of a training step" in str(one.message)]


def test_a_plugin_that_takes_a_large_part_of_the_step_is_named_once(tmp_path: Path) -> None:
    quick, watch = Quick(), SlowPlugins(**AT_ONCE)
    run = trainer(tmp_path, None, callbacks=[Slow(), quick], plugins=[watch, {"hooks": Hooks()}])
    messages = told(run)
    assert [one.partition(" takes ")[0] for one in messages] == ["Plugin `hooks`", "Plugin `slow`"]
    assert "% of a training step in its `on_train_batch_end`:" in messages[1]
    assert "the median of 10 steps" in messages[1]
    assert 'Trainer(profiler="plugins")' in messages[1]
    assert 'plugins=["no:slow_plugins"]' in messages[1]
    assert quick.num_watched == 10, "a sample is ten steps"
    assert not run.bus.is_watched
    again = trainer(tmp_path, None, callbacks=[Slow(), quick], plugins=[watch])
    assert told(again) == []
    assert quick.num_watched == 20


def test_the_distribution_of_the_plugin_is_named() -> None:
    with pytest.warns(UserWarning, match=r"Plugin `a` \(dist 1.0\) takes 50% of a training step in its `h`: 1 of 2 ms"):
        SlowPlugins().judge({("a", "h"): [0.5, 0.5, 0.5]}, 0.002, {"a": "dist 1.0"})


def test_what_takes_its_time_now_and_then_is_let_be() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SlowPlugins().judge({("a", "h"): [0.9] * 4 + [0.01] * 6}, 0.002, {})


def test_what_counts_as_slow_can_be_set() -> None:
    timings = {("a", "h"): [0.1] * 3}
    with pytest.warns(UserWarning, match="10%"):
        SlowPlugins(share=0.05).judge(timings, 0.002, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SlowPlugins(share=0.2).judge(timings, 0.002, {})


def test_steps_that_are_too_short_are_not_looked_at(tmp_path: Path) -> None:
    quick = Quick()
    options = {"slow_plugins": {"cost": 1.0, "min_step_ms": 1000}}
    assert told(trainer(tmp_path, None, callbacks=[Slow(), quick], plugins=options)) == []
    assert quick.num_watched == 0


def test_runs_that_are_too_short_for_what_a_sample_costs_are_not_looked_at(tmp_path: Path) -> None:
    quick = Quick()
    options = {"slow_plugins": {"cost": 1e-9, "min_step_ms": 0.1}}
    assert told(trainer(tmp_path, None, callbacks=[Slow(), quick], plugins=options)) == []
    assert quick.num_watched == 0


def test_a_run_that_ends_within_a_sample_leaves_no_clocks_behind(tmp_path: Path) -> None:
    quick = Quick()
    run = trainer(tmp_path, None, callbacks=[Slow(), quick], plugins={"slow_plugins": AT_ONCE})
    assert told(run, batches=45) == []
    assert quick.num_watched == 5
    assert not run.bus.is_watched


def test_a_run_without_plugins_in_its_steps_is_not_looked_at(tmp_path: Path) -> None:
    class Watching(Working):
        num_watched = 0

        def on_train_batch_end(self, *arguments: Any) -> None:
            time.sleep(0.001)
            self.num_watched += self.trainer.bus.is_watched

    model = Watching()
    assert told(trainer(tmp_path, None, plugins={"slow_plugins": AT_ONCE}), model=model) == []
    assert model.num_watched == 0


def test_it_is_there_by_default_and_can_be_switched_off(tmp_path: Path) -> None:
    assert "slow_plugins" in trainer(tmp_path, None).bus.plugins
    assert "slow_plugins" not in trainer(tmp_path, None, plugins=["no:slow_plugins"]).bus.plugins
    assert "slow_plugins" not in L.Trainer(barebones=True).bus.plugins


def test_it_leaves_the_field_to_a_profiler(tmp_path: Path) -> None:
    run = trainer(tmp_path, "simple", callbacks=[Slow()], plugins={"slow_plugins": AT_ONCE})
    assert told(run) == []
    assert len(run.profiler.recorded_durations["[Callback]Slow.on_train_batch_end"]) == 55
