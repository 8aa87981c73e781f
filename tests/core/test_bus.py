"""The bus: who is on it, who is called when and with what, and what happens when somebody fails."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torchbus import Bus
from torchbus._bus import CALLBACK_SHAPE
from torchbus._errors import PluginConflictError, PluginOrderError, PluginValidationError
from torchbus_hookspecs import Callback, Logger, hookimpl
from torchbus_hookspecs.events import (
    BeforeBatchTransfer,
    ConfigureOptimizers,
    Event,
    FitStart,
    LogHyperparams,
    LogMetrics,
    OptimizerStep,
    PluginFailed,
    Setup,
    Teardown,
    TrainBatchEnd,
    TrainBatchStart,
    TrainEnd,
    TrainStart,
    ValidationBatchEnd,
    ValidationStep,
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


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def calls() -> list[str]:
    return []


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
        before = "late"  # type: ignore[assignment]

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
    module.on_train_start = hookimpl(lambda: None)  # type: ignore[attr-defined]
    assert bus.register(Hearing()) == "Hearing"
    assert bus.register(module) == "my_hooks"


def test_plugins_that_equal_each_other_are_two_plugins(bus: Bus, calls: list[str]) -> None:
    class Equal(Callback):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

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


def test_equal_objects_of_hookimpls_are_two_plugins(bus: Bus, calls: list[str]) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @hookimpl
        def on_train_start(self) -> None:
            calls.append("heard")

    bus.register(Equal(), "a")
    bus.register(Equal(), "b")
    bus.unregister("a")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["heard"]


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


USER_SHAPE = type(CALLBACK_SHAPE)(Base, ("configure_optimizers", "on_train_start"), leading=False, final=True)


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
        emit(1, 2)  # type: ignore[call-arg]


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
    assert bus.emit(TrainBatchStart("trainer", "module", "batch", 3)) == [("batch", 3)]  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [Event, object, "on_train_start", TrainStart(1, 2)])  # type: ignore[arg-type]
def test_only_event_classes_of_hooks_have_emitters(bus: Bus, wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected an event class of torchbus_hookspecs.events"):
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
    bus.emitter(TrainStart)("trainer", "module")  # type: ignore[arg-type]
    assert heard == [TrainStart("trainer", "module")]  # type: ignore[arg-type]
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
    assert heard == [TrainStart(1, 2)]  # type: ignore[arg-type]


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
        bus.subscribe(TrainStart, print, **{option: 0})  # type: ignore[arg-type]


def test_only_event_classes_can_be_subscribed_to(bus: Bus) -> None:
    with pytest.raises(TypeError, match="takes an event class"):
        bus.subscribe("on_train_start", print)  # type: ignore[arg-type]


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


# ---- arguments of hookimpls -------------------------------------------------------------------------------------------


def test_hookimpls_take_any_subset_of_the_arguments_in_any_order(bus: Bus) -> None:
    bus.register(plugin(on_train_batch_end=lambda batch_idx, trainer: ("two", batch_idx, trainer)), "two")
    bus.register(plugin(on_train_batch_end=lambda: "none"), "none")
    bus.register(plugin(on_train_batch_end=lambda outputs: ("one", outputs)), "one")
    results = bus.emitter(TrainBatchEnd)("trainer", "module", "outputs", "batch", 5)  # type: ignore[arg-type]
    assert results == [("one", "outputs"), "none", ("two", 5, "trainer")]


def test_parameters_with_defaults_receive_the_argument(bus: Bus) -> None:
    def on_train_batch_end(trainer: Any, batch_idx: Any = None, of_my_own: str = "kept") -> Any:
        return trainer, batch_idx, of_my_own

    bus.register(plugin(on_train_batch_end=on_train_batch_end), "a")
    assert bus.emitter(TrainBatchEnd)("trainer", 2, 3, 4, 5) == [("trainer", 5, "kept")]  # type: ignore[arg-type]


def test_keyword_only_and_positional_only_parameters_receive_the_argument(bus: Bus) -> None:
    def on_train_batch_end(trainer: Any, /, outputs: Any, *, batch: Any, batch_idx: Any = None) -> Any:
        return trainer, outputs, batch, batch_idx

    bus.register(plugin(on_train_batch_end=on_train_batch_end), "a")
    assert bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5) == [(1, 3, 4, 5)]  # type: ignore[arg-type]


def test_methods_of_objects_are_hookimpls(bus: Bus) -> None:
    class Hearing:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        @hookimpl
        def on_train_batch_end(self, batch_idx: int) -> None:
            self.seen.append(batch_idx)

        @staticmethod
        @hookimpl
        def on_train_start(trainer: Any) -> Any:
            return trainer

        @classmethod
        @hookimpl
        def on_train_end(cls, pl_module: Any) -> Any:
            return cls, pl_module

    hearing = Hearing()
    bus.register(hearing, "a")
    bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5)  # type: ignore[arg-type]
    assert hearing.seen == [5]
    assert bus.emitter(TrainStart)("trainer", 2) == ["trainer"]  # type: ignore[arg-type]
    assert bus.emitter(TrainEnd)(1, "module") == [(Hearing, "module")]  # type: ignore[arg-type]


def test_specname_gives_a_function_another_name(bus: Bus, calls: list[str]) -> None:
    bus.register(plugin(begin=hookimpl(specname="on_train_start")(lambda: calls.append("begun"))), "a")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["begun"]


def test_properties_of_a_plugin_are_not_run_when_it_is_registered(bus: Bus) -> None:
    class Delicate:
        @property
        def broken(self) -> Any:
            raise AssertionError("looked at")

        @hookimpl
        def on_train_start(self) -> str:
            return "heard"

    bus.register(Delicate(), "a")
    assert bus.emitter(TrainStart)(1, 2) == ["heard"]


# ---- methods of callbacks and loggers ---------------------------------------------------------------------------------


def test_only_overridden_methods_of_a_callback_are_implementations(bus: Bus) -> None:
    class Started(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...

    bus.register(Started(), "a")
    assert [name for name, _ in bus.implementations("on_train_start")] == ["a"]
    assert bus.implementations("on_train_end") == []


def test_a_method_set_on_the_instance_is_an_implementation(bus: Bus, calls: list[str]) -> None:
    callback = Callback()
    callback.on_train_start = lambda trainer, pl_module: calls.append(trainer)  # type: ignore[method-assign]
    bus.register(callback, "a")
    bus.emitter(TrainStart)("trainer", 2)  # type: ignore[arg-type]
    assert calls == ["trainer"]


def test_methods_of_callbacks_are_called_by_position_whatever_their_parameters_are_named(bus: Bus) -> None:
    class Renamed(Callback):
        def on_train_batch_end(self, t: Any, m: Any, o: Any, b: Any, i: Any) -> Any:  # type: ignore[override]
            return t, m, o, b, i

    class Defaults(Callback):
        def on_train_batch_end(  # type: ignore[override]
            self, trainer: Any, module: Any, out: Any = None, batch: Any = None, idx: Any = None, mine: Any = "mine"
        ) -> Any:
            return trainer, module, out, batch, idx, mine

    class Starred(Callback):
        def on_train_batch_end(self, *args: Any) -> Any:  # type: ignore[override]
            return args

    class Both(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return trainer, args, kwargs

    class KeywordOnly(Callback):
        def on_train_batch_end(  # type: ignore[override]
            self, trainer: Any, pl_module: Any, *, batch_idx: Any, batch: Any, outputs: Any = None
        ) -> Any:
            return trainer, pl_module, outputs, batch, batch_idx

    class StarredAndKeywordOnly(Callback):
        def on_train_batch_end(self, *args: Any, batch_idx: Any) -> Any:  # type: ignore[override]
            return args, batch_idx

    for one in (StarredAndKeywordOnly, KeywordOnly, Both, Starred, Defaults, Renamed):
        bus.register(one())
    assert bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5) == [  # type: ignore[arg-type]
        (1, 2, 3, 4, 5),
        (1, 2, 3, 4, 5, "mine"),
        (1, 2, 3, 4, 5),
        (1, (2, 3, 4, 5), {}),
        (1, 2, 3, 4, 5),
        ((1, 2, 3, 4), 5),
    ]


def test_setup_and_teardown_pass_the_stage_by_keyword(bus: Bus) -> None:
    """As Lightning does, so that ``def setup(self, trainer, pl_module, *, stage)`` and ``**kwargs`` work."""
    seen: list[Any] = []

    class Plain(Callback):
        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            seen.append(("plain", trainer, pl_module, stage))

    class Optional(Callback):
        def setup(self, trainer: Any, pl_module: Any, extra: Any = "kept", stage: str | None = None) -> None:  # type: ignore[override]
            seen.append(("optional", extra, stage))

    class Keywords(Callback):
        def setup(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
            seen.append(("keywords", args, kwargs))

        def teardown(self, trainer: Any, pl_module: Any, *, stage: str) -> None:
            seen.append(("teardown", stage))

    class Renamed(Callback):
        def setup(self, trainer: Any, pl_module: Any, phase: str) -> None:  # type: ignore[override]
            seen.append(("renamed", phase))

    for one in (Renamed, Keywords, Optional, Plain):
        bus.register(one())
    bus.emitter(Setup)(1, 2, "fit")  # type: ignore[arg-type]
    bus.emitter(Teardown)(1, 2, "fit")  # type: ignore[arg-type]
    assert seen == [
        ("plain", 1, 2, "fit"),
        ("optional", "kept", "fit"),
        ("keywords", (1, 2), {"stage": "fit"}),
        ("renamed", "fit"),
        ("teardown", "fit"),
    ]


def test_a_method_may_leave_out_the_index_of_the_loader(bus: Bus) -> None:
    class Short(Callback):
        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, idx: Any) -> Any:  # type: ignore[override]
            return idx

    bus.register(Short())
    assert bus.emitter(ValidationBatchEnd)(1, 2, 3, 4, 5, 0) == [5]  # type: ignore[arg-type]


def test_a_module_is_called_without_trainer_and_module(bus: Bus) -> None:
    class Module:
        def validation_step(self, *args: Any) -> Any: ...

    class Mine(Module):
        def validation_step(self, *args: Any) -> Any:
            return args

    shape = type(CALLBACK_SHAPE)(Module, ("validation_step",), leading=False, final=True)
    bus.register(Mine(), "module", shape=shape)
    emit = bus.emitter(ValidationStep)
    assert emit(1, 2, "batch", 0, 0) == ("batch", 0), "with one loader its index is needless"  # type: ignore[arg-type]
    assert emit(1, 2, "batch", 0, 1) == ("batch", 0, 1)  # type: ignore[arg-type]


def test_loggers_are_plugins_and_args_and_kwargs_are_spread_out(bus: Bus) -> None:
    class Recording(Logger):
        name = version = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.seen: list[Any] = []

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.seen.append((metrics, step))

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            self.seen.append((params, args, kwargs))

    logger = Recording()
    bus.register(logger, "recording")
    bus.emitter(LogMetrics)({"loss": 1.0}, 3)
    bus.emitter(LogHyperparams)({"lr": 0.1}, (1,), {"more": 2})
    assert logger.seen == [({"loss": 1.0}, 3), ({"lr": 0.1}, (1,), {"more": 2})]
    assert bus.plugins["recording"].policy == "quarantine"


def test_a_decorated_method_keeps_its_place_in_subclasses_that_override_it(bus: Bus, calls: list[str]) -> None:
    class First(Callback):
        @hookimpl(tryfirst=True)
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            calls.append("parent")

    class Child(First):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            calls.append("child")

    bus.register(Child(), "child")
    bus.register(saying("later", calls), "later")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["child", "later"]


def test_a_callback_may_provide_what_callbacks_of_lightning_cannot(bus: Bus) -> None:
    class Providing(Callback):
        @hookimpl
        def configure_optimizers(self, pl_module: Any) -> Any:
            return f"for {pl_module}"

    class Overriding(Providing):
        def configure_optimizers(self, pl_module: Any) -> Any:
            return f"better, {super().configure_optimizers(pl_module)}"

    bus.register(Providing(), "a")
    emit = bus.emitter(ConfigureOptimizers)
    assert emit(1, "module") == "for module"  # type: ignore[arg-type]
    bus.register(Overriding(), "b")
    assert emit(1, "module") == "better, for module"  # type: ignore[arg-type]


def test_a_method_of_a_callback_may_be_a_wrapper(bus: Bus, calls: list[str]) -> None:
    class Around(Callback):
        @hookimpl(wrapper=True)
        def on_train_start(self, trainer: Any, pl_module: Any) -> Any:
            calls.append("before")
            result = yield
            calls.append("after")
            return result

    bus.register(Around(), "around")
    bus.register(saying("inside", calls), "inside")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["before", "inside", "after"]


# ---- what is refused --------------------------------------------------------------------------------------------------


def unknown_hook() -> Any:
    return plugin(on_train_batch_ends=lambda: None)


def unknown_argument() -> Any:
    return plugin(on_train_batch_end=lambda batch_index: None)


def unknown_positional_argument() -> Any:
    def on_train_batch_end(bach: Any, /) -> None: ...

    return plugin(on_train_batch_end=on_train_batch_end)


def near_miss() -> Any:
    class Typo(Callback):
        def on_train_batch_ends(self, trainer: Any, pl_module: Any) -> None: ...

    return Typo()


def too_few_parameters() -> Any:
    class Short(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any) -> None: ...  # type: ignore[override]

    return Short()


def too_few_parameters_with_a_stage() -> Any:
    class Short(Callback):
        def setup(self, trainer: Any, stage: str) -> None: ...  # type: ignore[override]

    return Short()


def too_many_parameters() -> Any:
    class Long(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any, batch: Any) -> None: ...  # type: ignore[override]

    return Long()


def unknown_keyword() -> Any:
    class Asking(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any, *, batch: Any) -> None: ...  # type: ignore[override]

    return Asking()


def nothing() -> Any:
    return SimpleNamespace(on_train_start=lambda: None)


def wrapper_without_yield() -> Any:
    return plugin(on_train_start=hookimpl(wrapper=True)(lambda: None))


def both_styles_of_wrapper() -> Any:
    def on_train_start() -> Any:
        yield

    return plugin(on_train_start=hookimpl(wrapper=True, hookwrapper=True)(on_train_start))


def one_hook_twice() -> Any:
    return plugin(on_train_start=lambda: 1, again=hookimpl(specname="on_train_start")(lambda: 2))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (unknown_hook, r"there is no hook `on_train_batch_ends`\. Did you mean `on_train_batch_end`"),
    (unknown_argument, r"`on_train_batch_end` has no argument `batch_index`\. Did you mean `batch_idx`.* It has: trainer, "),
    (unknown_positional_argument, r"`on_train_batch_end` has no argument `bach`\. Did you mean `batch`"),
    (near_miss, r"on_train_batch_ends would never be called.* Did you mean `on_train_batch_end`"),
    (too_few_parameters, r"`on_train_batch_end` takes 2 arguments, and is called with 5: trainer, .* To fix: write `def "),
    (too_few_parameters_with_a_stage, r"`setup` takes 2 arguments, and is called with 3: trainer, pl_module, stage"),
    (too_many_parameters, r"`on_train_start` needs `batch`, and is called with: trainer, pl_module\."),
    (unknown_keyword, r"`on_train_start` needs `batch`, and is called with: trainer, pl_module\."),
    (nothing, r"nothing in it implements a hook\. To fix: mark its hook functions with `@hookimpl`"),
    (wrapper_without_yield, r"`on_train_start` is marked as a wrapper, and does not `yield`"),
    (both_styles_of_wrapper, r"`on_train_start` is marked with `wrapper` and `hookwrapper`: they exclude each other"),
    (one_hook_twice, r"`again` and `on_train_start` both implement the hook `on_train_start`"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_what_does_not_fit_the_contract_is_refused_and_leaves_nothing_behind(
    bus: Bus, calls: list[str], make: Callable[[], Any], message: str
) -> None:
    emit = bus.emitter(TrainStart)
    with pytest.raises(PluginValidationError, match=f"(?s)^mine: .*{message}") as caught:
        bus.register(make(), "mine")
    assert caught.value.plugin == "mine"
    assert bus.plugins == {}
    assert bus.manager.list_name_plugin() == []
    assert all(not caller.get_hookimpls() for caller in vars(bus.manager.hook).values())
    bus.register(saying("heard", calls), "mine")
    emit(1, 2)
    assert calls == ["heard"], "the name is free and the emitter works"


def test_a_plugin_that_is_partly_wrong_is_refused_as_a_whole(bus: Bus, calls: list[str]) -> None:
    emit = bus.emitter(TrainStart)
    good = hookimpl(lambda: calls.append("heard"))
    with pytest.raises(PluginValidationError):
        bus.register(plugin(on_train_start=good, on_zzz=lambda: None), "mine")
    emit(1, 2)
    assert calls == []


def test_methods_that_only_resemble_hooks_a_little_are_left_alone(bus: Bus) -> None:
    class Own(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...
        def on_train(self) -> None: ...
        def _on_train_batch_ends(self) -> None: ...
        def save(self) -> None: ...

    bus.register(Own(), "own")
    assert bus.implementations("save") == []


def test_an_optional_hook_that_is_not_there_is_no_fault(bus: Bus, calls: list[str]) -> None:
    future = hookimpl(optionalhook=True)(lambda: calls.append("never"))
    bus.register(plugin(on_some_future_hook=future, on_train_start=lambda: calls.append("heard")), "a")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["heard"]
    bus.unregister("a")


def test_a_callback_without_any_hook_may_be_registered(bus: Bus) -> None:
    bus.register(Callback(), "quiet")
    assert list(bus.plugins) == ["quiet"]


def test_two_plugins_of_one_name_are_refused(bus: Bus, calls: list[str]) -> None:
    bus.register(saying("a", calls), "same")
    with pytest.raises(PluginConflictError, match=r"two plugins named `same`\. To fix: .*second_same"):
        bus.register(saying("b", calls), "same")
    bus.emitter(TrainStart)(1, 2)
    assert calls == ["a"]


def test_one_plugin_under_two_names_is_refused(bus: Bus, calls: list[str]) -> None:
    one = saying("a", calls)
    bus.register(one, "first")
    with pytest.raises(PluginConflictError, match="`second` is registered already, as `first`"):
        bus.register(one, "second")
    assert list(bus.plugins) == ["first"]


def test_an_unknown_policy_is_refused(bus: Bus) -> None:
    class Odd(Callback):
        on_failure = "quarantaine"  # type: ignore[assignment]

    with pytest.raises(PluginValidationError, match=r"odd: `on_failure` is 'quarantaine'.*'raise' or 'quarantine'"):
        bus.register(Odd(), "odd")


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


@pytest.mark.parametrize("make", [lambda: ValueError("wrong"), lambda error=ValueError("wrong"): error], ids=["new", "same"])
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
    assert notes(error)[:1] == ["Raised by plugin `failing` (some-dist 1.2), in its `on_train_start`."]
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
def test_a_failing_wrapper_in_quarantine_does_not_end_the_run(bus: Bus, calls: list[str], style: str, when: str) -> None:
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


def test_one_that_fails_while_it_is_told_of_a_failure_starts_no_endless_telling(bus: Bus, calls: list[str]) -> None:
    def on_plugin_failed(plugin: str) -> None:
        calls.append(plugin)
        raise KeyError("again")

    bus.register(plugin(on_plugin_failed=on_plugin_failed), "listening", policy="quarantine")
    bus.register(raising(ValueError("wrong")), "failing", policy="quarantine")
    fail_n_times(bus, 1)
    assert calls == ["failing"]
    assert [bus.plugins[name].strikes for name in ("listening", "failing")] == [1, 1]


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
                inner(1, 2, 0, 0, None, None)  # type: ignore[arg-type]
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
