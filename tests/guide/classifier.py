"""The module and the data that the user guide's callbacks are shown on, as a user of Lightning writes them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchbus as L
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def points(count: int = 48) -> TensorDataset:
    """Points of the plane, and whether they lie above the diagonal."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 2, generator=generator)
    return TensorDataset(inputs, (inputs[:, 0] < inputs[:, 1]).long())


def train_loader() -> DataLoader[Any]:
    return DataLoader(points(), batch_size=8, shuffle=True)


def val_loader() -> DataLoader[Any]:
    return DataLoader(points(24), batch_size=8)


class LitClassifier(L.LightningModule):
    """Trains and predicts."""

    def __init__(self, hidden_size: int = 8, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(nn.Linear(2, hidden_size), nn.ReLU())
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0]).argmax(1)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)


class ValidatedClassifier(LitClassifier):
    """Validates as well."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(1) == y).float().mean())
