"""Stochastic weight averaging: when, at which rate, batch statistics, early ends, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset
from torchbus_averaging import StochasticWeightAveraging
from torchbus_hookspecs import MisconfigurationException


class Net(torchbus.LightningModule):
    """A linear layer, with batch normalization before it if asked for."""

    def __init__(self, normalized: bool = False, schedule: Any = None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2) if normalized else nn.Identity()
        self.layer = nn.Linear(2, 1)
        self.schedule = schedule
        self.starts: list[float] = []
        self.losses: list[bool] = []
        nn.init.constant_(self.layer.weight, 0.5)
        nn.init.zeros_(self.layer.bias)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = (self.layer(self.norm(batch[0])) - 1).pow(2).mean()
        self.losses.append(loss.requires_grad)
        return loss

    def on_train_epoch_start(self) -> None:
        self.starts.append(self.layer.bias.item())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.5)
        return optimizer if self.schedule is None else ([optimizer], [self.schedule(optimizer)])


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(12.0).reshape(6, 2).cos()), batch_size=2)


def fit(tmp_path: Path, callbacks: Any, epochs: int = 4, module: Any = None, **options: Any) -> tuple[Any, Any]:
    trainer = torchbus.Trainer(
        max_epochs=epochs, callbacks=callbacks, logger=False, accelerator="cpu", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        **{name: options.pop(name) for name in list(options) if name in ("max_steps", "fast_dev_run")},
    )  # fmt: skip
    module = module or Net()
    trainer.fit(module, loader(), **options)
    return trainer, module


def averaging(**settings: Any) -> StochasticWeightAveraging:
    return StochasticWeightAveraging(**{"swa_lrs": 0.05, "swa_epoch_start": 2, "annealing_epochs": 2, **settings})


def test_the_module_ends_with_the_mean_of_the_weights_with_which_epochs_began(tmp_path: Path) -> None:
    one = averaging()
    _, module = fit(tmp_path, [one])
    assert module.layer.bias.item() == pytest.approx(sum(module.starts[1:]) / 3)
    assert (one.swa_start, one.swa_end, one.n_averaged) == (1, 3, 3)


def test_it_can_be_switched_on_by_name(tmp_path: Path) -> None:
    _, module = fit(tmp_path, {"stochastic_weight_averaging": {"swa_lrs": 0.05, "swa_epoch_start": 0.5}})
    assert module.layer.bias.item() == pytest.approx(sum(module.starts[1:]) / 3)


def test_the_average_may_be_another(tmp_path: Path) -> None:
    _, module = fit(tmp_path, [averaging(avg_fn=lambda average, weight, count: weight)])
    assert module.layer.bias.item() == module.starts[-1]


def test_the_rate_is_annealed_in_place_of_the_modules_own_scheduler(tmp_path: Path) -> None:
    rates = []

    class Watch(torchbus.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            rates.append(round(trainer.optimizers[0].param_groups[0]["lr"], 6))

    fit(tmp_path, [averaging(), Watch()], epochs=5, module=Net(schedule=lambda one: StepLR(one, 1, gamma=0.8)))
    assert rates == [0.08, 0.065, 0.05, 0.05, 0.05]


# ---- batch statistics --------------------------------------------------------------------------------------------------


def test_batch_statistics_are_collected_in_one_more_epoch_without_gradients(tmp_path: Path) -> None:
    trainer, module = fit(tmp_path, [averaging(last_step=False)], module=Net(normalized=True))
    assert (trainer.current_epoch, trainer.global_step, trainer.max_epochs) == (5, 13, 4)
    assert module.losses == [True] * 12 + [False] * 3
    means = torch.stack([batch[0].mean(0) for batch in loader()])
    torch.testing.assert_close(module.norm.running_mean, means.mean(0))
    assert module.norm.momentum == 0.1
    assert trainer.accumulate_grad_batches == 1
    assert module.layer.bias.item() == pytest.approx(sum(module.starts[1:4]) / 3)


def test_the_last_step_can_be_taken_as_lightning_does(tmp_path: Path) -> None:
    _, module = fit(tmp_path, [averaging()], module=Net(normalized=True))
    assert module.layer.bias.item() != pytest.approx(sum(module.starts[1:4]) / 3)


def test_hooks_of_that_epoch_get_its_losses(tmp_path: Path) -> None:
    outputs = []

    class Watch(torchbus.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, out: Any, batch: Any, batch_idx: int) -> None:
            outputs.append(out["loss"].requires_grad)

    fit(tmp_path, [averaging(), Watch()], module=Net(normalized=True))
    assert outputs == [False] * 15


def test_a_failing_run_leaves_trainer_and_module_as_they_were(tmp_path: Path) -> None:
    class Fails(torchbus.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, out: Any, batch: Any, batch_idx: int) -> None:
            if trainer.current_epoch == 4:
                raise RuntimeError("stop here")

    module = Net(normalized=True)
    with pytest.raises(RuntimeError, match="stop here"):
        fit(tmp_path, [averaging(), Fails()], module=module)
    assert module.norm.momentum == 0.1


# ---- ends ----------------------------------------------------------------------------------------------------------------


class Stop(torchbus.Callback):
    """Asks to stop after the third epoch."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = trainer.current_epoch == 2


def test_a_training_that_is_stopped_early_has_its_average_too(tmp_path: Path) -> None:
    _, module = fit(tmp_path, [averaging(), Stop()])
    assert module.layer.bias.item() == pytest.approx(sum(module.starts[1:]) / 2)


def test_then_batch_statistics_are_collected_at_the_end(tmp_path: Path) -> None:
    trainer, module = fit(tmp_path, [averaging(), Stop()], module=Net(normalized=True))
    assert trainer.current_epoch == 3
    means = torch.stack([batch[0].mean(0) for batch in loader()])
    torch.testing.assert_close(module.norm.running_mean, means.mean(0))
    assert module.layer.bias.item() == pytest.approx(sum(module.starts[1:]) / 2)


def test_a_training_that_ends_before_averaging_keeps_its_weights(tmp_path: Path) -> None:
    _, module = fit(tmp_path, [averaging(swa_epoch_start=4), Stop()])
    assert module.layer.bias.item() not in module.starts


# ---- resuming ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("hook", ["on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end"])
@pytest.mark.parametrize("epoch", [0, 2, 3, 4])
def test_a_resumed_run_ends_like_the_uninterrupted_one(tmp_path: Path, normalized: bool, hook: str, epoch: int) -> None:
    if epoch == 4 and not normalized:
        pytest.skip("there is no such epoch")
    path = tmp_path / "x.ckpt"

    class Save(torchbus.Callback):
        def save(self, trainer: Any, *rest: Any) -> None:
            if trainer.current_epoch == epoch and not path.exists():
                trainer.save_checkpoint(path)

    setattr(Save, hook, Save.save)
    whole_trainer, whole = fit(tmp_path, [averaging(), Save()], module=Net(normalized))
    trainer, resumed = fit(tmp_path, [averaging()], module=Net(normalized), ckpt_path=path)
    assert trainer.global_step == whole_trainer.global_step
    for name, one in whole.state_dict().items():
        assert torch.equal(one, resumed.state_dict()[name]), name
    assert trainer.max_epochs == 4


# ---- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"swa_lrs": -0.1}, "swa_lrs"),
        ({"swa_lrs": 1}, "swa_lrs"),
        ({"swa_lrs": [0.1, 0.0]}, "swa_lrs"),
        ({"swa_epoch_start": 0}, "swa_epoch_start"),
        ({"swa_epoch_start": 1.5}, "swa_epoch_start"),
        ({"avg_fn": 3}, "avg_fn"),
        ({"annealing_strategy": "sine"}, "annealing_strategy"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(MisconfigurationException, match=f"`{setting}"):
        averaging(**settings)


def test_a_run_without_a_last_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="set max_epochs"):
        fit(tmp_path, [averaging()], epochs=-1, max_steps=3)


def test_manual_optimization_is_refused(tmp_path: Path) -> None:
    module = Net()
    module.automatic_optimization = False
    with pytest.raises(MisconfigurationException, match="in manual optimization"):
        fit(tmp_path, [averaging()], module=module)


@pytest.mark.parametrize("device", ["cpu", None])
def test_the_average_is_kept_on_the_device_asked_for(tmp_path: Path, device: str | None) -> None:
    averaging = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1, device=device)
    module = Net()
    torchbus.Trainer(
        max_epochs=2, callbacks=[averaging], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    ).fit(module, loader())  # fmt: skip
    assert torch.isfinite(module.layer.weight).all()
    with pytest.raises(MisconfigurationException, match="device"):
        StochasticWeightAveraging(swa_lrs=0.01, device=1.5)  # type: ignore[arg-type]
