"""The learning rate monitor: names, moments, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_monitoring import LearningRateMonitor

from .small_fits import Line, Remembering, loader, trainer


def test_a_rate_is_logged_whenever_its_scheduler_steps(tmp_path: Path) -> None:
    def optimize(module: Any) -> Any:
        optimizer = SGD(module.parameters(), lr=1e-3)
        scheduler = {"scheduler": StepLR(optimizer, 1, gamma=0.5), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    logger, monitor = Remembering(), LearningRateMonitor()
    trainer(tmp_path, monitor, logger=logger).fit(Line(optimize), loader())
    assert monitor.lrs == {"lr-SGD": [1e-3, 5e-4, 2.5e-4, 1.25e-4]}
    assert [(round(values["lr-SGD"], 9), step) for values, step in logger.records] == [
        (1e-3, 0), (5e-4, 1), (2.5e-4, 2), (1.25e-4, 3)
    ]  # fmt: skip


def test_rates_are_callback_metrics_so_that_a_checkpoint_can_be_named_by_them(tmp_path: Path) -> None:
    run = trainer(tmp_path, LearningRateMonitor(log_momentum=True, log_weight_decay=True), logger=Remembering())
    run.fit(Line(lambda module: Adam(module.parameters(), lr=0.5, weight_decay=0.25)), loader())
    values = {name: value.item() for name, value in run.callback_metrics.items()}
    assert values == {
        "lr-Adam": 0.5,
        "lr-Adam-momentum": pytest.approx(0.9),
        "lr-Adam-weight_decay": 0.25,
    }


def test_the_newest_momentum_and_weight_decay_have_the_names_under_which_they_are_logged(tmp_path: Path) -> None:
    def optimize(module: Any) -> Any:
        return SGD(module.parameters(), lr=0.1, momentum=0.5, weight_decay=0.25)

    monitor = LearningRateMonitor(log_momentum=True)
    trainer(tmp_path, monitor, logger=Remembering()).fit(Line(optimize), loader())
    assert monitor.last_momentum_values == {"lr-SGD-momentum": 0.5}
    assert monitor.last_weight_decay_values == {"lr-SGD-weight_decay": None}


def test_without_an_optimizer_there_is_no_rate(tmp_path: Path) -> None:
    monitor = LearningRateMonitor()
    with pytest.warns(UserWarning, match="returned None"):
        trainer(tmp_path, monitor, logger=Remembering()).fit(Line(lambda module: None), loader())
    assert monitor.lrs == {}


def test_it_is_enabled_by_name(tmp_path: Path) -> None:
    logger = Remembering()
    run = trainer(tmp_path, logger=logger, plugins={"learning_rate_monitor": {"logging_interval": "epoch"}})
    run.fit(Line(), loader())
    assert [sorted(values) for values, _ in logger.records] == [["lr-SGD"]]


def test_a_step_is_logged_once_while_gradients_accumulate(tmp_path: Path) -> None:
    monitor = LearningRateMonitor("step")
    trainer(tmp_path, monitor, logger=Remembering(), accumulate_grad_batches=2).fit(Line(), loader())
    assert len(monitor.lrs["lr-SGD"]) == 2


def test_each_of_two_schedulers_of_one_optimizer_has_its_moments_and_a_name_of_its_own(tmp_path: Path) -> None:
    class Both(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.1)
            warm_up = {"scheduler": StepLR(optimizer, 1), "interval": "step"}
            plateau = {"scheduler": ReduceLROnPlateau(optimizer), "interval": "epoch", "monitor": "loss"}
            return [optimizer], [warm_up, plateau]

    monitor = LearningRateMonitor()
    trainer(tmp_path, monitor, logger=Remembering()).fit(Both(), loader())
    assert {name: len(rates) for name, rates in monitor.lrs.items()} == {"lr-SGD": 4, "lr-SGD-1": 1}


def test_a_group_that_comes_while_training_is_found(tmp_path: Path) -> None:
    class Unfreezing(L.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.7})

    monitor = LearningRateMonitor("epoch")
    trainer(tmp_path, Unfreezing(), monitor, logger=Remembering(), max_epochs=2).fit(Line(), loader())
    assert monitor.lrs == {"lr-SGD/pg1": [0.1, 0.1], "lr-SGD/pg2": [0.7]}


def test_without_a_logger_it_says_so_before_training(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="has nobody to tell"):
        trainer(tmp_path, LearningRateMonitor()).fit(Line(), loader())


def test_a_fast_dev_run_needs_no_logger(tmp_path: Path) -> None:
    monitor = LearningRateMonitor()
    trainer(tmp_path, monitor, fast_dev_run=True).fit(Line(), loader())
    assert monitor.lrs == {"lr-SGD": [0.1, 0.1]}


def test_groups_named_alike_are_refused_by_name(tmp_path: Path) -> None:
    def optimize(module: Any) -> Any:
        return SGD([{"params": [one], "name": "body"} for one in module.parameters()], lr=0.1)

    with pytest.raises(MisconfigurationException, match="are called `body`"):
        trainer(tmp_path, LearningRateMonitor(), logger=Remembering()).fit(Line(optimize), loader())


def test_a_wrong_interval_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="logging_interval"):
        LearningRateMonitor(logging_interval="batch")  # type: ignore[arg-type]


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(LearningRateMonitor))
