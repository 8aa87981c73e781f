"""Hooks that a module calls itself are events as well, where the default or a plugin is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchbus as L
from torchbus import hookimpl
from torchbus.testing import EventRecorder, TinyDataModule, TinyModule, quiet_trainer
from torchbus_hookspecs.events import (
    BeforeBackward,
    ClipGradients,
    Forward,
    ManualBackward,
    ToggledOptimizer,
    ToggleOptimizer,
    UntoggleOptimizer,
)


class Manual(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        with self.toggled_optimizer(optimizer):
            self.manual_backward(self._loss(batch, "train_loss"))
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimizer.step()
        optimizer.zero_grad()


def test_manual_optimization_is_heard_in_its_order(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_epochs=1)
    wanted = (ToggledOptimizer, ToggleOptimizer, ManualBackward, BeforeBackward, UntoggleOptimizer, ClipGradients)
    recorder = EventRecorder(trainer, wanted)
    trainer.fit(Manual(), datamodule=TinyDataModule())
    assert recorder.names == [one.__name__ for one in wanted] * 4
    assert recorder.of(ClipGradients)[0].gradient_clip_val == 1.0


class Shapeless(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)


class Shape:
    @hookimpl
    def forward(self, pl_module: Any, args: Any) -> Any:
        return pl_module.layer(*args)


def test_a_forward_that_a_plugin_provides_is_heard(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, plugins=[Shape()])
    recorder = EventRecorder(trainer, (Forward,))
    trainer.predict(Shapeless(), torch.utils.data.DataLoader(torch.ones(3, 4)))
    assert [event.args[0].shape for event in recorder.of(Forward)] == [(1, 4)] * 3
