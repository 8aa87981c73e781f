"""A module, a datamodule and a trainer so small that a test may run all of their life."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from .._datamodule import LightningDataModule
from .._module import LightningModule
from .._trainer import Trainer

__all__ = ["TinyDataModule", "TinyModule", "quiet_trainer", "tiny_loader"]


def tiny_loader(samples: int = 8, batch_size: int = 2) -> DataLoader[tuple[Tensor, ...]]:
    """Batches of inputs, shape ``(batch, 4)``, and their sums, shape ``(batch, 1)``: the same ones each time."""
    inputs = torch.linspace(-1, 1, samples * 4).reshape(samples, 4)
    return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=batch_size)


class TinyModule(LightningModule):
    """Learns the sum of four numbers; logs ``train_loss``, ``val_loss``, ``val_loss`` per epoch, and ``test_loss``.

    Args:
        lr: the learning rate of its SGD; a scheduler halves it every epoch.
    """

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.backbone = nn.Linear(4, 4)
            self.head = nn.Linear(4, 1)
        self.example_input_array = torch.zeros(1, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions, shape ``(batch, 1)``, for inputs, shape ``(batch, 4)``."""
        predicted: Tensor = self.head(torch.tanh(self.backbone(inputs)))
        return predicted

    def _loss(self, batch: Any, name: str) -> Tensor:
        inputs, targets = batch
        loss = nn.functional.mse_loss(self(inputs), targets)
        self.log(name, loss)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss, shape ``()``."""
        return self._loss(batch, "train_loss")

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss, shape ``()``."""
        return self._loss(batch, "val_loss")

    def test_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss, shape ``()``."""
        return self._loss(batch, "test_loss")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predictions, shape ``(batch, 1)``."""
        predicted: Tensor = self(batch[0])
        return predicted

    def configure_optimizers(self) -> Any:
        """SGD, and a scheduler that halves its rate every epoch."""
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]


class TinyDataModule(LightningDataModule):
    """Four batches for training, two for everything else.

    Args:
        batch_size: samples in a batch.
    """

    def __init__(self, batch_size: int = 2) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> Any:
        """Four batches, if ``batch_size`` is 2."""
        return tiny_loader(8, self.batch_size)

    def _few(self) -> Any:
        return tiny_loader(4, self.batch_size)

    def val_dataloader(self) -> Any:
        """Two batches, if ``batch_size`` is 2."""
        return self._few()

    def test_dataloader(self) -> Any:
        """Two batches, if ``batch_size`` is 2."""
        return self._few()

    def predict_dataloader(self) -> Any:
        """Two batches, if ``batch_size`` is 2."""
        return self._few()


def quiet_trainer(default_root_dir: Any, **options: Any) -> Trainer:
    """A trainer on the CPU with nothing switched on unless asked for: no logger, bar, summary or checkpoints; two epochs.

    Args:
        default_root_dir: where files go; a test's ``tmp_path``.
        **options: arguments of ``Trainer``, which win.
    """
    quiet: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": 2, "log_every_n_steps": 1, "logger": False,
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
    }  # fmt: skip
    return Trainer(default_root_dir=default_root_dir, **{**quiet, **options})
