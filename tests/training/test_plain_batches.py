"""Batches that run in the flat loop end as those that run through every hook: whatever a run asks for meanwhile.

Each program is run twice; the second time somebody hears `on_before_backward`, and so every batch takes the long path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torchbus as L
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, IterableDataset
from torchbus.testing import EventRecorder, TinyModule
from torchbus_hookspecs.events import (
    LogMetrics,
    TrainBatchEnd,
    TrainBatchStart,
    TrainEpochEnd,
    ValidationBatchEnd,
    ValidationStart,
)

from .toys import loader, samples

Quiet = Callable[..., L.Trainer]
OUTSIDE = (TrainBatchStart, TrainBatchEnd, TrainEpochEnd, ValidationStart, ValidationBatchEnd, LogMetrics)


class Hearing(L.Callback):
    """All that it does is to be there."""

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None: ...


class Program(TinyModule):
    """Does ``act(self, batch_idx)`` in one of its hooks, and notes what of its own is called."""

    def __init__(self, where: str, act: Callable[[Any, int], Any]) -> None:
        super().__init__()
        self.where, self.act = where, act
        self.noted: list[Any] = []

    def at(self, where: str, batch_idx: int) -> Any:
        return self.act(self, batch_idx) if where == self.where else None

    def on_train_start(self) -> None:
        self.at("on_train_start", -1)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        return self.at("on_train_batch_start", batch_idx)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("number", float(batch_idx), on_step=True, on_epoch=True)
        self.at("training_step", batch_idx)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.noted.append((batch_idx, outputs["loss"].item() if outputs else None))
        self.at("on_train_batch_end", batch_idx)


class Unsized(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([samples(2)[index] for index in range(2)] * 6)


class Short:
    """A loader that claims to be longer than it is, with an empty place in it."""

    def __len__(self) -> int:
        return 9

    def __iter__(self) -> Iterator[Any]:
        batches: list[Any] = list(loader(8))
        return iter([*batches[:2], None, *batches[2:]])


def at(batch: int, do: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
    """Do something in that batch alone."""
    return lambda module, batch_idx: do(module) if batch_idx == batch else None


def setting(name: str, value: Any) -> Callable[[Any], None]:
    return lambda module: setattr(module.trainer, name, value)


class Late(L.Callback):
    def __init__(self, noted: list[Any]) -> None:
        self.noted = noted

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.noted.append("zero_grad")

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.noted.append("step")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.noted.append(("late", sorted(outputs or ())))


def join(module: Any) -> None:
    if "late" not in module.trainer.bus.plugins:
        module.trainer.bus.register(Late(module.noted), "late")


def note_gradient(module: Any) -> Callable[..., None]:
    def note(optimizer: Any, *arguments: Any) -> None:
        gradient = module.head.weight.grad
        module.noted.append(None if gradient is None else gradient.sum().item())

    return note


def replace_step(module: Any) -> None:
    optimizer = module.trainer.optimizers[0]
    original = optimizer.step

    def step(closure: Any = None) -> Any:
        module.noted.append("closure" if closure is not None else "no closure")
        return original(closure)

    optimizer.step = step


def leave_out(module: Any) -> int:
    return -1


PROGRAMS: dict[str, tuple[str, Callable[[Any, int], Any], dict[str, Any]]] = {
    "nothing": ("", at(0, leave_out), {}),
    "stop in the start": ("on_train_batch_start", at(2, setting("should_stop", True)), {}),
    "stop in the step": ("training_step", at(2, setting("should_stop", True)), {}),
    "stop in the end": ("on_train_batch_end", at(2, setting("should_stop", True)), {"min_epochs": 2}),
    "fewer steps": ("on_train_batch_end", at(1, setting("max_steps", 3)), {}),
    "accumulate from the start on": ("on_train_batch_start", at(1, setting("accumulate_grad_batches", 2)), {}),
    "accumulate from the end on": ("on_train_batch_end", at(1, setting("accumulate_grad_batches", 2)), {}),
    "clip in the start": ("on_train_batch_start", at(1, setting("gradient_clip_val", 0.01)), {}),
    "clip in the step": ("training_step", at(1, setting("gradient_clip_val", 0.01)), {}),
    "clip in the end": ("on_train_batch_end", at(1, setting("gradient_clip_val", 0.01)), {}),
    "log oftener": ("on_train_batch_end", at(1, setting("log_every_n_steps", 1)), {"log_every_n_steps": 5}),
    "validate now and then": ("", at(0, leave_out), {"val_check_interval": 3, "log_every_n_steps": 2}),
    "validate over epochs": ("", at(0, leave_out), {"val_check_interval": 5, "check_val_every_n_epoch": None}),
    "a limit from the end on": ("on_train_batch_end", at(0, setting("limit_train_batches", 4)), {}),
    "leave a batch and the rest out": ("on_train_batch_start", at(2, leave_out), {}),
    "gradients off in the start": ("on_train_batch_start", at(1, lambda module: torch.set_grad_enabled(False)), {}),
    "gradients off in the step": ("training_step", at(1, lambda module: torch.set_grad_enabled(False)), {}),
    "a plugin joins in the start": ("on_train_batch_start", at(1, join), {}),
    "a plugin joins in the step": ("training_step", at(1, join), {}),
    "a plugin joins in the end": ("on_train_batch_end", at(1, join), {}),
    "a hook of the optimizer": (
        "on_train_batch_end",
        at(1, lambda module: module.trainer.optimizers[0].register_step_pre_hook(note_gradient(module))),
        {},
    ),
    "another step": ("on_train_batch_end", at(1, replace_step), {}),
}  # fmt: skip
LOADERS: dict[str, Callable[[], Any]] = {
    "sized": lambda: loader(12),
    "unsized": lambda: DataLoader(Unsized(), batch_size=2),
    "short": Short,
}


def told(quiet: Quiet, program: Any, data: Any, *others: L.Callback) -> dict[str, Any]:
    """All that a run shows outside of its steps."""
    where, act, options = program
    module = Program(where, act)
    trainer = quiet(callbacks=list(others), **{"max_epochs": 2, "log_every_n_steps": 2, "logger": "csv", **options})
    recorder = EventRecorder(trainer, OUTSIDE)
    before = torch.is_grad_enabled()
    try:
        trainer.fit(module, data(), loader(4))
    finally:
        torch.set_grad_enabled(before)
    return {
        "weights": {name: value.tolist() for name, value in module.state_dict().items()},
        "noted": module.noted,
        "events": recorder.names,
        "logged": [(event.step, event.metrics) for event in recorder.of(LogMetrics)],
        "counts": (trainer.global_step, trainer.current_epoch, trainer.fit_loop.progress),
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", LOADERS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_both_paths_end_alike(program: str, data: str, quiet: Quiet) -> None:
    flat, long = (told(quiet, PROGRAMS[program], LOADERS[data], *others) for others in ((), (Hearing(),)))
    assert flat == long


@pytest.mark.filterwarnings("ignore")
def test_gradients_may_be_off_around_a_fit(quiet: Quiet) -> None:
    with torch.no_grad():
        flat, long = (told(quiet, PROGRAMS["nothing"], LOADERS["sized"], *others) for others in ((), (Hearing(),)))
    assert flat == long and flat["counts"][0] == 12


@pytest.mark.filterwarnings("ignore")
def test_hooks_of_all_optimizers_come_before_the_forward_pass(quiet: Quiet) -> None:
    handles: list[Any] = []

    def begin(module: Any, batch_idx: int) -> None:
        handles.append(register_optimizer_step_pre_hook(note_gradient(module)))

    try:
        program = ("on_train_start", begin, {})
        flat = told(quiet, program, LOADERS["sized"])
        handles.pop().remove()
        long = told(quiet, program, LOADERS["sized"], Hearing())
    finally:
        for handle in handles:
            handle.remove()
    assert flat == long
    assert flat["noted"][0] is None, "the first comes before there are gradients"
