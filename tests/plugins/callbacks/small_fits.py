"""A tiny module, its data, a quiet trainer and a logger that remembers: for tests that fit for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchbus as L
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchbus.loggers import Logger


def sgd(module: nn.Module) -> Any:
    return torch.optim.SGD(module.parameters(), lr=0.1)


class Line(L.LightningModule):
    """One linear layer whose first weights are always the same."""

    def __init__(self, optimize: Callable[[Any], Any] = sgd) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.optimize = optimize
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.5, -0.4, 0.3, -0.2]]))
            self.layer.bias.fill_(0.1)

    def loss(self, batch: Any) -> Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(self.layer(inputs), targets)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return self.optimize(self)


class Judged(Line):
    """The same, and validates, tests and predicts."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.layer(batch[0])


def loader(count: int = 8, batch_size: int = 2, **options: Any) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 4, generator=generator)
    return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=batch_size, **options)


class Remembering(Logger):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[dict[str, float], int | None]] = []

    @property
    def name(self) -> str:
        return "remembering"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.records.append((dict(metrics), step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


def trainer(tmp_path: Path, *callbacks: Any, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    settings = {"max_epochs": 1, "default_root_dir": tmp_path, "log_every_n_steps": 1, **quiet, **options}
    if not any(isinstance(one, L.callbacks.Checkpoint) for one in callbacks):
        settings.setdefault("enable_checkpointing", False)
    return L.Trainer(callbacks=list(callbacks), **settings)


class Failing(L.Callback):
    """Raises once that many optimizer steps are taken."""

    def __init__(self, steps: int, error: BaseException) -> None:
        self.steps, self.error = steps, error

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.steps:
            raise self.error


def weights(module: nn.Module) -> list[float]:
    return [value for one in module.parameters() for value in one.detach().flatten().tolist()]
