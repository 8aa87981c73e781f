"""What emitting costs, in Python calls: a compiled chain is one function, whatever pluggy knows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from torchbus import Bus
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.events import OptimizerStep, TrainBatchEnd


def calls_of(emit: Callable[..., Any], *values: Any) -> list[str]:
    """The names of the Python functions that are called when something is emitted."""
    seen: list[str] = []

    def watch(frame: FrameType, what: str, argument: Any) -> None:
        if what == "call":
            seen.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        emit(*values)
    finally:
        sys.setprofile(None)
    return seen


class Hearing(Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None: ...


def hearing() -> SimpleNamespace:
    def heard(batch_idx: int) -> None: ...

    return SimpleNamespace(on_train_batch_end=hookimpl(heard))


def test_emitting_to_nobody_is_one_call(bus: Bus) -> None:
    assert calls_of(bus.emitter(TrainBatchEnd), 1, 2, 3, 4, 5) == ["on_train_batch_end"]


def test_each_implementation_is_called_directly_from_the_emitter(bus: Bus) -> None:
    bus.register(Hearing(), "callback")
    bus.register(hearing(), "hooks", policy="quarantine")
    emit = bus.emitter(TrainBatchEnd)
    assert calls_of(emit, 1, 2, 3, 4, 5) == ["on_train_batch_end", "heard", "on_train_batch_end"]


def test_a_subscription_that_has_ended_costs_nothing_more(bus: Bus) -> None:
    emit = bus.emitter(TrainBatchEnd)
    subscription = bus.subscribe(TrainBatchEnd, lambda event: None)
    assert len(calls_of(emit, 1, 2, 3, 4, 5)) > 1
    subscription.cancel()
    emit(1, 2, 3, 4, 5)  # the first call after a change compiles it
    assert calls_of(emit, 1, 2, 3, 4, 5) == ["on_train_batch_end"]


def test_errors_point_to_the_chain_of_their_hook(bus: Bus) -> None:
    def optimizer_step() -> None:
        raise ValueError("wrong")

    bus.register(SimpleNamespace(optimizer_step=hookimpl(optimizer_step)), "failing")
    with pytest.raises(ValueError, match="wrong") as caught:
        bus.emitter(OptimizerStep)(1, 2, 3, 4, 5, 6)
    files = [str(entry.path) for entry in caught.traceback]
    assert any("<torchbus chain of optimizer_step>" in file for file in files)
    assert len(files) == 3, "the test, the chain, the plugin"
