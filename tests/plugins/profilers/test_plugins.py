"""The profiler of plugins."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus.profilers import PluginProfiler
from torchbus_hookspecs import hookimpl
from torchbus_hookspecs.profiler import Action
from torchbus_profilers.plugins import Usage

from .runs import Full, Line, loader, trainer


class Slow(L.Callback):
    def on_train_batch_end(self, *arguments: Any) -> None:
        time.sleep(0.003)


class Hooks:
    @hookimpl
    def on_train_batch_end(self) -> None:
        time.sleep(0.001)

    @hookimpl(wrapper=True)
    def on_train_batch_start(self) -> Any:
        time.sleep(0.001)
        return (yield)


def usage(profiler: PluginProfiler, plugin: str, hook: str) -> Usage:
    (found,) = (one for one in profiler.usages.values() if (one.action.plugin, one.action.hook) == (plugin, hook))
    return found


def test_time_and_calls_of_each_plugin_and_hook_are_told(tmp_path: Path) -> None:
    profiler = PluginProfiler(dirpath=tmp_path, filename="perf")
    run = trainer(tmp_path, profiler, callbacks=[Slow()], plugins=[{"hooks": Hooks()}, {"timer": {"duration": "1h"}}])
    run.fit(Full(), loader(), loader())
    slow, hooks = usage(profiler, "slow", "on_train_batch_end"), usage(profiler, "hooks", "on_train_batch_end")
    assert (slow.num_calls, hooks.num_calls) == (4, 4)
    assert slow.total_s >= 4 * 0.003
    assert slow.total_s > hooks.total_s >= 4 * 0.001
    assert slow.longest_s >= slow.total_s / 4
    assert usage(profiler, "timer", "on_train_batch_end").action.origin == "torchbus-stopping 0.1.0"
    wrapper = usage(profiler, "hooks", "on_train_batch_start")
    assert wrapper.num_calls == 8, "each half of a wrapper counts"
    assert wrapper.own_s >= 4 * 0.001


def test_the_report_begins_with_the_plugin_that_takes_most(tmp_path: Path) -> None:
    profiler = PluginProfiler(dirpath=tmp_path, filename="perf", row_limit=2)
    trainer(tmp_path, profiler, callbacks=[Slow(), Waiting()]).fit(Line(), loader())
    head, *lines = (tmp_path / "fit-perf.txt").read_text().splitlines()
    assert head == "FIT Profiler Report"
    tables = [line.split() for line in lines if "─" not in line]
    assert tables[0] == ["plugin", "distribution", "calls", "own", "time", "(s)", "share"]
    assert tables[1][:2] == ["waiting", "4"]
    second = tables.index(["plugin", "hook", "calls", "mean", "(ms)", "longest", "(ms)", "own", "time", "(s)", "share"])
    assert tables[second + 1][:3] == ["waiting", "on_train_batch_start", "4"]
    assert tables[second + 2][:3] == ["slow", "on_train_batch_end", "4"]
    assert " ".join(tables[second + 3]).endswith("more took less; row_limit=-1 shows all.")
    shares = [float(row[-1].removesuffix("%")) for row in tables[1:second]]
    assert sum(shares) == pytest.approx(100, abs=1)


class Waiting(L.Callback):
    def on_train_batch_start(self, *arguments: Any) -> None:
        time.sleep(0.012)


def test_what_a_hook_calls_in_turn_counts_for_whom_it_calls(tmp_path: Path) -> None:
    class Saving(L.Callback):
        def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
            trainer.save_checkpoint(tmp_path / "saved.ckpt")

        def on_save_checkpoint(self, *arguments: Any) -> None:
            time.sleep(0.002)

    profiler = PluginProfiler(dirpath=tmp_path)
    trainer(tmp_path, profiler, callbacks=[Saving()]).fit(Line(), loader())
    outer, inner = usage(profiler, "saving", "on_train_batch_end"), usage(profiler, "saving", "on_save_checkpoint")
    saving = profiler.usages[Action("save_checkpoint")]
    assert outer.total_s >= saving.total_s >= inner.total_s >= 4 * 0.002
    assert outer.own_s == pytest.approx(outer.total_s - saving.total_s)
    assert saving.own_s == pytest.approx(saving.total_s - inner.total_s)


def test_every_call_is_in_the_trace_in_the_row_of_its_plugin(tmp_path: Path) -> None:
    profiler = PluginProfiler(dirpath=tmp_path)
    trainer(tmp_path, profiler, callbacks=[Slow()]).fit(Line(), loader())
    trace = json.loads((tmp_path / "fit-plugins.trace.json").read_text())
    rows = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    calls = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    slow = [event for event in calls if event["name"] == "on_train_batch_end"]
    assert [rows[event["tid"]] for event in slow] == ["slow"] * 4
    assert all(event["dur"] >= 3000 for event in slow), "microseconds"
    assert {"(loop)", "(script)", "lightning_module", "slow"} <= set(rows.values())
    (epoch,) = (event for event in calls if event["name"] == "run_training_epoch")
    assert all(epoch["ts"] <= one["ts"] and one["ts"] + one["dur"] <= epoch["ts"] + epoch["dur"] for one in slow)
    assert [event["ts"] for event in calls] == sorted(event["ts"] for event in calls)


def test_a_long_run_keeps_the_first_calls_only_and_says_so(tmp_path: Path) -> None:
    profiler = PluginProfiler(dirpath=tmp_path, filename="perf", max_calls_in_trace=5)
    trainer(tmp_path, profiler).fit(Line(), loader())
    trace = json.loads((tmp_path / "fit-perf.trace.json").read_text())
    assert len([event for event in trace["traceEvents"] if event["ph"] == "X"]) == 5
    assert "The trace has the first 5 calls;" in (tmp_path / "fit-perf.txt").read_text()


def test_the_trace_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer(tmp_path, {"plugins": {"trace": False}}).fit(Line(), loader())
    assert list(tmp_path.iterdir()) == []
    assert "(outside of all)" in capsys.readouterr().out


def test_each_run_is_measured_by_itself(tmp_path: Path) -> None:
    profiler = PluginProfiler(dirpath=tmp_path)
    for _ in range(2):
        trainer(tmp_path, profiler, callbacks=[Slow()]).fit(Line(), loader())
        assert usage(profiler, "slow", "on_train_batch_end").num_calls == 4


def test_a_plugin_that_raises_is_measured_and_told_as_ever(tmp_path: Path) -> None:
    class Fragile(L.Callback):
        on_failure = "quarantine"

        def on_train_batch_end(self, *arguments: Any) -> None:
            raise ValueError("no connection")

    profiler = PluginProfiler(dirpath=tmp_path)
    run = trainer(tmp_path, profiler, callbacks=[Fragile()])
    with pytest.warns(RuntimeWarning, match="no connection"):
        run.fit(Line(), loader())
    assert usage(profiler, "fragile", "on_train_batch_end").num_calls == 3
    assert [one.name for one in run.bus.quarantined] == ["fragile"]


def test_stopping_what_was_not_started_is_refused() -> None:
    profiler = PluginProfiler()
    with pytest.raises(ValueError, match=r"Attempting to stop recording an action \(a\)"):
        profiler.stop("a")
    profiler.start("a")
    profiler.stop("a")
    assert profiler.usages[Action("a", plugin="(script)")].num_calls == 1
