"""The bus: who is on it, who is called when, and what emitters and subscribers get."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torchbus import Bus
from torchbus._adapters import Shape
from torchbus._errors import PluginOrderError, PluginValidationError
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.events import (
    BeforeBatchTransfer,
    ConfigureOptimizers,
    Event,
    LogMetrics,
    TrainBatchEnd,
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


# ---- registering and order --------------------------------------------------------------------------------------------


def test_emitter_without_listeners_returns_what_its_kind_says(bus: Bus) -> None:
    assert bus.emitter(TrainStart)(1, 2) == []
    assert bus.emitter(ConfigureOptimizers)(1, 2) is None
    assert bus.emitter(BeforeBatchTransfer)(1, 2, "batch", 0) == "batch"


def test_a_later_plugin_runs_before_an_earlier_one_as_in_pluggy(bus: Bus, calls: list[str]) -> None:
    for word in "abc":
        bus.register(saying(word, calls), word)
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["c", "b", "a"]
    assert list(bus.plugins) == ["c", "b", "a"]


def test_arrange_sets_the_order_and_leaves_the_others_behind(bus: Bus, calls: list[str]) -> None:
    for word in "abcd":
        bus.register(saying(word, calls), word)
    emit = bus.emitter(TrainStart)
    bus.arrange(["b", "absent", "a", "b"])
    emit(1, 2)
    assert calls == ["b", "a", "d", "c"]
    assert list(bus.plugins) == ["b", "a", "d", "c"]
    bus.unregister("b")
    assert list(bus.plugins) == ["a", "d", "c"]


def test_tryfirst_and_trylast_hold_whatever_the_arrangement(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("last", calls, trylast=True), "last")
    bus.register(saying("first", calls, tryfirst=True), "first")
    bus.register(saying("middle", calls), "middle")
    emit = bus.emitter(TrainStart)
    emit(1, 2)
    bus.arrange(["last", "middle", "first"])
    emit(1, 2)
    assert calls == ["first", "middle", "last"] * 2


def test_the_later_of_two_with_trylast_runs_last_as_in_pluggy(bus: Bus, calls: list[str]) -> None:
    for word in "abc":
        bus.register(saying(word, calls, trylast=True), word)
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["a", "b", "c"]


def test_the_later_of_two_with_tryfirst_runs_first_as_in_pluggy(bus: Bus, calls: list[str]) -> None:
    for word in "abc":
        bus.register(saying(word, calls, tryfirst=True), word)
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["c", "b", "a"]


def test_arranged_plugins_keep_their_order_among_those_with_trylast(bus: Bus, calls: list[str]) -> None:
    for word in "abc":
        bus.register(saying(word, calls, trylast=True), word)
    bus.arrange(["c", "a", "b"])
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["c", "a", "b"]


def test_before_and_after_move_a_plugin_past_the_one_it_names(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("a", calls, after=["c"]), "a")
    bus.register(saying("b", calls), "b")
    bus.register(saying("c", calls, before=("b",)), "c")
    bus.arrange(["a", "b", "c"])
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["c", "a", "b"]


def test_before_beats_tryfirst_of_the_one_it_names(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("eager", calls, tryfirst=True), "eager")
    bus.register(saying("earlier", calls, before=("eager",)), "earlier")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["earlier", "eager"]


def test_absent_names_in_before_and_after_are_ignored(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("a", calls, before=("nobody",), after=("no one",)), "a")
    bus.register(saying("b", calls), "b")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["b", "a"]


def test_before_on_a_callback_class_holds_in_all_its_hooks(bus: Bus, calls: list[str]) -> None:
    class Early(Callback):
        before = ("late",)

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            calls.append("early starts")

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            calls.append("early ends")

    bus.register(Early(), "early")
    late = plugin(on_train_start=lambda: calls.append("late starts"), on_train_end=lambda: calls.append("late ends"))
    bus.register(late, "late")
    bus.emitter(TrainStart)(1, 2)
    bus.emitter(TrainEnd)(1, 2)
    assert calls == ["early starts", "late starts", "early ends", "late ends"]


def test_a_name_where_callbacks_need_a_tuple_of_names_is_refused(bus: Bus) -> None:
    class Early(Callback):
        before = "late"

        def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...

    with pytest.raises(PluginValidationError, match=r"early: `before` is 'late'.*\('late',\)"):
        bus.register(Early(), "early")
    assert bus.plugins == {}


def test_a_circle_is_refused_and_its_path_is_named(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("a", calls, before=("b",)), "a")
    bus.register(saying("b", calls, before=("c",)), "b")
    emit = bus.emitter(TrainStart)
    with pytest.raises(PluginOrderError) as caught:
        bus.register(saying("c", calls, before=("a",)), "c")
    rotations = ["`a` before `b` before `c` before `a`", "`b` before `c` before `a` before `b`"]
    rotations.append("`c` before `a` before `b` before `c`")
    assert any(path in str(caught.value) for path in rotations), caught.value
    assert list(bus.plugins) == ["b", "a"]
    emit(1, 2)
    assert calls == ["a", "b"]


def test_a_circle_is_refused_at_registration_also_when_nobody_emits_yet(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("a", calls, before=("b",)), "a")
    with pytest.raises(PluginOrderError):
        bus.register(saying("b", calls, before=("a",)), "b")
    assert list(bus.plugins) == ["a"]


def test_order_can_be_printed(bus: Bus, calls: list[str]) -> None:
    @hookimpl(wrapper=True)
    def wrap() -> Any:
        return (yield)

    inner = saying("inner", calls)
    bus.register(inner, "inner")
    bus.register(plugin(on_train_start=wrap), "wrapping")
    assert bus.implementations("on_train_start") == [("wrapping", wrap), ("inner", inner.on_train_start)]


def test_is_heard_tells_of_implementations_and_subscriptions(bus: Bus, calls: list[str]) -> None:
    assert not bus.is_heard(TrainStart)
    bus.register(saying("a", calls), "a")
    assert bus.is_heard(TrainStart)
    assert not bus.is_heard(TrainEnd)
    subscription = bus.subscribe(TrainEnd, print)
    assert bus.is_heard(TrainEnd)
    subscription.cancel()
    assert not bus.is_heard(TrainEnd)


def test_a_wrapper_alone_is_heard(bus: Bus) -> None:
    @hookimpl(wrapper=True)
    def wrap() -> Any:
        return (yield)

    bus.register(plugin(on_train_start=wrap), "wrapping")
    assert bus.is_heard(TrainStart)


def test_plugins_can_be_unregistered_by_name_or_as_objects(bus: Bus, calls: list[str]) -> None:
    a, b = saying("a", calls), saying("b", calls)
    bus.register(a, "a")
    bus.register(b, "b")
    assert bus.name_of(a) == "a"
    bus.unregister("a")
    bus.unregister(b)
    bus.emitter(TrainStart)(1, 2)
    assert calls == []
    assert bus.name_of(a) is None
    with pytest.raises(KeyError, match="no plugin 'a' is registered"):
        bus.unregister("a")


def test_default_names_are_those_of_modules_and_classes(bus: Bus) -> None:
    class Hearing:
        @hookimpl
        def on_train_start(self) -> None: ...

    module = ModuleType("my_hooks")
    module.on_train_start = hookimpl(lambda: None)
    assert bus.register(Hearing()) == "Hearing"
    assert bus.register(module) == "my_hooks"


def test_plugins_that_equal_each_other_are_two_plugins(bus: Bus, calls: list[str]) -> None:
    class Equal(Callback):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            calls.append("heard")

    bus.register(Equal(), "a")
    bus.register(Equal(), "b")
    emit = bus.emitter(TrainStart)
    emit(1, 2)
    bus.unregister("a")
    emit(1, 2)
    assert calls == ["heard"] * 3
    assert list(bus.plugins) == ["b"]


def test_equal_callbacks_without_hooks_are_two_plugins(bus: Bus) -> None:
    @dataclass
    class Settings(Callback):
        count: int = 1

    first, second = Settings(), Settings()
    assert first == second
    bus.register(first, "a")
    bus.register(second, "b")
    bus.unregister(first)
    assert list(bus.plugins) == ["b"]


def test_equal_objects_of_hookimpls_are_two_plugins(bus: Bus, calls: list[str]) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None

        @hookimpl
        def on_train_start(self) -> None:
            calls.append("heard")

    bus.register(Equal(), "a")
    bus.register(Equal(), "b")
    bus.unregister("a")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["heard"]


def test_changes_are_counted_for_those_who_decide_by_who_listens(bus: Bus, calls: list[str]) -> None:
    def is_change(act: Callable[[], Any]) -> bool:
        before = bus.changes
        act()
        return bus.changes > before

    assert is_change(lambda: bus.register(saying("a", calls), "a"))
    assert is_change(lambda: bus.register(saying("b", calls), "b"))
    assert is_change(lambda: bus.arrange(["a", "b"]))
    assert not is_change(lambda: bus.arrange(["a", "b"]))
    assert not is_change(lambda: bus.emitter(TrainStart)(1, 2))
    subscription = bus.subscribe(TrainStart, print)
    assert is_change(subscription.cancel)
    assert is_change(lambda: bus.subscribe(TrainStart, print))
    assert is_change(lambda: bus.unregister("a"))


# ---- kinds of hook ----------------------------------------------------------------------------------------------------


def test_a_broadcast_gathers_results_that_are_not_none(bus: Bus) -> None:
    for name, value in (("a", 1), ("b", None), ("c", 0)):
        bus.register(answering(value, "on_train_start"), name)
    assert bus.emitter(TrainStart)(1, 2) == [0, 1]


def test_a_provider_stops_at_the_first_result_that_is_not_none(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("never", calls, "configure_optimizers"), "default")
    bus.register(answering(0), "plugin")
    bus.register(saying("asked", calls, "configure_optimizers"), "silent")
    assert bus.emitter(ConfigureOptimizers)(1, 2) == 0
    assert calls == ["asked"]


class Base:
    """Stands for the class that users derive their module from."""

    def configure_optimizers(self) -> Any: ...
    def on_train_start(self) -> Any: ...


USER_SHAPE = Shape(Base, ("configure_optimizers", "on_train_start"), leading=False, final=True)


class Silent(Base):
    def configure_optimizers(self) -> None:
        return None


class Talking(Base):
    def configure_optimizers(self) -> str:
        return "the user's"


def test_the_users_override_wins_even_over_plugins_that_try_first(bus: Bus) -> None:
    bus.register(answering("a plugin's", tryfirst=True), "plugin")
    bus.register(Talking(), "module", shape=USER_SHAPE, is_user_code=True)
    bus.arrange(["plugin", "module"])
    assert bus.emitter(ConfigureOptimizers)(1, 2) == "the user's"


def test_none_from_the_users_override_counts_as_its_answer(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("never", calls, "configure_optimizers", tryfirst=True), "plugin")
    bus.register(Silent(), "module", shape=USER_SHAPE, is_user_code=True)
    assert bus.emitter(ConfigureOptimizers)(1, 2) is None
    assert calls == []


def test_the_users_module_is_no_provider_of_what_it_does_not_override(bus: Bus) -> None:
    bus.register(answering("a plugin's"), "plugin")
    bus.register(Base(), "module", shape=USER_SHAPE, is_user_code=True)
    assert bus.emitter(ConfigureOptimizers)(1, 2) == "a plugin's"


def test_the_users_override_has_no_first_place_in_broadcasts(bus: Bus, calls: list[str]) -> None:
    class Hearing(Base):
        def on_train_start(self) -> None:
            calls.append("module")

    bus.register(Hearing(), "module", shape=USER_SHAPE, is_user_code=True)
    bus.register(saying("plugin", calls), "plugin")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["plugin", "module"]


def test_what_super_reaches_leaves_the_users_override_out(bus: Bus) -> None:
    bus.register(answering("default"), "torchbus")
    bus.register(Talking(), "module", shape=USER_SHAPE, is_user_code=True)
    without = bus.emitter_without("module", ConfigureOptimizers)
    assert without(1, 2) == "default"
    bus.register(answering("a plugin's"), "plugin")
    assert without(1, 2) == "a plugin's"
    assert bus.emitter(ConfigureOptimizers)(1, 2) == "the user's"


def test_a_wrapper_surrounds_the_users_override(bus: Bus) -> None:
    @hookimpl(wrapper=True)
    def wrap() -> Any:
        result = yield
        return f"wrapped {result}"

    bus.register(plugin(configure_optimizers=wrap), "wrapping")
    bus.register(Talking(), "module", shape=USER_SHAPE, is_user_code=True)
    assert bus.emitter(ConfigureOptimizers)(1, 2) == "wrapped the user's"


def test_a_transform_passes_the_value_from_one_to_the_next(bus: Bus) -> None:
    bus.register(plugin(on_before_batch_transfer=lambda batch: [*batch, "b"]), "b")
    bus.register(plugin(on_before_batch_transfer=lambda batch: None), "leaves it")
    bus.register(plugin(on_before_batch_transfer=lambda batch, dataloader_idx: [*batch, dataloader_idx]), "a")
    assert bus.emitter(BeforeBatchTransfer)(1, 2, ["batch"], 7) == ["batch", 7, "b"]


def test_a_wrapper_sees_the_transformed_value(bus: Bus) -> None:
    seen = []

    @hookimpl(wrapper=True)
    def wrap(batch: Any) -> Any:
        seen.append(batch)
        result = yield
        seen.append(result)
        return result + 100

    bus.register(plugin(on_before_batch_transfer=lambda batch: batch + 10), "adding")
    bus.register(plugin(on_before_batch_transfer=wrap), "wrapping")
    assert bus.emitter(BeforeBatchTransfer)(1, 2, 1, 0) == 111
    assert seen == [1, 11]


# ---- emitters ---------------------------------------------------------------------------------------------------------


def test_an_emitter_has_the_signature_of_its_event(bus: Bus) -> None:
    emit = bus.emitter(TrainBatchEnd)
    assert list(inspect.signature(emit).parameters) == list(inspect.signature(TrainBatchEnd).parameters)
    assert emit is bus.emitter(TrainBatchEnd)
    with pytest.raises(TypeError):
        emit(1, 2)


def test_an_emitter_takes_its_arguments_by_keyword_too(bus: Bus) -> None:
    seen = []
    bus.register(plugin(on_train_batch_start=lambda batch_idx, batch: seen.append((batch_idx, batch))), "a")
    bus.emitter(TrainBatchStart)(trainer=1, batch_idx=4, pl_module=2, batch="batch")
    assert seen == [(4, "batch")]


def test_an_emitter_stays_valid_when_plugins_come_and_go(bus: Bus, calls: list[str]) -> None:
    emit = bus.emitter(TrainStart)
    emit(1, 2)
    bus.register(saying("a", calls), "a")
    emit(1, 2)
    bus.register(saying("b", calls), "b")
    emit(1, 2)
    bus.unregister("a")
    emit(1, 2)
    bus.unregister("b")
    emit(1, 2)
    assert calls == ["a", "b", "a", "b"]
    assert emit(1, 2) == []


def test_a_plugin_may_leave_while_its_hook_runs(bus: Bus, calls: list[str]) -> None:
    emit = bus.emitter(TrainStart)

    def leave() -> None:
        calls.append("leaves")
        bus.unregister("other")
        bus.unregister("leaving")

    bus.register(saying("other", calls), "other")
    bus.register(plugin(on_train_start=leave), "leaving")
    emit(1, 2)
    assert calls == ["leaves", "other"], "a call under way goes on with whom it began"
    emit(1, 2)
    assert calls == ["leaves", "other"]


def test_a_plugin_may_come_while_its_hook_runs(bus: Bus, calls: list[str]) -> None:
    emit = bus.emitter(TrainStart)

    def bring() -> None:
        if "new" not in bus.plugins:
            bus.register(saying("new", calls), "new")

    bus.register(plugin(on_train_start=bring), "bringing")
    emit(1, 2)
    assert calls == []
    emit(1, 2)
    assert calls == ["new"]


def test_an_existing_event_can_be_emitted(bus: Bus) -> None:
    bus.register(plugin(on_train_batch_start=lambda batch, batch_idx: (batch, batch_idx)), "a")
    assert bus.emit(TrainBatchStart("trainer", "module", "batch", 3)) == [("batch", 3)]


@pytest.mark.parametrize("wrong", [Event, object, "on_train_start", TrainStart(1, 2)])
def test_only_event_classes_of_hooks_have_emitters(bus: Bus, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^emitter\(\) takes an event class of "):
        bus.emitter(wrong)


def test_implementations_for_rank_zero_run_on_rank_zero_only(calls: list[str]) -> None:
    class OnZero(Callback):
        @hookimpl(ranks="zero")
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            calls.append("a callback's")

    for rank in (0, 1):
        bus = Bus(rank=rank)
        bus.register(saying(f"zero on {rank}", calls, ranks="zero"), "zero")
        bus.register(saying(f"all on {rank}", calls), "all")
        bus.register(OnZero(), "callback")
        bus.emitter(TrainStart)(1, 2)
    assert calls == ["a callback's", "all on 0", "zero on 0", "all on 1"]


# ---- subscriptions ----------------------------------------------------------------------------------------------------


def test_a_subscriber_hears_the_event_before_the_implementations(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("implementation", calls), "a")
    heard: list[TrainStart] = []

    def hear(event: TrainStart) -> None:
        heard.append(event)
        calls.append("subscriber")

    bus.subscribe(TrainStart, hear)
    bus.emitter(TrainStart)("trainer", "module")
    assert heard == [TrainStart("trainer", "module")]
    assert calls == ["subscriber", "implementation"]


def test_a_subscriber_to_event_hears_all_of_them(bus: Bus) -> None:
    emit = bus.emitter(TrainStart)
    heard: list[Event] = []
    bus.subscribe(Event, heard.append)
    emit(1, 2)
    bus.emitter(LogMetrics)({"loss": 1.0}, 3)
    assert [type(event) for event in heard] == [TrainStart, LogMetrics]


def test_a_subscriber_hears_hooks_that_are_wrapped(bus: Bus) -> None:
    @hookimpl(wrapper=True)
    def wrap() -> Any:
        return (yield)

    heard: list[Event] = []
    bus.register(plugin(on_train_start=wrap), "wrapping")
    bus.subscribe(TrainStart, heard.append)
    bus.emitter(TrainStart)(1, 2)
    assert heard == [TrainStart(1, 2)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"every": 2}, [2, 4, 6]),
        ({"once": 3}, [3]),
        ({"before": 3}, [1, 2]),
        ({"after": 4}, [5, 6]),
        ({"every": 2, "after": 2, "before": 6}, [4]),
    ],
)
def test_filters_choose_which_events_are_heard(bus: Bus, filters: dict[str, int], expected: list[int]) -> None:
    heard: list[int] = []
    bus.subscribe(TrainBatchStart, lambda event: heard.append(event.batch_idx), **filters)
    emit = bus.emitter(TrainBatchStart)
    for batch_idx in range(1, 7):
        emit(1, 2, None, batch_idx)
    assert heard == expected


@pytest.mark.parametrize("option", ["every", "once", "before"])
def test_filters_that_could_never_be_met_are_refused(bus: Bus, option: str) -> None:
    with pytest.raises(ValueError, match=rf"subscribe\(TrainStart, {option}=0\): it must be at least 1"):
        bus.subscribe(TrainStart, print, **{option: 0})


def test_only_event_classes_can_be_subscribed_to(bus: Bus) -> None:
    with pytest.raises(TypeError, match="takes an event class"):
        bus.subscribe("on_train_start", print)


def test_a_cancelled_subscription_hears_nothing_more(bus: Bus) -> None:
    heard: list[Event] = []
    subscription = bus.subscribe(TrainStart, heard.append)
    other = bus.subscribe(TrainStart, lambda event: subscription.cancel())
    emit = bus.emitter(TrainStart)
    emit(1, 2)
    emit(1, 2)
    assert len(heard) == 1
    assert subscription.count == 1
    assert other.count == 2
    subscription.cancel()  # a second time does no harm


def test_who_is_cancelled_by_another_does_not_hear_the_event_under_way(bus: Bus) -> None:
    heard: list[Event] = []
    bus.subscribe(TrainStart, lambda event: second.cancel())
    second = bus.subscribe(TrainStart, heard.append)
    bus.emitter(TrainStart)(1, 2)
    assert heard == []


def test_an_event_is_built_once_for_all_subscribers_and_not_at_all_without(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    original = TrainStart.__init__

    def counted(self: TrainStart, *values: Any) -> None:
        built.append(values)
        original(self, *values)

    monkeypatch.setattr(TrainStart, "__init__", counted)
    bus.register(plugin(on_train_start=lambda trainer: None), "a")
    emit = bus.emitter(TrainStart)
    emit(1, 2)
    assert built == []
    first, second = bus.subscribe(TrainStart, lambda event: None), bus.subscribe(Event, lambda event: None)
    emit(3, 4)
    assert built == [(3, 4)]
    first.cancel()
    second.cancel()
    emit(5, 6)
    assert built == [(3, 4)]
