"""What Lightning's users write in their modules: logging, epoch outputs, gradients, hyperparameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from .classifier import QUIET, LitClassifier, ValidatedClassifier, points, train_loader, val_loader


def test_a_sum_is_logged_over_all_batches_and_processes() -> None:
    class CountsCorrect(LitClassifier):
        def validation_step(self, batch, batch_idx):
            x, y = batch
            correct = (self(x).argmax(1) == y).sum().float()
            self.log("correct", correct, reduce_fx="sum", sync_dist=True)
            self.log("seen", float(len(y)), reduce_fx=torch.sum)

    [results] = L.Trainer(**QUIET).validate(CountsCorrect(), val_loader(), verbose=False)
    assert results["seen"] == 24 and 0 <= results["correct"] <= 24 and results["correct"] == int(results["correct"])


def test_the_learning_rate_is_logged_from_the_training_step() -> None:
    class LogsItsRate(LitClassifier):
        def training_step(self, batch, batch_idx):
            self.log("learning_rate", self.optimizers().param_groups[0]["lr"])
            return super().training_step(batch, batch_idx)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]

    trainer = L.Trainer(max_epochs=3, **QUIET)
    trainer.fit(LogsItsRate(), train_loader())
    assert trainer.callback_metrics["learning_rate"].item() == pytest.approx(0.025)


def test_a_module_clips_and_logs_its_gradient_after_backward() -> None:
    class ClipsItself(LitClassifier):
        def on_after_backward(self):
            norm = torch.nn.utils.clip_grad_norm_(self.parameters(), max_norm=0.01)
            self.log("grad_norm", norm)

        def on_before_optimizer_step(self, optimizer):
            norms = [parameter.grad.norm() for parameter in self.parameters() if parameter.grad is not None]
            self.log("clipped_norm", torch.stack(norms).norm(), on_step=True, on_epoch=False)

    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(ClipsItself(), train_loader())
    assert trainer.callback_metrics["grad_norm"] > 0.01
    assert trainer.callback_metrics["clipped_norm"].item() == pytest.approx(0.01, rel=1e-3)


def test_a_module_collects_outputs_and_clears_them_at_the_end_of_the_epoch() -> None:
    class CollectsOutputs(LitClassifier):
        def __init__(self):
            super().__init__()
            self.training_step_outputs: list[Tensor] = []
            self.validation_step_outputs: list[Tensor] = []
            self.epochs: list[tuple[str, int]] = []

        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            self.training_step_outputs.append(loss.detach())
            return loss

        def on_train_epoch_end(self):
            self.log("epoch_mean", torch.stack(self.training_step_outputs).mean())
            self.epochs.append(("train", len(self.training_step_outputs)))
            self.training_step_outputs.clear()

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.validation_step_outputs.append((self(x).argmax(1) == y).float())

        def on_validation_epoch_end(self):
            self.log("accuracy", torch.cat(self.validation_step_outputs).mean())
            self.epochs.append(("validation", len(self.validation_step_outputs)))
            self.validation_step_outputs.clear()

    module = CollectsOutputs()
    trainer = L.Trainer(max_epochs=2, num_sanity_val_steps=1, **QUIET)
    trainer.fit(module, train_loader(), val_loader())
    assert module.epochs == [("validation", 1), *[("validation", 3), ("train", 6)] * 2]
    assert trainer.callback_metrics["epoch_mean"].item() == pytest.approx(
        trainer.callback_metrics["train_loss"].item(), abs=1.0
    )
    assert 0.0 <= trainer.callback_metrics["accuracy"] <= 1.0


def test_a_checkpoint_is_loaded_with_another_learning_rate(tmp_path: Path) -> None:
    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(LitClassifier(hidden_size=4), train_loader())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    model = LitClassifier.load_from_checkpoint(tmp_path / "model.ckpt", learning_rate=0.0001)
    assert model.hparams.hidden_size == 4 and model.hparams.learning_rate == 0.0001
    assert all(
        torch.equal(one, other) for one, other in zip(model.parameters(), trainer.model.parameters(), strict=True)
    )
    model.eval()
    assert model(torch.randn(3, 2)).shape == (3, 2)


def test_shuffling_is_left_to_the_framework(tmp_path: Path) -> None:
    class Order(LitClassifier):
        def __init__(self):
            super().__init__()
            self.seen: list[Tensor] = []

        def training_step(self, batch, batch_idx):
            self.seen.append(batch[0])
            return super().training_step(batch, batch_idx)

    module, loader = Order(), DataLoader(points(16), batch_size=16, shuffle=True)
    trainer = L.Trainer(max_epochs=3, **QUIET)
    trainer.fit(module, loader)
    assert isinstance(trainer.train_dataloader.sampler, RandomSampler)
    first, second, _ = module.seen
    assert not torch.equal(first, second) and torch.equal(
        first.sum(0).round(decimals=4), second.sum(0).round(decimals=4)
    )


@pytest.mark.parametrize(
    "precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true", "32", 32, "bf16", 64, None]
)
def test_each_precision_trains_and_validates(precision: Any) -> None:
    module = ValidatedClassifier()
    trainer = L.Trainer(max_epochs=2, precision=precision, **QUIET)
    trainer.fit(module, train_loader(), val_loader())
    assert trainer.global_step == 12 and torch.isfinite(trainer.callback_metrics["train_loss"])
