"""Measuring plugins: clocks are compiled into the chains while somebody asks for them, and are gone without a trace."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
from torchbus import Bus
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.events import ConfigureOptimizers, OptimizerStep, TrainBatchEnd, TrainEnd, TrainStart


class Noting:
    """A watch that writes down when calls begin and end."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def begin(self) -> None:
        self.notes.append(f"begin {self.name}")

    def end(self) -> None:
        self.notes.append(f"end {self.name}")


def noting(notes: list[str]) -> Callable[[Any, str], Noting]:
    return lambda plugin, hook: Noting(f"{plugin.name}.{hook}", notes)


def saying(word: str, notes: list[str], hook: str = "on_train_start", **options: Any) -> SimpleNamespace:
    def hear() -> None:
        notes.append(word)

    return SimpleNamespace(**{hook: hookimpl(**options)(hear)})


def body(function: Any) -> tuple[Any, ...]:
    assert isinstance(function, FunctionType)
    code = function.__code__
    return code.co_code, code.co_consts, code.co_names, code.co_varnames, function.__defaults__


def test_each_call_is_told_before_and_after(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("second", calls), "second")
    bus.register(saying("first", calls), "first")
    emit = bus.emitter(TrainStart)
    bus.watch(noting(calls))
    emit(None, None)
    assert calls == [
        "begin first.on_train_start", "first", "end first.on_train_start",
        "begin second.on_train_start", "second", "end second.on_train_start",
    ]  # fmt: skip


def test_nothing_of_it_stays(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("heard", calls), "plugin")
    emit = bus.emitter(TrainStart)
    code, consts, names, variables, bound = body(emit)
    bus.watch(noting(calls))
    assert bus.is_watched
    assert body(emit)[0] != code
    bus.watch(None)
    assert not bus.is_watched
    assert body(emit)[:4] == (code, consts, names, variables)
    assert len(body(emit)[4]) == len(bound)
    emit(None, None)
    assert calls == ["heard"]


def test_what_the_watcher_passes_over_is_compiled_as_ever(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("heard", calls), "plugin")
    emit = bus.emitter(TrainStart)
    before = body(emit)[:4]
    bus.watch(lambda plugin, hook: None)
    assert body(emit)[:4] == before


def test_only_the_hooks_that_are_named_are_compiled_anew(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("start", calls), "starting")
    bus.register(saying("end", calls, "on_train_end"), "ending")
    start, end = bus.emitter(TrainStart), bus.emitter(TrainEnd)
    before = body(start)
    bus.watch(noting(calls), ["on_train_end"])
    assert body(start) == before
    end(None, None)
    assert calls == ["begin ending.on_train_end", "end", "end ending.on_train_end"]


def test_plugins_that_come_later_are_measured_too(bus: Bus, calls: list[str]) -> None:
    emit = bus.emitter(TrainStart)
    bus.watch(noting(calls))
    bus.register(saying("late", calls), "late")
    emit(None, None)
    assert calls == ["begin late.on_train_start", "late", "end late.on_train_start"]


@pytest.mark.parametrize("policy", ["raise", "quarantine"])
def test_the_end_of_a_call_that_raises_is_told(bus: Bus, calls: list[str], policy: Any) -> None:
    class Failing(Callback):
        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            raise ValueError("no connection")

    bus.register(Failing(), "failing", policy=policy)
    bus.watch(noting(calls))
    expected = pytest.raises(ValueError) if policy == "raise" else pytest.warns(RuntimeWarning)
    with expected:
        bus.emitter(TrainEnd)(None, None)
    assert calls == ["begin failing.on_train_end", "end failing.on_train_end"]


def test_the_first_answer_of_a_provider_still_counts(bus: Bus, calls: list[str]) -> None:
    bus.register(SimpleNamespace(configure_optimizers=hookimpl(lambda: "later")), "later")
    bus.register(SimpleNamespace(configure_optimizers=hookimpl(lambda: "first")), "first")
    bus.watch(noting(calls))
    assert bus.emitter(ConfigureOptimizers)(None, None) == "first"
    assert calls == ["begin first.configure_optimizers", "end first.configure_optimizers"]


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_each_half_of_a_wrapper_is_told(bus: Bus, calls: list[str], style: str) -> None:
    def on_train_batch_end() -> Any:
        calls.append("before")
        result = yield
        calls.append("after")
        return result

    bus.register(SimpleNamespace(on_train_batch_end=hookimpl(**{style: True})(on_train_batch_end)), "around")
    bus.register(saying("inside", calls, "on_train_batch_end"), "inner")
    bus.watch(noting(calls))
    bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5)
    begin, end = "begin around.on_train_batch_end", "end around.on_train_batch_end"
    inner = ["begin inner.on_train_batch_end", "inside", "end inner.on_train_batch_end"]
    assert calls == [begin, "before", end, *inner, begin, "after", end]


def test_what_an_override_reaches_through_super_is_part_of_the_override(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("default", calls, "optimizer_step", trylast=True), "torchbus", is_user_code=True)
    bus.register(saying("plugin", calls, "optimizer_step"), "plugin")
    bus.watch(noting(calls))
    bus.emitter_without("lightning_module", OptimizerStep)(1, 2, 3, 4, 5, 6)
    assert calls == ["begin plugin.optimizer_step", "plugin", "end plugin.optimizer_step", "default"]
