"""How Lightning's users optimise: every form of ``configure_optimizers``, schedulers, a GAN, trainer flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchbus as L
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

from .classifier import QUIET, LitClassifier, points, train_loader, val_loader


def one_optimizer(module: LitClassifier) -> Any:
    return Adam(module.parameters(), lr=0.1)


def lists_of_both(module: LitClassifier) -> Any:
    optimizer = SGD(module.parameters(), lr=0.1)
    return [optimizer], [ExponentialLR(optimizer, gamma=0.5)]


def dictionary(module: LitClassifier) -> Any:
    optimizer = SGD(module.parameters(), lr=0.1)
    scheduler = {"scheduler": StepLR(optimizer, 3, gamma=0.5), "interval": "step", "frequency": 1, "name": "halving"}
    return {"optimizer": optimizer, "lr_scheduler": scheduler}


def plateau(module: LitClassifier) -> Any:
    optimizer = SGD(module.parameters(), lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1e9, threshold_mode="abs")
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "train_loss"}}


@pytest.mark.parametrize(
    ("configure", "rate"), [(one_optimizer, 0.1), (lists_of_both, 0.025), (dictionary, 0.1 / 2**4), (plateau, 0.05)]
)
def test_each_form_of_configure_optimizers_trains(configure: Callable[..., Any], rate: float) -> None:
    class Configured(LitClassifier):
        def configure_optimizers(self):
            return configure(self)

    module = Configured()
    before = module.head.weight.detach().clone()
    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(module, train_loader())
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(rate)
    assert not torch.equal(before, module.head.weight)


def test_one_cycle_is_as_long_as_the_run() -> None:
    class OneCycle(LitClassifier):
        def configure_optimizers(self):
            optimizer = SGD(self.parameters(), lr=0.01)
            steps = self.trainer.estimated_stepping_batches
            scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    module = OneCycle()
    trainer = L.Trainer(max_epochs=3, accumulate_grad_batches=4, **QUIET)
    trainer.fit(module, train_loader())
    assert module.lr_schedulers().total_steps == trainer.global_step == 6
    assert module.lr_schedulers().last_epoch == 6


def test_four_batches_are_accumulated_into_one_step() -> None:
    class Watch(L.Callback):
        def __init__(self):
            self.steps: list[int] = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.steps.append(trainer.global_step)

    watch = Watch()
    trainer = L.Trainer(max_epochs=1, accumulate_grad_batches=4, callbacks=[watch], **QUIET)
    trainer.fit(LitClassifier(), DataLoader(points(64), batch_size=8))
    assert watch.steps == [0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped(algorithm: str) -> None:
    class Watch(LitClassifier):
        def training_step(self, batch, batch_idx):
            return 1000 * super().training_step(batch, batch_idx)

        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            gradients = torch.cat([parameter.grad.flatten() for parameter in self.parameters()])
            self.largest, self.norm = gradients.abs().max().item(), gradients.norm().item()

    module = Watch()
    trainer = L.Trainer(max_steps=1, gradient_clip_val=0.5, gradient_clip_algorithm=algorithm, **QUIET)
    trainer.fit(module, train_loader())
    assert {"norm": module.norm, "value": module.largest}[algorithm] == pytest.approx(0.5, rel=1e-3)


class GAN(L.LightningModule):
    """Learns the points above the diagonal, by two optimizers in one training step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
        self.trainable: list[tuple[bool, bool]] = []

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def judge(self, points: Tensor, is_real: bool) -> Tensor:
        logits = self.discriminator(points)
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(is_real)))

    def note_trainable(self) -> None:
        self.trainable.append(
            tuple(all(one.requires_grad for one in net.parameters()) for net in (self.generator, self.discriminator))
        )

    def training_step(self, batch: Any) -> None:
        real, _ = batch
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(len(real), 4).type_as(real)

        self.toggle_optimizer(optimizer_g)
        self.note_trainable()
        g_loss = self.judge(self(z), is_real=True)
        optimizer_g.zero_grad()
        self.manual_backward(g_loss)
        optimizer_g.step()
        self.untoggle_optimizer(optimizer_g)

        self.toggle_optimizer(optimizer_d)
        self.note_trainable()
        d_loss = (self.judge(real, is_real=True) + self.judge(self(z).detach(), is_real=False)) / 2
        optimizer_d.zero_grad()
        self.manual_backward(d_loss)
        optimizer_d.step()
        self.untoggle_optimizer(optimizer_d)
        self.log_dict({"g_loss": g_loss, "d_loss": d_loss}, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        for scheduler in self.lr_schedulers():
            scheduler.step()

    def configure_optimizers(self) -> Any:
        optimizers = [Adam(self.generator.parameters(), lr=0.01), Adam(self.discriminator.parameters(), lr=0.02)]
        return optimizers, [StepLR(optimizer, 1, gamma=0.5) for optimizer in optimizers]


def test_a_gan_trains_by_manual_optimization() -> None:
    module = GAN()
    weights = [net[0].weight.detach().clone() for net in (module.generator, module.discriminator)]
    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(module, train_loader())
    assert trainer.global_step == 24, "each optimizer counts its steps"
    assert set(module.trainable) == {(True, False), (False, True)}
    assert all(parameter.requires_grad for parameter in module.parameters())
    for before, net in zip(weights, (module.generator, module.discriminator), strict=True):
        assert not torch.equal(before, net[0].weight)
    assert [one.param_groups[0]["lr"] for one in trainer.optimizers] == pytest.approx([0.0025, 0.005])
    assert {"g_loss", "d_loss"} <= set(trainer.callback_metrics)


def test_gradients_are_accumulated_by_hand() -> None:
    class ByHand(LitClassifier):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx) / 3
            self.manual_backward(loss)
            if (batch_idx + 1) % 3 == 0:
                optimizer = self.optimizers()
                self.clip_gradients(optimizer, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
                optimizer.step()
                optimizer.zero_grad()

    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(ByHand(), train_loader())
    assert trainer.global_step == 4


def test_a_compiled_network_trains_and_logs() -> None:
    class Compiled(LitClassifier):
        def __init__(self):
            super().__init__()
            self.graphs = 0
            self.backbone = torch.compile(self.backbone, backend=self.count_graphs)

        def count_graphs(self, graph, inputs):
            self.graphs += 1
            return graph.forward

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.log("val_loss", F.cross_entropy(self(x), y))

    module = Compiled()
    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(module, train_loader(), val_loader())
    assert module.graphs >= 1 and {"train_loss", "val_loss"} <= set(trainer.callback_metrics)
