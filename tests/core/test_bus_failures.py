"""What happens when a plugin fails: notes, policies, who is told, and which hook is running afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from torchbus import Bus
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.events import (
    BeforeBatchTransfer,
    ConfigureOptimizers,
    FitStart,
    OptimizerStep,
    PluginFailed,
    TrainBatchStart,
    TrainEnd,
    TrainStart,
)


def plugin(**functions: Callable[..., Any]) -> SimpleNamespace:
    """An object with these functions as hookimpls, but for those that are marked already."""
    marked = {name: one if hasattr(one, "torchbus_impl") else hookimpl(one) for name, one in functions.items()}
    return SimpleNamespace(**marked)


def saying(word: str, calls: list[str], hook: str = "on_train_start", **options: Any) -> SimpleNamespace:
    """A plugin that writes down its word when it is called."""

    def hear() -> None:
        calls.append(word)

    return plugin(**{hook: hookimpl(**options)(hear)})


def answering(value: Any, hook: str = "configure_optimizers", **options: Any) -> SimpleNamespace:
    return plugin(**{hook: hookimpl(**options)(lambda: value)})


def raising(error: BaseException, hook: str = "on_train_start") -> SimpleNamespace:
    def fail() -> None:
        raise error

    return plugin(**{hook: fail})


def notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


# ---- failures ---------------------------------------------------------------------------------------------------------


def test_an_exception_keeps_its_type_and_gets_a_note(bus: Bus) -> None:
    error = ValueError("wrong")
    bus.register(raising(error), "failing", origin="some-dist 1.2")
    with pytest.raises(ValueError, match="wrong") as caught:
        bus.emitter(TrainStart)(1, 2)
    assert caught.value is error
    assert notes(error) == ["Raised by plugin `failing` (some-dist 1.2), in its `on_train_start`."]


def test_a_note_without_a_distribution_names_the_plugin_alone(bus: Bus) -> None:
    error = ValueError("wrong")
    bus.register(raising(error), "failing")
    with pytest.raises(ValueError, match="wrong"):
        bus.emitter(TrainStart)(1, 2)
    assert notes(error) == ["Raised by plugin `failing`, in its `on_train_start`."]


def test_only_the_innermost_plugin_is_blamed(bus: Bus) -> None:
    error = ValueError("wrong")
    inner = bus.emitter(TrainEnd)
    bus.register(raising(error, "on_train_end"), "inner")
    bus.register(plugin(on_train_start=lambda: inner(1, 2)), "outer")
    with pytest.raises(ValueError, match="wrong"):
        bus.emitter(TrainStart)(1, 2)
    assert notes(error) == ["Raised by plugin `inner`, in its `on_train_end`."]


def test_failures_of_the_users_own_code_get_no_note(bus: Bus) -> None:
    error = ValueError("wrong")
    bus.register(raising(error), "module", is_user_code=True)
    with pytest.raises(ValueError, match="wrong"):
        bus.emitter(TrainStart)(1, 2)
    assert notes(error) == []


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_a_wrapper_is_not_blamed_for_the_users_error_that_passes_through_it(bus: Bus, style: str) -> None:
    @hookimpl(**{style: True})
    def passing() -> Any:
        return (yield)

    error = ValueError("wrong")
    bus.register(raising(error), "module", is_user_code=True)
    bus.register(plugin(on_train_start=passing), "passing", policy="quarantine")
    with pytest.raises(ValueError, match="wrong"):
        bus.emitter(TrainStart)(1, 2)
    assert notes(error) == []
    assert bus.plugins["passing"].strikes == 0


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_a_failing_wrapper_is_blamed_and_one_that_lets_an_error_pass_is_not(bus: Bus, style: str) -> None:
    @hookimpl(**{style: True})
    def passing() -> Any:
        return (yield)

    @hookimpl(**{style: True})
    def failing() -> Any:
        yield
        raise KeyError("after")

    bus.register(raising(ValueError("inside")), "inside")
    bus.register(plugin(on_train_start=passing), "passing")
    with pytest.raises(ValueError, match="inside") as caught:
        bus.emitter(TrainStart)(1, 2)
    assert notes(caught.value) == ["Raised by plugin `inside`, in its `on_train_start`."]
    bus.unregister("inside")
    bus.register(plugin(on_train_start=failing), "failing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KeyError) as failed:
            bus.emitter(TrainStart)(1, 2)
    assert notes(failed.value) == ["Raised by plugin `failing`, in its `on_train_start`."]


def test_a_wrapper_that_fails_before_its_yield_is_blamed(bus: Bus, calls: list[str]) -> None:
    @hookimpl(wrapper=True)
    def failing() -> Any:
        raise KeyError("before")
        yield

    bus.register(saying("inside", calls), "inside")
    bus.register(plugin(on_train_start=failing), "failing")
    with pytest.raises(KeyError) as caught:
        bus.emitter(TrainStart)(1, 2)
    assert notes(caught.value) == ["Raised by plugin `failing`, in its `on_train_start`."]
    assert calls == []


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
def test_a_wrapper_that_yields_never_or_twice_is_an_error_that_names_it(bus: Bus, style: str) -> None:
    @hookimpl(**{style: True})
    def never() -> Any:
        if False:
            yield

    @hookimpl(**{style: True})
    def twice() -> Any:
        yield
        yield

    emit = bus.emitter(TrainStart)
    bus.register(plugin(on_train_start=never), "lazy")
    with pytest.raises(RuntimeError, match="wrapper of plugin 'lazy' must yield once, and did not yield"):
        emit(1, 2)
    bus.unregister("lazy")
    bus.register(plugin(on_train_start=twice), "eager")
    with pytest.raises(RuntimeError, match="wrapper of plugin 'eager' must yield once, and has a second yield"):
        emit(1, 2)
    assert bus.scope.hook == ""


def test_with_policy_raise_the_first_failure_ends_the_call(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("after", calls), "after")
    bus.register(raising(ValueError("wrong")), "failing")
    bus.register(saying("before", calls), "before")
    for _ in range(4):
        with pytest.raises(ValueError, match="wrong"):
            bus.emitter(TrainStart)(1, 2)
    assert calls == ["before"] * 4
    assert "failing" in bus.plugins
    assert bus.quarantined == []


def fail_n_times(bus: Bus, times: int) -> list[str]:
    emit = bus.emitter(TrainStart)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            emit(1, 2)
    return [str(one.message) for one in caught if one.category is RuntimeWarning]


ERROR = ValueError("wrong")


@pytest.mark.parametrize("make", [lambda: ValueError("wrong"), lambda: ERROR], ids=["a new error", "the same error"])
def test_a_quarantined_plugin_is_switched_off_after_three_failures(
    bus: Bus, calls: list[str], make: Callable[[], Exception]
) -> None:
    def fail() -> None:
        calls.append("fails")
        raise make()

    bus.register(saying("goes on", calls), "after")
    bus.register(plugin(on_train_start=fail), "failing", policy="quarantine", origin="some-dist 1.2")
    said = fail_n_times(bus, 5)
    assert calls == ["fails", "goes on"] * 3 + ["goes on"] * 2
    assert list(bus.plugins) == ["after"]
    (record,) = bus.quarantined
    assert (record.name, record.strikes) == ("failing", 3)
    assert record.last_failure is not None
    hook, error = record.last_failure
    assert hook == "on_train_start"
    assert isinstance(error, ValueError)
    assert notes(error) == ["Raised by plugin `failing` (some-dist 1.2), in its `on_train_start`."]
    assert len(said) == 3
    assert said[0].startswith("Plugin `failing` (some-dist 1.2) failed in `on_train_start`: ValueError: wrong.")
    assert "failure 1 of 3" in said[0]
    assert "failure 2 of 3" in said[1]
    assert "switched off now; the run goes on without it" in said[2]


def test_the_policy_is_what_the_class_says_unless_registration_says_otherwise(bus: Bus) -> None:
    class Observing(Callback):
        on_failure = "quarantine"

    bus.register(Observing(), "by class")
    bus.register(Observing(), "by registration", policy="raise")
    bus.register(Callback(), "by default")
    assert [(name, one.policy) for name, one in bus.plugins.items()] == [
        ("by default", "raise"),
        ("by registration", "raise"),
        ("by class", "quarantine"),
    ]


def test_a_failing_provider_in_quarantine_passes_the_question_on(bus: Bus) -> None:
    bus.register(answering("default"), "default")
    bus.register(raising(ValueError("wrong"), "configure_optimizers"), "failing", policy="quarantine")
    with pytest.warns(RuntimeWarning, match="failure 1 of 3"):
        assert bus.emitter(ConfigureOptimizers)(1, 2) == "default"


def test_a_failing_transform_in_quarantine_leaves_the_value_as_it_is(bus: Bus) -> None:
    bus.register(plugin(on_before_batch_transfer=lambda batch: batch + 1), "adding")
    bus.register(raising(ValueError("wrong"), "on_before_batch_transfer"), "failing", policy="quarantine")
    with pytest.warns(RuntimeWarning, match="failure 1 of 3"):
        assert bus.emitter(BeforeBatchTransfer)(1, 2, 1, 0) == 2


@pytest.mark.parametrize("style", ["wrapper", "hookwrapper"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failing_wrapper_in_quarantine_does_not_end_the_run(
    bus: Bus, calls: list[str], style: str, when: str
) -> None:
    @hookimpl(**{style: True})
    def failing() -> Any:
        if when == "before":
            raise ValueError("wrong")
        yield
        raise ValueError("wrong")

    bus.register(answering("result", "on_train_start"), "inside")
    bus.register(plugin(on_train_start=failing), "failing", policy="quarantine")
    emit = bus.emitter(TrainStart)
    for _ in range(3):
        with pytest.warns(RuntimeWarning, match="failed in `on_train_start`"):
            assert emit(1, 2) == ["result"]
    assert emit(1, 2) == ["result"]
    assert [one.name for one in bus.quarantined] == ["failing"]
    assert bus.scope.hook == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)], ids=["interrupt", "exit"])
def test_interrupts_pass_through_quarantine_without_a_note(bus: Bus, error: BaseException) -> None:
    bus.register(raising(error), "failing", policy="quarantine")
    for _ in range(4):
        with pytest.raises(type(error)) as caught:
            bus.emitter(TrainStart)(1, 2)
        assert notes(caught.value) == []
    assert "failing" in bus.plugins


def test_the_others_are_told_of_each_failure_but_not_the_one_that_failed(bus: Bus) -> None:
    told: list[tuple[Any, ...]] = []

    class Failing(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            raise ValueError("wrong")

        @hookimpl
        def on_plugin_failed(self) -> None:
            told.append(("itself",))

    def on_plugin_failed(plugin: str, hook: str, exception: BaseException, quarantined: bool) -> None:
        told.append((plugin, hook, type(exception), quarantined))

    bus.register(plugin(on_plugin_failed=on_plugin_failed), "listening")
    bus.register(Failing(), "failing", policy="quarantine")
    fail_n_times(bus, 3)
    bus.register(raising(KeyError("other")), "raising")
    with pytest.raises(KeyError):
        bus.emitter(TrainStart)(1, 2)
    assert told == [
        ("failing", "on_train_start", ValueError, False),
        ("failing", "on_train_start", ValueError, False),
        ("failing", "on_train_start", ValueError, True),
        ("raising", "on_train_start", KeyError, False),
    ]


def test_a_subscriber_hears_of_failures_too(bus: Bus) -> None:
    heard: list[PluginFailed] = []
    bus.subscribe(PluginFailed, heard.append)
    bus.register(raising(ValueError("wrong")), "failing", policy="quarantine")
    fail_n_times(bus, 1)
    assert [(event.plugin, event.hook, event.quarantined) for event in heard] == [("failing", "on_train_start", False)]


def test_those_that_fail_while_they_are_told_of_a_failure_start_no_endless_telling(bus: Bus, calls: list[str]) -> None:
    def on_plugin_failed(plugin: str) -> None:
        calls.append(plugin)
        raise KeyError("again")

    for name in ("listening", "listening too"):
        bus.register(plugin(on_plugin_failed=on_plugin_failed), name, policy="quarantine")
    bus.register(raising(ValueError("wrong")), "failing", policy="quarantine")
    fail_n_times(bus, 1)
    assert calls == ["failing", "failing"]
    assert {one.strikes for one in bus.plugins.values()} == {1}


# ---- scope ------------------------------------------------------------------------------------------------------------


def test_scope_tells_which_hook_is_running_also_when_hooks_are_nested(bus: Bus) -> None:
    seen: list[str] = []
    inner = bus.emitter(TrainBatchStart)
    bus.register(plugin(on_train_batch_start=lambda: seen.append(bus.scope.hook)), "inner")

    def outer() -> None:
        seen.append(bus.scope.hook)
        inner(1, 2, None, 0)
        seen.append(bus.scope.hook)

    bus.register(plugin(on_train_start=outer), "outer")
    bus.emitter(TrainStart)(1, 2)
    assert seen == ["on_train_start", "on_train_batch_start", "on_train_start"]
    assert bus.scope.hook == ""


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("policy", ["raise", "quarantine"])
def test_scope_is_restored_after_a_failure(bus: Bus, policy: Any, wrapped: bool) -> None:
    seen: list[str] = []
    inner = bus.emitter(OptimizerStep)
    bus.register(raising(ValueError("wrong"), "optimizer_step"), "failing", policy=policy)

    @hookimpl(wrapper=True)
    def wrap() -> Any:
        return (yield)

    if wrapped:
        bus.register(plugin(optimizer_step=wrap), "wrapping")

    def outer() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                inner(1, 2, 0, 0, None, None)
            except ValueError:
                seen.append("caught")
        seen.append(bus.scope.hook)

    bus.register(plugin(on_train_start=outer), "outer")
    bus.emitter(TrainStart)(1, 2)
    assert seen == [*(["caught"] if policy == "raise" else []), "on_train_start"]
    assert bus.scope.hook == ""


def test_implementations_after_a_quarantined_failure_see_their_own_hook(bus: Bus) -> None:
    seen: list[str] = []
    bus.register(plugin(on_train_start=lambda: seen.append(bus.scope.hook)), "after")
    bus.register(raising(ValueError("wrong")), "failing", policy="quarantine")
    fail_n_times(bus, 1)
    assert seen == ["on_train_start"]
    assert bus.scope.hook == ""


@pytest.mark.parametrize("wrapped", [False, True])
def test_scope_is_restored_when_whoever_is_told_of_a_failure_raises(bus: Bus, wrapped: bool) -> None:
    @hookimpl(wrapper=True)
    def failing() -> Any:
        yield
        raise ValueError("wrong")

    bus.register(plugin(on_train_start=failing) if wrapped else raising(ValueError("wrong")), "failing")
    bus.register(raising(KeyError("told"), "on_plugin_failed"), "listening")
    with pytest.raises(KeyError, match="told"):
        bus.emitter(TrainStart)(1, 2)
    assert bus.scope.hook == ""


def test_a_provider_leaves_its_scope_when_it_stops_early(bus: Bus) -> None:
    bus.register(answering("found"), "a")
    bus.emitter(ConfigureOptimizers)(1, 2)
    assert bus.scope.hook == ""


def test_a_failing_subscriber_leaves_the_scope_as_it_was(bus: Bus) -> None:
    def fail(event: FitStart) -> None:
        raise ValueError("subscriber")

    bus.subscribe(FitStart, fail)
    with pytest.raises(ValueError, match="subscriber"):
        bus.emitter(FitStart)(1, 2)
    assert bus.scope.hook == ""


def test_an_exception_of_a_handler_says_whose_it_is(bus: Bus) -> None:
    def show(event: FitStart) -> None:
        raise ValueError("no luck")

    bus.subscribe(FitStart, show)
    with pytest.raises(ValueError) as caught:
        bus.emitter(FitStart)(1, 2)
    assert caught.value.__notes__ == ["Raised by `show`, which hears `FitStart`."]
