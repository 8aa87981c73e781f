"""What the bus passes to hookimpls and to methods of classes, and what it refuses to register."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, call

import pytest
import torchbus as L
from torchbus import Bus
from torchbus._adapters import Shape
from torchbus._errors import PluginConflictError, PluginValidationError
from torchbus._module import MODULE_SHAPE
from torchbus_hookspecs import Callback, Logger, hookimpl
from torchbus_hookspecs.events import (
    BeforeBatchTransfer,
    ConfigureGradientClipping,
    ConfigureOptimizers,
    LogHyperparams,
    LogMetrics,
    Setup,
    Teardown,
    TrainBatchEnd,
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


# ---- arguments of hookimpls -------------------------------------------------------------------------------------------


def test_hookimpls_take_any_subset_of_the_arguments_in_any_order(bus: Bus) -> None:
    bus.register(plugin(on_train_batch_end=lambda batch_idx, trainer: ("two", batch_idx, trainer)), "two")
    bus.register(plugin(on_train_batch_end=lambda: "none"), "none")
    bus.register(plugin(on_train_batch_end=lambda outputs: ("one", outputs)), "one")
    results = bus.emitter(TrainBatchEnd)("trainer", "module", "outputs", "batch", 5)
    assert results == [("one", "outputs"), "none", ("two", 5, "trainer")]


def test_parameters_with_defaults_receive_the_argument(bus: Bus) -> None:
    def on_train_batch_end(trainer: Any, of_my_own: str = "kept", batch_idx: Any = None, more: Any = None) -> Any:
        return trainer, of_my_own, batch_idx, more

    bus.register(plugin(on_train_batch_end=on_train_batch_end), "a")
    assert bus.emitter(TrainBatchEnd)("trainer", 2, 3, 4, 5) == [("trainer", "kept", 5, None)]


def test_keyword_only_and_positional_only_parameters_receive_the_argument(bus: Bus) -> None:
    def on_train_batch_end(trainer: Any, /, outputs: Any, *, batch: Any, batch_idx: Any = None) -> Any:
        return trainer, outputs, batch, batch_idx

    bus.register(plugin(on_train_batch_end=on_train_batch_end), "a")
    assert bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5) == [(1, 3, 4, 5)]


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
    bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5)
    assert hearing.seen == [5]
    assert bus.emitter(TrainStart)("trainer", 2) == ["trainer"]
    assert bus.emitter(TrainEnd)(1, "module") == [(Hearing, "module")]


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
    callback.on_train_start = lambda trainer, pl_module: calls.append(trainer)
    bus.register(callback, "a")
    bus.emitter(TrainStart)("trainer", 2)
    assert calls == ["trainer"]


def test_methods_of_callbacks_are_called_by_position_whatever_their_parameters_are_named(bus: Bus) -> None:
    class Renamed(Callback):
        def on_train_batch_end(self, t: Any, m: Any, o: Any, b: Any, i: Any) -> Any:
            return t, m, o, b, i

    class Defaults(Callback):
        def on_train_batch_end(
            self, trainer: Any, module: Any, out: Any = None, batch: Any = None, idx: Any = None, mine: Any = "mine"
        ) -> Any:
            return trainer, module, out, batch, idx, mine

    class Starred(Callback):
        def on_train_batch_end(self, *args: Any) -> Any:
            return args

    class Both(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> Any:
            return trainer, args, kwargs

    class KeywordOnly(Callback):
        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, *, batch_idx: Any, batch: Any, outputs: Any = None
        ) -> Any:
            return trainer, pl_module, outputs, batch, batch_idx

    class StarredAndKeywordOnly(Callback):
        def on_train_batch_end(self, *args: Any, batch_idx: Any) -> Any:
            return args, batch_idx

    for one in (StarredAndKeywordOnly, KeywordOnly, Both, Starred, Defaults, Renamed):
        bus.register(one())
    assert bus.emitter(TrainBatchEnd)(1, 2, 3, 4, 5) == [
        (1, 2, 3, 4, 5),
        (1, 2, 3, 4, 5, "mine"),
        (1, 2, 3, 4, 5),
        (1, (2, 3, 4, 5), {}),
        (1, 2, 3, 4, 5),
        ((1, 2, 3, 4), 5),
    ]


def test_clipping_gets_its_limits_by_keyword_wherever_it_takes_them_so(bus: Bus) -> None:
    seen: list[Any] = []

    class Module(L.LightningModule):
        def configure_gradient_clipping(self, optimizer: Any, **limits: Any) -> None:
            seen.append((optimizer, limits))

    class Turned(L.LightningModule):
        def configure_gradient_clipping(
            self, optimizer: Any, gradient_clip_algorithm: Any = None, gradient_clip_val: Any = None
        ) -> None:
            seen.append((optimizer, gradient_clip_val, gradient_clip_algorithm))

    class Short(L.LightningModule):
        def configure_gradient_clipping(self, *values: Any) -> None:
            seen.append(values)

    for module in (Module(), Turned(), Short()):
        bus.register(module, "module", shape=MODULE_SHAPE)
        bus.emitter(ConfigureGradientClipping)(None, module, "sgd", 0.5, "value")
        bus.unregister("module")
    limits = {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"}
    assert seen == [("sgd", limits), ("sgd", 0.5, "value"), ("sgd", 0.5, "value")]


def test_transfer_hooks_always_get_the_index_of_the_loader(bus: Bus) -> None:
    seen: list[Any] = []

    class Module(L.LightningModule):
        def on_before_batch_transfer(self, *values: Any) -> Any:
            seen.append(values)
            return super().on_before_batch_transfer(*values)

    module = Module()
    bus.register(module, "module", shape=MODULE_SHAPE)
    assert bus.emitter(BeforeBatchTransfer)(None, module, "batch", 0) == "batch"
    assert seen == [("batch", 0)]


def test_setup_and_teardown_pass_the_stage_by_keyword(bus: Bus) -> None:
    """As Lightning does, so that ``def setup(self, trainer, pl_module, *, stage)`` and ``**kwargs`` work."""
    seen: list[Any] = []

    class Plain(Callback):
        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            seen.append(("plain", trainer, pl_module, stage))

    class Optional(Callback):
        def setup(self, trainer: Any, pl_module: Any, extra: Any = "kept", stage: str | None = None) -> None:
            seen.append(("optional", extra, stage))

    class Keywords(Callback):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            seen.append(("keywords", args, kwargs))

        def teardown(self, trainer: Any, pl_module: Any, *, stage: str) -> None:
            seen.append(("teardown", stage))

    class Renamed(Callback):
        def setup(self, trainer: Any, pl_module: Any, phase: str) -> None:
            seen.append(("renamed", phase))

    for one in (Renamed, Keywords, Optional, Plain):
        bus.register(one())
    bus.emitter(Setup)(1, 2, "fit")
    bus.emitter(Teardown)(1, 2, "fit")
    assert seen == [
        ("plain", 1, 2, "fit"),
        ("optional", "kept", "fit"),
        ("keywords", (1, 2), {"stage": "fit"}),
        ("renamed", "fit"),
        ("teardown", "fit"),
    ]


def test_a_method_may_leave_out_the_index_of_the_loader(bus: Bus) -> None:
    class Short(Callback):
        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, idx: Any) -> Any:
            return idx

    bus.register(Short())
    assert bus.emitter(ValidationBatchEnd)(1, 2, 3, 4, 5, 0) == [5]


def test_starred_methods_get_the_index_where_there_are_several_loaders(bus: Bus) -> None:
    class Starred(Callback):
        def on_validation_batch_end(self, *args: Any) -> Any:
            return args[5:]

    bus.register(Starred())
    emit = bus.emitter(ValidationBatchEnd)
    assert emit(1, 2, 3, 4, 5, 0) == [()]
    bus.scope.several_loaders = True
    assert emit(1, 2, 3, 4, 5, 0) == [(0,)]


def test_starred_methods_of_the_transfer_always_get_the_index(bus: Bus) -> None:
    class Module:
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any: ...

    class Starred(Module):
        def on_before_batch_transfer(self, *args: Any) -> Any:
            return args

    bus.register(Starred(), "module", shape=Shape(Module, ("on_before_batch_transfer",), leading=False))
    assert bus.emitter(BeforeBatchTransfer)(1, 2, "batch", 0) == ("batch", 0)


def test_log_metrics_is_called_by_keyword_as_far_as_names_fit(bus: Bus) -> None:
    class Turned(Callback):
        def log_metrics(self, step: Any, metrics: Any) -> Any:
            return metrics, step

    class Starred(Callback):
        def log_metrics(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    class Renamed(Callback):
        def log_metrics(self, values: Any, step: Any = None) -> Any:
            return values, step

    shape = Shape(Callback, ("log_metrics",))
    for plugin, found in (
        (Turned(), ({"a": 1.0}, 3)),
        (Starred(), ((), {"metrics": {"a": 1.0}, "step": 3})),
        (Renamed(), ({"a": 1.0}, 3)),
    ):
        bus.register(plugin, "logger", shape=shape)
        assert bus.emitter(LogMetrics)({"a": 1.0}, 3) == [found]
        bus.unregister("logger")


def test_a_mock_in_place_of_a_method_is_called_as_any_other_and_hears_nothing_else(bus: Bus) -> None:
    class Mocked(Callback):
        log_metrics = MagicMock(return_value=None)

    bus.register(Mocked(), "logger", shape=Shape(Callback, ("log_metrics",)))
    bus.emitter(LogMetrics)({"a": 1.0}, 3)
    assert Mocked.log_metrics.mock_calls == [call(metrics={"a": 1.0}, step=3)]


def test_a_module_is_called_without_trainer_and_module(bus: Bus) -> None:
    class Module:
        def validation_step(self, *args: Any) -> Any: ...

    class Mine(Module):
        def validation_step(self, *args: Any) -> Any:
            return args

    shape = Shape(Module, ("validation_step",), leading=False, final=True)
    bus.register(Mine(), "module", shape=shape)
    emit = bus.emitter(ValidationStep)
    assert emit(1, 2, "batch", 0, 0) == ("batch", 0), "with one loader its index is needless"
    assert emit(1, 2, "batch", 0, 1) == ("batch", 0, 1)


def test_loggers_are_plugins_and_args_and_kwargs_are_spread_out(bus: Bus) -> None:
    class Recording(Logger):
        name = version = None

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
    assert emit(1, "module") == "for module"
    bus.register(Overriding(), "b")
    assert emit(1, "module") == "better, for module"


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
        def on_train_batch_end(self, trainer: Any, pl_module: Any) -> None: ...

    return Short()


def too_few_parameters_with_a_stage() -> Any:
    class Short(Callback):
        def setup(self, trainer: Any, stage: str) -> None: ...

    return Short()


def too_many_parameters() -> Any:
    class Long(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any, batch: Any) -> None: ...

    return Long()


def unknown_keyword() -> Any:
    class Asking(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any, *, batch: Any) -> None: ...

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
    (
        unknown_argument,
        r"`on_train_batch_end` has no argument `batch_index`\. Did you mean `batch_idx`.* It has: trainer, ",
    ),
    (unknown_positional_argument, r"`on_train_batch_end` has no argument `bach`\. Did you mean `batch`"),
    (near_miss, r"on_train_batch_ends would never be called.* Did you mean `on_train_batch_end`"),
    (
        too_few_parameters,
        r"`on_train_batch_end` takes 2 arguments, and is called with 5: trainer, .* To fix: write `def ",
    ),
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
        on_failure = "quarantaine"

    with pytest.raises(PluginValidationError, match=r"odd: `on_failure` is 'quarantaine'.*'raise' or 'quarantine'"):
        bus.register(Odd(), "odd")
