"""A small model and a quiet trainer, for the tests of profilers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchbus as L
from torch.utils.data import DataLoader


class Line(L.LightningModule):
    """Trains and predicts; has an action of its own in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))

    def forward(self, batch: Any) -> Any:
        return self.layers(batch)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        with self.trainer.profiler.profile("my action"):
            return self(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Full(Line):
    """Also validates and tests."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self(batch).square().mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch)


def loader(batches: int = 4) -> DataLoader[Any]:
    return DataLoader(torch.randn(2 * batches, 4), batch_size=2)


def trainer(folder: Path, profiler: Any, **options: Any) -> L.Trainer:
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }
    settings = {"max_epochs": 1, "accelerator": "cpu", "default_root_dir": folder, **quiet, **options}
    return L.Trainer(profiler=profiler, **settings)
