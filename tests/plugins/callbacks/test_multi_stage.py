"""MultiStage: rates by epoch, with and without schedulers, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from torch.optim.lr_scheduler import ChainedScheduler, LambdaLR, SequentialLR, StepLR
from torch.utils.data import DataLoader, TensorDataset
from torchbus.testing import CallbackContract
from torchbus_finetuning import MultiStage
from torchbus_hookspecs import MisconfigurationException


class Net(torchbus.LightningModule):
    """One layer, with a scheduler if one is given."""

    def __init__(self, schedule: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.schedule = schedule

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).pow(2).mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return optimizer if self.schedule is None else ([optimizer], [self.schedule(optimizer)])


class Watch(torchbus.Callback):
    """Notes the rate of each epoch, and saves a checkpoint in one hook of one epoch."""

    def __init__(self, path: Path | None = None, epoch: int = -1) -> None:
        self.rates: list[float] = []
        self.path, self.epoch = path, epoch

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.rates.append(round(trainer.optimizers[0].param_groups[0]["lr"], 6))
        if self.path is not None and trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)


def fit(tmp_path: Path, stages: Any, module: Any = None, watch: Watch | None = None, **options: Any) -> Watch:
    watch = watch or Watch()
    trainer = torchbus.Trainer(
        max_epochs=5, callbacks=[stages, watch], logger=False, accelerator="cpu", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module or Net(), DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2), **options)
    return watch


def test_rates_are_multiplied_when_a_stage_begins(tmp_path: Path) -> None:
    assert fit(tmp_path, MultiStage({1: 0.5, 3: 0.1})).rates == [0.1, 0.05, 0.05, 0.005, 0.005]


def test_it_can_be_switched_on_by_name(tmp_path: Path) -> None:
    assert fit(tmp_path, {"multi_stage": {"factors": {"0": 2.0}}}).rates == [0.2] * 5


@pytest.mark.parametrize(
    "schedule",
    [lambda one: LambdaLR(one, lambda epoch: 0.5**epoch), lambda one: StepLR(one, 1, gamma=0.5)],
    ids=["of initial rates", "of present rates"],
)
def test_a_stage_lasts_whatever_the_scheduler_computes_rates_from(tmp_path: Path, schedule: Any) -> None:
    assert fit(tmp_path, MultiStage({2: 0.1}), Net(schedule)).rates == [0.1, 0.05, 0.0025, 0.00125, 0.000625]


def halved_later(optimizer: Any) -> Any:
    constant, halved = (LambdaLR(optimizer, lambda epoch, factor=factor: factor) for factor in (1.0, 0.5))
    return SequentialLR(optimizer, [constant, halved], milestones=[3])


def test_schedulers_inside_others_hear_of_a_stage_too(tmp_path: Path) -> None:
    assert fit(tmp_path, MultiStage({2: 0.1}), Net(halved_later)).rates == [0.1, 0.1, 0.01, 0.005, 0.005]
    chained = Net(lambda one: ChainedScheduler([StepLR(one, 1, gamma=0.5), StepLR(one, 2, gamma=0.1)]))
    assert fit(tmp_path, MultiStage({1: 0.1}), chained).rates == [0.1, 0.005, 0.00025, 0.000125, 6e-06]


class TestContract(CallbackContract):
    plugin = MultiStage
    settings = {"factors": {"1": 0.5}}


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_resumed_run_applies_no_stage_twice(tmp_path: Path, epoch: int) -> None:
    stages = {2: 0.1, 3: 0.5}
    whole = fit(tmp_path, MultiStage(stages), watch=Watch(tmp_path / "x.ckpt", epoch)).rates
    resumed = fit(tmp_path, MultiStage(stages), ckpt_path=tmp_path / "x.ckpt").rates
    assert resumed == whole[epoch:]


@pytest.mark.parametrize("factors", [{}, {-1: 0.1}, {1: 0.0}, {1: "x"}])
def test_wrong_settings_are_refused(factors: Any) -> None:
    with pytest.raises(MisconfigurationException, match="`factors"):
        MultiStage(factors)


def test_verbose_logs_each_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "torchbus.multi_stage"):
        fit(tmp_path, MultiStage({1: 0.5}, verbose=True))
    assert "epoch 1: rates are multiplied by 0.5" in caplog.text
