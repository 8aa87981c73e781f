"""WeightAveraging and its exponential kind: what is averaged, validated, saved, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from torch.utils.data import DataLoader, TensorDataset
from torchbus_averaging import EMAWeightAveraging, WeightAveraging
from torchbus_hookspecs import MisconfigurationException


class Net(torchbus.LightningModule):
    """Its one weight falls by 1 with each step: 10, 9, 8, …"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([10.0]))
        self.register_buffer("count", torch.zeros(1))
        self.validated: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.count += 1
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated.append(self.weight.item())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def trainer_with(tmp_path: Path, callbacks: Any, epochs: int = 2, **options: Any) -> Any:
    return torchbus.Trainer(
        max_epochs=epochs, callbacks=callbacks, logger=False, accelerator="cpu", enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
        **{"enable_checkpointing": False, **options},
    )  # fmt: skip


def loader(batches: int = 2) -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.zeros(batches, 1)))


def fit(tmp_path: Path, callbacks: Any, epochs: int = 2, module: Any = None, **options: Any) -> Any:
    module = module or Net()
    trainer_with(tmp_path, callbacks, epochs).fit(module, loader(), loader(1), **options)
    return module


def test_validation_and_the_end_have_the_mean_over_all_steps(tmp_path: Path) -> None:
    module = fit(tmp_path, [WeightAveraging()])
    assert module.validated == [8.5, 7.5]
    assert module.weight.item() == 7.5


def test_buffers_are_averaged_or_copied(tmp_path: Path) -> None:
    assert fit(tmp_path, [WeightAveraging()]).count.item() == 2.5
    assert fit(tmp_path, [WeightAveraging(use_buffers=False)]).count.item() == 4.0


def test_training_goes_on_with_the_trained_weights(tmp_path: Path) -> None:
    seen = []

    class Watch(torchbus.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append(pl_module.weight.item())

    fit(tmp_path, [WeightAveraging(), Watch()])
    assert seen == [8.0, 6.0]


def test_the_exponential_average_follows_its_formula(tmp_path: Path) -> None:
    module = fit(tmp_path, [{"ema_weight_averaging": {"decay": 0.5}}])
    assert module.weight.item() == ((9 + 8) / 2 + 7) / 4 + 6 / 2


def test_other_averages_are_passed_on(tmp_path: Path) -> None:
    newest = WeightAveraging(avg_fn=lambda average, weight, count: weight)
    assert fit(tmp_path, [newest]).weight.item() == 6.0
    assert fit(tmp_path, [EMAWeightAveraging(avg_fn=lambda average, weight, count: weight)]).weight.item() == 6.0


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"update_every_n_steps": 2}, [0, 2, 4]),
        ({"update_every_n_steps": 2, "update_starting_at_step": 1}, [2, 4]),
        ({"update_every_n_steps": 0}, []),
    ],
)
def test_steps_of_the_exponential_average(settings: dict[str, Any], updates: list[int]) -> None:
    averaging = EMAWeightAveraging(**settings)
    assert [step for step in range(6) if averaging.should_update(step_idx=step)] == updates
    assert not averaging.should_update(epoch_idx=3)
    assert not averaging.should_update()


def test_epochs_of_the_exponential_average() -> None:
    averaging = EMAWeightAveraging(update_every_n_steps=0, update_starting_at_epoch=2)
    assert [averaging.should_update(epoch_idx=epoch) for epoch in range(4)] == [False, False, True, True]


def test_batches_that_only_accumulate_are_not_counted(tmp_path: Path) -> None:
    averaging, module = WeightAveraging(), Net()
    trainer_with(tmp_path, [averaging], epochs=1, accumulate_grad_batches=2).fit(module, loader(4), loader(1))
    assert int(averaging._average_model.n_averaged) == 2  # type: ignore[union-attr]


def test_a_schedule_of_ones_own(tmp_path: Path) -> None:
    class Last(WeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            return epoch_idx == 1

    assert fit(tmp_path, [Last()], epochs=3).weight.item() == 6.0


# ---- checkpoints -------------------------------------------------------------------------------------------------------


def save_at(path: Path, hook: str, epoch: int) -> torchbus.Callback:
    class Save(torchbus.Callback):
        def save(self, trainer: Any, *rest: Any) -> None:
            if trainer.current_epoch == epoch and not path.exists():
                trainer.save_checkpoint(path)

    setattr(Save, hook, Save.save)
    return Save()


@pytest.mark.parametrize("hook", ["on_train_epoch_end", "on_validation_epoch_start", "on_validation_batch_end"])
def test_a_checkpoint_has_the_average_and_beside_it_the_trained_weights(tmp_path: Path, hook: str) -> None:
    fit(tmp_path, [WeightAveraging(), save_at(tmp_path / "x.ckpt", hook, 0)])
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert saved["state_dict"]["weight"].item() == 8.5
    assert saved["current_model_state"]["weight"].item() == 8.0
    assert saved["averaging_state"]["n_averaged"].item() == 2


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_epoch_end", "on_train_epoch_start"])
@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("build", [WeightAveraging, lambda: EMAWeightAveraging(decay=0.7)])
def test_a_resumed_run_ends_like_the_uninterrupted_one(tmp_path: Path, hook: str, epoch: int, build: Any) -> None:
    whole = fit(tmp_path, [build(), save_at(tmp_path / "x.ckpt", hook, epoch)], epochs=3)
    resumed = fit(tmp_path, [build()], epochs=3, ckpt_path=tmp_path / "x.ckpt")
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.count, resumed.count)


def test_validating_a_checkpoint_uses_the_average(tmp_path: Path) -> None:
    fit(tmp_path, [WeightAveraging(), save_at(tmp_path / "x.ckpt", "on_train_epoch_end", 1)])
    module = Net()
    trainer_with(tmp_path, [WeightAveraging()]).validate(module, loader(1), tmp_path / "x.ckpt", verbose=False)
    assert module.validated == [7.5]


def test_a_checkpoint_without_average_begins_one_and_says_so(tmp_path: Path) -> None:
    fit(tmp_path, [save_at(tmp_path / "x.ckpt", "on_train_epoch_end", 0)])
    with pytest.warns(UserWarning, match="saved without an average of weights"):
        module = fit(tmp_path, [WeightAveraging()], ckpt_path=tmp_path / "x.ckpt")
    assert module.weight.item() == 6.5  # of 7 and 6


def test_an_exception_in_validation_leaves_the_trained_weights(tmp_path: Path) -> None:
    class Failing(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise RuntimeError("no")

    module = Failing()
    with pytest.raises(RuntimeError, match="no"):
        fit(tmp_path, [WeightAveraging()], module=module)
    assert module.weight.item() == 8.0


# ---- the rest ----------------------------------------------------------------------------------------------------------


def test_configure_model_is_called_once(tmp_path: Path) -> None:
    class Late(Net):
        calls = 0

        def configure_model(self) -> None:
            self.calls += 1
            self.late = torch.nn.Parameter(torch.ones(1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.weight.sum() + self.late.sum()

    module = fit(tmp_path, [WeightAveraging()], module=Late())
    assert module.calls == 1
    assert module.late.item() == 1 - 2.5


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(MisconfigurationException, match="`decay` is 2"):
        EMAWeightAveraging(decay=2.0)
    with pytest.raises(MisconfigurationException, match="`update_every_n_steps` is -1"):
        EMAWeightAveraging(update_every_n_steps=-1)


@pytest.mark.parametrize(("kind", "device"), [(WeightAveraging, "cpu"), (EMAWeightAveraging, torch.device("cpu"))])
def test_the_average_is_kept_on_the_device_asked_for(tmp_path: Path, kind: Any, device: Any) -> None:
    averaging = kind(device=device)
    fit(tmp_path, [averaging], epochs=1)
    assert averaging.device == device
    with pytest.raises(MisconfigurationException, match="device"):
        kind(device=1.5)


def test_the_exponential_kind_averages_or_copies_buffers_too(tmp_path: Path) -> None:
    # 1, 2 after the two steps: half of each, or the newest
    assert fit(tmp_path, [EMAWeightAveraging(decay=0.5)], epochs=1).count.item() == pytest.approx(1.5)
    assert fit(tmp_path, [EMAWeightAveraging(decay=0.5, use_buffers=False)], epochs=1).count.item() == 2.0
