"""Runs of a tiny model whose hooks are recorded: what docs/lifecycle.md and its figure are made of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from torch import optim
from torchbus import Callback, Trainer
from torchbus._cli.outline import Node, outline_of
from torchbus._cli.recording import quietly, recorded
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer


@cache
def outline_of_run(name: str) -> tuple[Node, ...]:
    """The outline of one of ``RUNS``."""
    with tempfile.TemporaryDirectory() as folder, quietly():
        trainer, run = RUNS[name](Path(folder))
        with recorded(trainer.bus) as calls:
            run()
    return outline_of(calls)


Run = tuple[Trainer, Callable[[], Any]]


def fit(folder: Path) -> Run:
    """Two epochs of four batches, two batches of validation after each, with a logger and checkpoints."""
    trainer = quiet_trainer(folder, logger="csv", enable_checkpointing=True, num_sanity_val_steps=2)
    return trainer, lambda: trainer.fit(TinyModule(), datamodule=TinyDataModule())


def _evaluation(entry: str) -> Callable[[Path], Run]:
    def run(folder: Path) -> Run:
        trainer = quiet_trainer(folder)
        return trainer, lambda: getattr(trainer, entry)(TinyModule(), datamodule=TinyDataModule())

    return run


class Failing(TinyModule):
    """Fails in its third batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2:
            raise RuntimeError("out of memory, say")
        return super().training_step(batch, batch_idx)


def exception(folder: Path) -> Run:
    """The third training step raises."""
    trainer = quiet_trainer(folder, num_sanity_val_steps=0)

    def run() -> None:
        with suppress(RuntimeError):
            trainer.fit(Failing(), datamodule=TinyDataModule())

    return trainer, run


class Manual(TinyModule):
    """Makes its own steps."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


def manual(folder: Path) -> Run:
    """One epoch of manual optimization."""
    trainer = quiet_trainer(folder, max_epochs=1, limit_val_batches=0)
    return trainer, lambda: trainer.fit(Manual(), datamodule=TinyDataModule())


class Unscheduled(TinyModule):
    """Has one learning rate, so that all its windows are alike."""

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.01)


def accumulation(folder: Path) -> Run:
    """One epoch of four batches in windows of two."""
    trainer = quiet_trainer(folder, max_epochs=1, limit_val_batches=0, accumulate_grad_batches=2)
    return trainer, lambda: trainer.fit(Unscheduled(), datamodule=TinyDataModule())


class SaveInTheMiddle(Callback):
    """Saves after the second batch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            trainer.save_checkpoint(self.path)


def resume(folder: Path) -> Run:
    """An epoch of four batches from a checkpoint that was taken after the second."""
    path = folder / "middle.ckpt"
    first = quiet_trainer(folder, max_epochs=1, callbacks=[SaveInTheMiddle(path)])
    first.fit(TinyModule(), datamodule=TinyDataModule())
    trainer = quiet_trainer(folder, max_epochs=1)
    return trainer, lambda: trainer.fit(TinyModule(), datamodule=TinyDataModule(), ckpt_path=path)


RUNS: dict[str, Callable[[Path], Run]] = {
    "fit": fit,
    "validate": _evaluation("validate"),
    "test": _evaluation("test"),
    "predict": _evaluation("predict"),
    "exception": exception,
    "manual": manual,
    "accumulation": accumulation,
    "resume": resume,
}
