"""What torchbus adds to a step, counted rather than timed: Python calls and memory are the same on every machine.

A profiler shows what is slow; nobody sees a call that comes to each step. So the calls are counted, those of the plain loop taken
away, and the rest held under a limit a little above what it is. Who must raise a limit says in the commit what it buys.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch
import torchbus as L

from .toys import Bare, sgd

MakeTrainer = Callable[..., L.Trainer]
Run = Callable[[int], Any]


class Batches:
    """Batches made in advance, so that no loader's calls are counted."""

    def __init__(self, steps: int) -> None:
        self.batches = [(torch.ones(2, 4), torch.ones(2, 1))] * steps

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


class Counted(Bare):
    """Logs as often as it is told, in training with a value per step and one per epoch."""

    def __init__(self, logs: int = 0) -> None:
        super().__init__()
        self.names = [f"value_{number}" for number in range(logs)]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        for name in self.names:
            self.log(name, loss, on_step=True, on_epoch=True)
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        for name in self.names:
            self.log(name, loss)
        return loss


def calls(run: Run, steps: int) -> int:
    """Python functions entered while ``run`` makes so many steps."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run(steps)
    finally:
        sys.setprofile(before)
    return count


def calls_per_step(run: Run) -> float:
    """What 100 steps more cost: what happens once in a run, or once in many steps, falls out."""
    run(10)  # imports, caches
    gc.collect()  # generators of earlier runs are closed when they are collected, which is a call
    return (calls(run, 150) - calls(run, 50)) / 100


def plain_training(steps: int) -> None:
    module = Counted()
    optimizer = sgd(module)
    for index, batch in enumerate(Batches(steps)):
        loss = module.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def plain_evaluation(steps: int) -> None:
    module = Counted().eval()
    with torch.inference_mode():
        for index, batch in enumerate(Batches(steps)):
            module.test_step(batch, index)


@pytest.fixture
def still(quiet: MakeTrainer) -> MakeTrainer:
    """Quiet trainers without the watch for slow plugins: when it takes a sample depends on the clock."""
    return lambda **options: quiet(plugins=["no:slow_plugins"], **options)


@pytest.fixture
def training(still: MakeTrainer) -> Callable[..., float]:
    """Calls per training step with so many logs."""
    return lambda logs: calls_per_step(lambda steps: still().fit(Counted(logs), Batches(steps)))


@pytest.fixture
def evaluation(still: MakeTrainer) -> Callable[..., float]:
    """Calls per tested batch with so many logs."""
    return lambda logs: calls_per_step(lambda steps: still().test(Counted(logs), Batches(steps), verbose=False))


def test_a_training_step_adds_at_most_5_calls_to_the_plain_loop(training: Callable[..., float]) -> None:
    assert training(0) - calls_per_step(plain_training) <= 5


def test_an_evaluated_batch_adds_at_most_8_calls_to_the_plain_loop(evaluation: Callable[..., float]) -> None:
    assert evaluation(0) - calls_per_step(plain_evaluation) <= 8


def test_a_logged_value_adds_at_most_3_calls_to_a_training_step(training: Callable[..., float]) -> None:
    assert (training(4) - training(1)) / 3 <= 3


def test_a_logged_value_adds_at_most_3_calls_to_an_evaluated_batch(evaluation: Callable[..., float]) -> None:
    assert (evaluation(4) - evaluation(1)) / 3 <= 3


def test_a_callback_adds_the_calls_of_its_own_hooks_and_no_others(still: MakeTrainer) -> None:
    class Watcher(L.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.started = batch_idx

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.ended = batch_idx

    def with_watchers(count: int) -> float:
        return calls_per_step(
            lambda steps: still(callbacks=[Watcher() for _ in range(count)]).fit(Counted(), Batches(steps))
        )

    assert (with_watchers(11) - with_watchers(1)) / 10 == pytest.approx(2, abs=0.2)


def test_memory_stays_flat_over_two_thousand_steps(quiet: MakeTrainer) -> None:
    class Weighed(L.Callback):
        """Notes what Python holds after some of the steps."""

        def __init__(self) -> None:
            self.held: dict[int, int] = {}

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx in (999, 1999):
                gc.collect()
                self.held[batch_idx] = tracemalloc.get_traced_memory()[0]

    weighed = Weighed()
    quiet().fit(Counted(logs=3), Batches(10))  # imports, caches
    tracemalloc.start()
    try:
        quiet(callbacks=[weighed]).fit(Counted(logs=3), Batches(2000))
    finally:
        tracemalloc.stop()
    assert weighed.held[1999] - weighed.held[999] < 16 * 1024  # one small object a step would be 32 KiB
