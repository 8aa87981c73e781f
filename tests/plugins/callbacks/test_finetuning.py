"""BackboneFinetuning and its base: freezing, groups, rates, schedulers, and resuming in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset
from torchbus_finetuning import BackboneFinetuning, BaseFinetuning, multiplicative
from torchbus_finetuning._freezing import filter_params, flatten_modules, freeze, make_trainable
from torchbus_finetuning._groups import filter_on_optimizer
from torchbus_hookspecs import MisconfigurationException


class Net(torchbus.LightningModule):
    """A backbone with a normalization layer, and a head."""

    def __init__(self, schedule: Any = None, all_parameters: bool = False) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 1)
        self.schedule, self.all_parameters = schedule, all_parameters
        with torch.no_grad():
            for one in (self.backbone[0], self.head):
                one.weight.copy_(torch.linspace(-0.5, 0.5, one.weight.numel()).reshape(one.weight.shape))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.head(self.backbone(batch[0])).pow(2).mean()

    def configure_optimizers(self) -> Any:
        wanted = [one for one in self.parameters() if one.requires_grad or self.all_parameters]
        optimizer = torch.optim.SGD(wanted, lr=0.1)
        return optimizer if self.schedule is None else {"optimizer": optimizer, **self.schedule(optimizer)}


class ValidatedNet(Net):
    """One that validates, with a loss that never falls."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.tensor(1.0))


class Watch(torchbus.Callback):
    """Notes the rates and which parts train, at the start of each epoch."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.trained: list[bool] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.rates.append([round(group["lr"], 6) for group in trainer.optimizers[0].param_groups])
        self.trained.append(pl_module.backbone[0].weight.requires_grad)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(32.0).reshape(8, 4).sin()), batch_size=4)


def fit(
    tmp_path: Path, callbacks: Any, epochs: int = 4, module: Any = None, val: bool = False, **options: Any
) -> tuple[Any, Any, Watch]:
    watch, module = Watch(), module or Net()
    trainer = torchbus.Trainer(
        max_epochs=epochs, callbacks=[*callbacks, watch], logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, loader(), loader() if val else None, **options)
    return trainer, module, watch


# ---- freezing ----------------------------------------------------------------------------------------------------------


def test_flattening_finds_every_module_with_parameters_once() -> None:
    inner = nn.Linear(1, 1)
    tree = nn.ModuleDict({"a": nn.Sequential(inner, nn.ReLU()), "b": inner})
    assert flatten_modules([tree, [inner]]) == [inner, tree["a"][1]]


def test_a_module_with_parameters_and_children_is_not_lost() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.inner = nn.Linear(1, 1)

    scaled = Scaled()
    freeze(scaled)
    assert not any(one.requires_grad for one in scaled.parameters())


def test_batch_normalization_stays_trainable_unless_told_otherwise() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    freeze(net)
    assert (net[0].weight.requires_grad, net[1].weight.requires_grad) == (False, True)
    freeze(net, train_bn=False)
    assert not net[1].weight.requires_grad and not net[1].track_running_stats
    make_trainable(net)
    assert net[1].weight.requires_grad and net[1].track_running_stats
    assert len(list(filter_params(net, train_bn=False))) == 2


def test_whole_number_parameters_are_left_alone() -> None:
    net = nn.Linear(2, 2)
    net.index = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    make_trainable(net)
    assert not net.index.requires_grad and net.weight.requires_grad


def test_parameters_that_an_optimizer_has_are_left_out_with_a_warning() -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([net.weight], lr=0.1)
    with pytest.warns(UserWarning, match="1 of 2 parameters"):
        assert [one is net.bias for one in filter_on_optimizer(optimizer, net.parameters())] == [True]


# ---- the schedule --------------------------------------------------------------------------------------------------------


def test_the_backbone_joins_at_its_epoch_and_its_rate_doubles_up_to_the_first_groups(tmp_path: Path) -> None:
    tuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_ratio_lr=0.4)
    _, _, watch = fit(tmp_path, [tuning])
    assert watch.trained == [False, True, True, True]
    assert watch.rates == [[0.1], [0.1, 0.04], [0.1, 0.08], [0.1, 0.1]]


def test_the_backbone_does_not_change_before_its_epoch(tmp_path: Path) -> None:
    before = Net().backbone[0].weight.clone()
    _, module, _ = fit(tmp_path, [BackboneFinetuning(unfreeze_backbone_at_epoch=4)])
    assert torch.equal(module.backbone[0].weight, before)
    _, module, _ = fit(tmp_path, [BackboneFinetuning(unfreeze_backbone_at_epoch=2)])
    assert not torch.equal(module.backbone[0].weight, before)


def test_a_number_may_be_given_in_place_of_the_function(tmp_path: Path) -> None:
    options = {"unfreeze_backbone_at_epoch": 0, "backbone_initial_lr": 0.01, "lambda_func": 3.0, "should_align": False}
    _, _, watch = fit(tmp_path, [{"backbone_finetuning": options}])
    assert [rates[1] for rates in watch.rates] == [0.01, 0.03, 0.09, 0.27]


def test_a_second_fit_after_the_epoch_unfreezes_at_once(tmp_path: Path) -> None:
    tuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1)
    trainer, module, watch = fit(tmp_path, [tuning], epochs=2)
    trainer.max_epochs = 4
    trainer.fit(module, loader())
    assert watch.trained[2:] == [True, True]
    assert watch.rates[2] == [0.1, 0.01]


def test_an_optimizer_that_has_the_backbone_already_keeps_its_rates(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="leave them out in configure_optimizers"):
        _, _, watch = fit(tmp_path, [BackboneFinetuning(1)], module=Net(all_parameters=True))
    assert watch.rates == [[0.1]] * 4
    assert watch.trained == [False, True, True, True]


def test_validation_alone_freezes_nothing(tmp_path: Path) -> None:
    trainer = torchbus.Trainer(
        callbacks=[BackboneFinetuning()], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    module = ValidatedNet()
    trainer.validate(module, loader(), verbose=False)
    assert module.backbone[0].weight.requires_grad


def test_verbose_logs_both_rates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "torchbus.backbone_finetuning"):
        fit(tmp_path, [BackboneFinetuning(1, verbose=True, rounding=3)], epochs=2)
    assert "epoch 1: rate 0.1, of the backbone 0.01" in caplog.text


# ---- schedulers ------------------------------------------------------------------------------------------------------------


def test_a_plateau_scheduler_reduces_the_new_group_too(tmp_path: Path) -> None:
    def schedule(optimizer: Any) -> dict[str, Any]:
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return {"lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}

    tuning = BackboneFinetuning(1, backbone_initial_lr=0.01, lambda_func=1.0)
    trainer, _, _ = fit(tmp_path, [tuning], epochs=3, module=ValidatedNet(schedule), val=True)
    assert [round(one["lr"], 6) for one in trainer.optimizers[0].param_groups] == [0.025, 0.005]


def test_a_scheduler_of_initial_rates_moves_the_new_group_along_the_first_ones_curve(tmp_path: Path) -> None:
    def schedule(optimizer: Any) -> dict[str, Any]:
        return {"lr_scheduler": LambdaLR(optimizer, lambda epoch: 0.5**epoch)}

    class Once(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            self.freeze(pl_module.backbone)

        def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
            if epoch == 1:
                self.unfreeze_and_add_param_group(pl_module.backbone, optimizer, lr=0.01)

    _, _, watch = fit(tmp_path, [Once()], epochs=3, module=Net(schedule))
    assert watch.rates == [[0.1], [0.05, 0.01], [0.025, 0.005]]


# ---- resuming ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_ends_like_the_uninterrupted_one(tmp_path: Path, moment: str, epoch: int) -> None:
    def tuning() -> BackboneFinetuning:
        return BackboneFinetuning(1, backbone_initial_lr=0.01)

    class Save(torchbus.Callback):
        def save(self, trainer: Any, *rest: Any) -> None:
            if trainer.current_epoch == epoch and not (tmp_path / "x.ckpt").exists():
                trainer.save_checkpoint(tmp_path / "x.ckpt")

    def schedule(optimizer: Any) -> dict[str, Any]:
        return {"lr_scheduler": ExponentialLR(optimizer, 0.9)}

    setattr(Save, moment, Save.save)
    _, whole, _ = fit(tmp_path, [tuning(), Save()], module=Net(schedule))
    _, resumed, _ = fit(tmp_path, [tuning()], module=Net(schedule), ckpt_path=tmp_path / "x.ckpt")
    for name, one in whole.state_dict().items():
        assert torch.equal(one, resumed.state_dict()[name]), name


def test_a_state_of_lightning_is_understood() -> None:
    tuning = BackboneFinetuning()
    groups = {0: [{"params": ["head.weight"], "lr": 0.1}, {"params": ["backbone.0.weight"], "lr": 0.01}]}
    tuning.load_state_dict({"internal_optimizer_metadata": groups, "previous_backbone_lr": 0.01})
    assert (tuning._group, tuning._trainable) == (1, ["head.weight", "backbone.0.weight"])


# ---- what is refused -----------------------------------------------------------------------------------------------------------


def test_a_module_without_backbone_is_refused(tmp_path: Path) -> None:
    class Headless(Net):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = None

    with pytest.raises(AttributeError, match="name the pretrained part so, or use `freeze_unfreeze`"):
        fit(tmp_path, [BackboneFinetuning()], module=Headless())


def test_wrong_settings_are_all_told() -> None:
    with pytest.raises(MisconfigurationException) as raised:
        BackboneFinetuning(unfreeze_backbone_at_epoch=-1, lambda_func="x")  # type: ignore[arg-type]
    assert "`unfreeze_backbone_at_epoch`" in str(raised.value) and "lambda_func" in str(raised.value)


def test_a_base_without_a_schedule_says_what_to_define(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="must define freeze_before_training"):
        fit(tmp_path, [BaseFinetuning()])

    class Half(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None: ...

    with pytest.raises(NotImplementedError, match="must define finetune_function"):
        fit(tmp_path, [Half()])


def test_the_default_factor_is_two() -> None:
    assert multiplicative(7) == 2.0
