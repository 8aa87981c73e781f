"""Train a small convolutional network on scikit-learn's handwritten digits, with plugins enabled by name.

Takes some ten seconds on a CPU and gets about 99 % of the test images right. Writes to `torchbus_logs/`.
"""

import os
import sys
from pathlib import Path

import torch
import torchbus as L
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Shifted(TensorDataset):
    """Images, each moved by up to one pixel in a random direction whenever it is asked for."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        top, left = torch.randint(0, 3, (2,)).tolist()
        return F.pad(image, (1, 1, 1, 1))[:, top : top + 8, left : left + 8], label


class Digits(L.LightningDataModule):
    """1,797 images of 8 by 8 pixels: 60 % to train on, 20 % for validation, 20 % for the test."""

    def setup(self, stage):
        images, labels = load_digits(return_X_y=True)
        images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        labels = torch.tensor(labels)
        rest, test = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=0)
        train, val = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=0)
        self.train = Shifted(images[train], labels[train])
        self.val = TensorDataset(images[val], labels[val])
        self.test = TensorDataset(images[test], labels[test])

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=512)

    def test_dataloader(self):
        return DataLoader(self.test, batch_size=512)


class Classifier(L.LightningModule):
    def __init__(self, width=16, lr=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.example_input_array = torch.zeros(1, 1, 8, 8)  # gives the summary its sizes
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * 16, 10),
        )  # fmt: skip

    def forward(self, images):
        return self.net(images)  # (N, 1, 8, 8) to (N, 10)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def evaluate(self, batch, stage):
        images, labels = batch
        scores = self(images)
        self.log(f"{stage}_loss", F.cross_entropy(scores, labels))
        self.log(f"{stage}_acc", (scores.argmax(1) == labels).float().mean(), prog_bar=True)
        return {"preds": scores, "target": labels}  # for the plugin `confusion`

    def validation_step(self, batch, batch_idx):
        return self.evaluate(batch, "val")

    def test_step(self, batch, batch_idx):
        return self.evaluate(batch, "test")

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def show_plugins(trainer):
    """The plugins in use, in calling order, and the distribution that brought each."""
    table = Table("plugin", "distribution", box=box.ROUNDED if sys.stdout.isatty() else None)
    for name, plugin in trainer.bus.plugins.items():
        if not plugin.is_user_code:
            table.add_row(name, plugin.origin)
    Console().print(table)


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a network gains nothing from more
    L.seed_everything(7)
    trainer = L.Trainer(
        max_epochs=20,
        log_every_n_steps=5,
        logger="tensorboard",
        plugins={
            "early_stopping": {"monitor": "val_loss", "patience": 10},
            "model_checkpoint": {"monitor": "val_acc", "mode": "max", "filename": "{epoch}-{val_acc:.3f}"},
            "confusion": {"worst": 3},  # by somebody else, installed apart, enabled in the same way
        },
    )
    show_plugins(trainer)
    trainer.fit(Classifier(), datamodule=Digits())
    (result,) = trainer.test(ckpt_path="best")

    tensorboard = os.path.relpath(Path(sys.executable).with_name("tensorboard"))
    print(f"\ntest accuracy    {result['test_acc']:.4f}")
    print(f"best checkpoint  {os.path.relpath(trainer.checkpoint_callback.best_model_path)}")
    print(f"curves           {tensorboard} --logdir {os.path.relpath(trainer.logger.root_dir)}")
