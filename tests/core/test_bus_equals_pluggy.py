"""Random plugins on a plain ``pluggy.PluginManager`` and on the bus: same calls, same order, same result or exception."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from torchbus import Bus
from torchbus_hookspecs import hookimpl, specs
from torchbus_hookspecs.events import EVENTS

HOOKS = {
    "on_train_batch_end": ("trainer", "pl_module", "outputs", "batch", "batch_idx"),
    "optimizer_step": ("trainer", "pl_module", "epoch", "batch_idx", "optimizer", "optimizer_closure"),
}
"""A broadcast and a provider, with what they are called with."""

ERRORS = {one.__name__: one for one in (ValueError, KeyError, KeyboardInterrupt, StopIteration)}
Log = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Impl:
    """One implementation to be made: what pluggy is told of it, and what it does when it is called."""

    hook: str
    arguments: tuple[str, ...] = ()
    place: str = ""
    style: str = ""
    act: str = "none"
    """Plain: ``none``, ``value``, or an error's name. Wrappers: what happens after their ``yield``."""
    fails_early: bool = False


def ending(call: Callable[[], Any]) -> tuple[Any, ...]:
    """How a call ended, in a form that two systems can be compared by."""
    try:
        return "returned", call()
    except BaseException as error:
        return "raised", type(error).__name__, str(error)


def plain(impl: Impl, name: str, log: Log) -> Callable[[dict[str, Any]], Any]:
    def body(values: dict[str, Any]) -> Any:
        log.append((name, impl.hook, values))
        if impl.act in ERRORS:
            raise ERRORS[impl.act](f"from {name}")
        return None if impl.act == "none" else f"{impl.act} of {name}"

    return body


def new_wrapper(impl: Impl, name: str, log: Log) -> Callable[[dict[str, Any]], Any]:
    def body(values: dict[str, Any]) -> Generator[None, Any, Any]:
        log.append((name, impl.hook, "begins", values))
        if impl.fails_early:
            raise ValueError(f"{name} fails early")
        try:
            result = yield
        except BaseException as error:
            log.append((name, "sees", type(error).__name__, str(error)))
            if impl.act == "swallow":
                return f"{name} has swallowed"
            if impl.act == "fail":
                raise KeyError(f"{name} fails too") from None
            raise
        log.append((name, "sees", result))
        if impl.act == "fail":
            raise ValueError(f"{name} fails late")
        return f"{name} has replaced {result}" if impl.act == "replace" else result

    return body


def old_wrapper(impl: Impl, name: str, log: Log) -> Callable[[dict[str, Any]], Any]:
    def body(values: dict[str, Any]) -> Generator[None, Any, Any]:
        log.append((name, impl.hook, "begins", values))
        if impl.fails_early:
            raise ValueError(f"{name} fails early")
        outcome = yield
        log.append((name, "sees", *ending(outcome.get_result)))
        if impl.act == "replace" or (impl.act == "swallow" and outcome.excinfo is not None):
            outcome.force_result(f"{name} has forced")
        elif impl.act == "force":
            outcome.force_exception(KeyError(f"{name} has forced"))
        elif impl.act == "fail":
            raise ValueError(f"{name} fails late")
        elif impl.act == "look":
            outcome.get_result()

    return body


MAKERS = {"": plain, "wrapper": new_wrapper, "hookwrapper": old_wrapper}


def make(impl: Impl, name: str, log: Log) -> Callable[..., Any]:
    """A function with exactly the parameters that the implementation names."""
    body = MAKERS[impl.style](impl, name, log)
    values = ", ".join(f"{one!r}: {one}" for one in impl.arguments)
    call = f"body({{{values}}})"
    result = f"(yield from {call})" if impl.style else call
    namespace: dict[str, Any] = {"body": body}
    exec(f"def {impl.hook}({', '.join(impl.arguments)}): return {result}", namespace)
    flags = {flag: True for flag in (impl.place, impl.style) if flag}
    return hookimpl(**flags)(namespace[impl.hook])


def make_plugin(impls: tuple[Impl, ...], name: str, log: Log) -> SimpleNamespace:
    return SimpleNamespace(**{impl.hook: make(impl, name, log) for impl in impls})


# ---- the two systems --------------------------------------------------------------------------------------------------


class OnPluggy:
    def __init__(self) -> None:
        self.log: Log = []
        self.manager = pluggy.PluginManager("torchbus")
        self.manager.add_hookspecs(specs)

    def register(self, impls: tuple[Impl, ...], name: str) -> None:
        self.manager.register(make_plugin(impls, name, self.log), name)

    def unregister(self, name: str) -> None:
        self.manager.unregister(name=name)

    def call(self, hook: str, values: dict[str, Any]) -> tuple[Any, ...]:
        return ending(lambda: getattr(self.manager.hook, hook)(**values))


class OnBus:
    def __init__(self) -> None:
        self.log: Log = []
        self.bus = Bus()
        self.emitters = {hook: self.bus.emitter(EVENTS[hook]) for hook in HOOKS}  # bound before anybody is there

    def register(self, impls: tuple[Impl, ...], name: str) -> None:
        self.bus.register(make_plugin(impls, name, self.log), name)

    def unregister(self, name: str) -> None:
        self.bus.unregister(name)

    def call(self, hook: str, values: dict[str, Any]) -> tuple[Any, ...]:
        ended = ending(lambda: self.emitters[hook](*values.values()))
        assert self.bus.scope.hook == ""
        return ended


# ---- random scenarios -------------------------------------------------------------------------------------------------

PLACES = st.sampled_from(["", "", "tryfirst", "trylast"])


@st.composite
def implementations(draw: st.DrawFn, hook: str) -> Impl:
    arguments = tuple(draw(st.lists(st.sampled_from(HOOKS[hook]), unique=True, max_size=4)))
    style = draw(st.sampled_from(["", "", "", "wrapper", "hookwrapper"]))
    acts = {
        "": ["none", "none", "value", "value", *ERRORS],
        "wrapper": ["pass", "replace", "swallow", "fail"],
        "hookwrapper": ["pass", "replace", "swallow", "force", "fail", "look"],
    }
    fails_early = bool(style) and draw(st.integers(0, 9)) == 0
    return Impl(hook, arguments, draw(PLACES), style, draw(st.sampled_from(acts[style])), fails_early)


@st.composite
def plugins(draw: st.DrawFn) -> tuple[Impl, ...]:
    hooks = draw(st.sampled_from([tuple(HOOKS), *((hook,) for hook in HOOKS)]))
    return tuple(draw(implementations(hook)) for hook in hooks)


STEPS = st.lists(st.one_of(plugins(), plugins(), plugins(), st.integers(0, 9)), min_size=1, max_size=8)
"""A plugin to register, or the number of one to unregister."""


@pytest.mark.skipif(
    Version(pluggy.__version__) < Version("1.6"),
    reason="before 1.6 pluggy lost a StopIteration (its issue 544) and kept interrupts from outer wrappers",
)
@pytest.mark.filterwarnings("ignore::pluggy.PluggyTeardownRaisedWarning")
@settings(max_examples=200, deadline=None)
@given(STEPS)
@example([(Impl("on_train_batch_end", place="trylast"),), (Impl("on_train_batch_end", place="trylast"),)])
@example(
    [
        (Impl("optimizer_step", act="StopIteration"),),
        (Impl("optimizer_step", style="hookwrapper", act="look"),),
        (Impl("optimizer_step", style="wrapper", act="pass"),),
    ]
)
def test_random_plugins_behave_on_the_bus_as_on_pluggy(steps: list[tuple[Impl, ...] | int]) -> None:
    systems = OnPluggy(), OnBus()
    registered: list[str] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            if not registered:
                continue
            name = registered.pop(step % len(registered))
            for system in systems:
                system.unregister(name)
        else:
            name = f"plugin {number}"
            registered.append(name)
            for system in systems:
                system.register(step, name)
        for hook, names in HOOKS.items():
            values = {one: f"{one} {number}" for one in names}
            on_pluggy, on_bus = (system.call(hook, values) for system in systems)
            assert on_bus == on_pluggy
            assert systems[1].log == systems[0].log


def test_the_comparison_sees_a_difference() -> None:
    """A check of the check: a chain in another order does not compare equal."""
    systems = OnPluggy(), OnBus()
    for system, names in zip(systems, ("ab", "ba"), strict=True):
        for name in names:
            system.register((Impl("on_train_batch_end", act="value"),), name)
    values = {one: one for one in HOOKS["on_train_batch_end"]}
    assert systems[0].call("on_train_batch_end", values) != systems[1].call("on_train_batch_end", values)
    assert systems[0].log != systems[1].log
