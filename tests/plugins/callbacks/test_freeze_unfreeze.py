"""FreezeUnfreeze: parts by name, their epochs and rates, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset
from torchbus.testing import CallbackContract
from torchbus_finetuning import FreezeUnfreeze
from torchbus_hookspecs import MisconfigurationException


class Net(torchbus.LightningModule):
    """Two blocks and a head."""

    def __init__(self, all_parameters: bool = False) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"low": nn.Linear(2, 2), "high": nn.Linear(2, 2)})
        self.head = nn.Linear(2, 1)
        self.all_parameters = all_parameters

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.head(self.encoder["high"](self.encoder["low"](batch[0]))).pow(2).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([one for one in self.parameters() if one.requires_grad or self.all_parameters], lr=0.1)


class Watch(torchbus.Callback):
    """Notes, for each epoch, the groups' rates and whether low and high train."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[float], bool, bool]] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        rates = [round(group["lr"], 6) for group in trainer.optimizers[0].param_groups]
        low, high = (pl_module.encoder[name].weight.requires_grad for name in ("low", "high"))
        self.seen.append((rates, low, high))


def fit(tmp_path: Path, settings: dict[str, Any], module: Net | None = None, **options: Any) -> tuple[Any, Watch]:
    watch = Watch()
    trainer = torchbus.Trainer(
        max_epochs=4, callbacks=[{"freeze_unfreeze": settings}, watch], logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module or Net(), DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2), **options)
    return trainer, watch


def test_each_part_trains_from_its_epoch_on(tmp_path: Path) -> None:
    _, watch = fit(tmp_path, {"modules": {"encoder": 2, "encoder.high": 1}, "lr": 0.01})
    assert [one[1:] for one in watch.seen] == [(False, False), (False, True), (True, True), (True, True)]
    assert [one[0] for one in watch.seen] == [[0.1], [0.1, 0.01], [0.1, 0.01, 0.01], [0.1, 0.01, 0.01]]


def test_a_part_without_epoch_never_trains(tmp_path: Path) -> None:
    _, watch = fit(tmp_path, {"modules": {"encoder.l*": None}})
    assert [one[1:] for one in watch.seen] == [(False, True)] * 4


def test_the_rate_is_a_fraction_of_the_first_groups_unless_given(tmp_path: Path) -> None:
    _, watch = fit(tmp_path, {"modules": {"encoder": 3}, "lr_ratio": 0.5})
    assert watch.seen[3][0] == [0.1, 0.05]


def test_parts_that_the_optimizer_has_keep_their_group_silently(tmp_path: Path) -> None:
    _, watch = fit(tmp_path, {"modules": {"encoder": 1}}, Net(all_parameters=True))
    assert [one[0] for one in watch.seen] == [[0.1]] * 4
    assert watch.seen[1][1:] == (True, True)


def test_a_resumed_run_goes_on_with_what_was_unfrozen(tmp_path: Path) -> None:
    settings = {"modules": {"encoder": 1}}
    torch.manual_seed(1)
    trainer, _ = fit(tmp_path, settings)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    whole = trainer.lightning_module
    trainer.max_epochs = 6
    resumed = Net()
    watch = Watch()
    again = torchbus.Trainer(
        max_epochs=6, callbacks=[{"freeze_unfreeze": settings}, watch], logger=False, accelerator="cpu",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    again.fit(resumed, DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2), ckpt_path=tmp_path / "x.ckpt")
    assert [one[0] for one in watch.seen] == [[0.1, 0.01]] * 2
    assert [one[1:] for one in watch.seen] == [(True, True)] * 2
    assert not torch.equal(whole.encoder["low"].weight, resumed.encoder["low"].weight)


def test_a_new_group_follows_schedulers_that_are_inside_others(tmp_path: Path) -> None:
    class Scheduled(Net):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            parts = [LambdaLR(optimizer, lambda epoch, factor=factor: factor) for factor in (1.0, 0.5)]
            return [optimizer], [SequentialLR(optimizer, parts, milestones=[2])]

    _, watch = fit(tmp_path, {"modules": {"encoder": 1}, "lr": 0.01}, Scheduled())
    assert [one[0] for one in watch.seen] == [[0.1], [0.1, 0.01], [0.05, 0.005], [0.05, 0.005]]


class TestContract(CallbackContract):
    plugin = FreezeUnfreeze
    settings = {"modules": {"*": 0}}


def test_an_unknown_part_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="no submodule `encodr`. Did you mean `encoder`"):
        fit(tmp_path, {"modules": {"encodr": 1}})


@pytest.mark.parametrize("settings", [{"modules": {}}, {"modules": {"a": -1}}, {"modules": {"a": 1}, "lr": 0.0}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match="FreezeUnfreeze: a setting is wrong"):
        FreezeUnfreeze(**settings)


def test_verbose_logs_what_is_unfrozen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "torchbus.freeze_unfreeze"):
        fit(tmp_path, {"modules": {"encoder.low": 1}, "verbose": True})
    assert "epoch 1: `encoder.low` is unfrozen, 6 parameters" in caplog.text


@pytest.mark.parametrize("train_bn", [True, False])
def test_batch_normalization_of_a_frozen_part_trains_only_if_wanted(tmp_path: Path, train_bn: bool) -> None:
    class Normalized(Net):
        def __init__(self) -> None:
            super().__init__(all_parameters=True)
            self.encoder["low"] = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    module = Normalized()
    torchbus.Trainer(
        max_epochs=1, callbacks=[FreezeUnfreeze({"encoder.low": None}, train_bn=train_bn)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    ).fit(module, DataLoader(TensorDataset(torch.randn(8, 2)), batch_size=4))  # fmt: skip
    linear, norm = module.encoder["low"]
    assert norm.weight.requires_grad is train_bn
    assert linear.weight.requires_grad is False
