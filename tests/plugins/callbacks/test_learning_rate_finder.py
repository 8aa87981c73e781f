"""The learning rate finder: the search alone, a trial that leaves nothing behind, and what comes of it."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchbus
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset
from torchbus_hookspecs import MisconfigurationException
from torchbus_tuning import LearningRateFinder, RateSearch


class Net(torchbus.LightningModule):
    """One layer with dropout; its rate is ``lr``."""

    def __init__(self, lr: Any = 0.5, schedule: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.lr, self.schedule = lr, schedule
        self.layer = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.2))
        torch.nn.init.constant_(self.layer[0].weight, 0.5)
        torch.nn.init.zeros_(self.layer[0].bias)
        self.calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.calls += 1
        loss = (self.layer(batch[0]) - 3).pow(2).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        parts = [{"params": self.layer[0].weight}, {"params": self.layer[0].bias, "lr": (self.lr or 1.0) / 10}]
        optimizer = torch.optim.SGD(parts, lr=self.lr or 1.0, momentum=0.5)
        return optimizer if self.schedule is None else ([optimizer], [self.schedule(optimizer)])


def fit(tmp_path: Path, callbacks: Any, module: Any = None, epochs: int = 2, **options: Any) -> tuple[Any, Any]:
    module = module or Net()
    trainer = torchbus.Trainer(
        max_epochs=epochs, callbacks=callbacks, accelerator="cpu", enable_progress_bar=False, default_root_dir=tmp_path,
        enable_model_summary=False, **{"logger": False, "enable_checkpointing": False, **options},
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(torch.arange(16.0).reshape(8, 2).sin()), batch_size=2))
    return trainer, module


def finder(**settings: Any) -> LearningRateFinder:
    return LearningRateFinder(**{"min_lr": 1e-3, "max_lr": 1.0, "num_training_steps": 20, **settings})


# ---- the search alone --------------------------------------------------------------------------------------------------


def valley() -> RateSearch:
    search = RateSearch("linear", 0.0, 1.0, 10)
    search.results = {"lr": [0.1 * one for one in range(1, 9)], "loss": [5.0, 4.9, 4.0, 2.0, 1.5, math.nan, 1.4, 9.0]}
    return search


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    assert valley().suggestion(skip_begin=0, skip_end=1) == pytest.approx(0.3)


def test_too_few_losses_give_no_suggestion_and_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"search longer \(num_training_steps\)"):
        assert valley().suggestion(skip_begin=6) is None


def test_rates_rise_by_a_factor_or_by_an_amount() -> None:
    assert [RateSearch("linear", 0.0, 1.0, 4).rate(one) for one in range(4)] == [0.0, 0.5, 0.75, 1.0]
    rates = [RateSearch("exponential", 0.01, 1.0, 4).rate(one) for one in range(4)]
    assert rates == pytest.approx([0.01, 0.1, 0.01 * 100**0.75, 1.0])


def test_a_search_ends_at_a_diverging_or_endless_loss() -> None:
    search = RateSearch("linear", 0.0, 1.0, 10)
    assert search.add(0, 1.0, 4.0)
    assert not search.add(1, 1000.0, 4.0)
    assert not RateSearch("linear", 0.0, 1.0, 10).add(0, math.nan, None)
    patient = RateSearch("linear", 0.0, 1.0, 10)
    assert all(patient.add(step, 1000.0**step, None) for step in range(4))


def test_plotting_marks_the_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    class Axes:
        figure = "figure"

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **options: drawn.append(name)

    pyplot = SimpleNamespace(subplots=lambda: ("new figure", Axes()), show=lambda: drawn.append("show"))
    monkeypatch.setattr(importlib, "import_module", lambda name: pyplot)
    search = valley()
    search.results = {name: values * 3 for name, values in search.results.items()}
    assert search.plot(suggest=True, show=True) == "new figure"
    assert drawn == ["plot", "set_xlabel", "set_ylabel", "plot", "legend", "show"]
    assert search.plot(ax=Axes()) == "figure"


def test_plotting_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError) as raised:
        valley().plot()
    assert "pip install 'torchbus-tuning[plot]'" in raised.value.__notes__[0]


# ---- the trial -----------------------------------------------------------------------------------------------------------


def test_the_trial_leaves_no_trace(tmp_path: Path) -> None:
    torch.manual_seed(3)
    _, plain = fit(tmp_path, [])
    torch.manual_seed(3)
    trainer, module = fit(tmp_path, [finder(update_attr=False)])
    assert module.calls == plain.calls + 20
    assert torch.equal(module.layer[0].weight, plain.layer[0].weight)
    assert (trainer.current_epoch, trainer.global_step, trainer.max_epochs, trainer.max_steps) == (2, 8, 2, -1)
    assert list(tmp_path.iterdir()) == []


def test_callbacks_and_loggers_do_not_hear_the_trial(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watch(torchbus.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(trainer.global_step)

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            seen.append(-1)

    watch = Watch()
    trainer, _ = fit(tmp_path, [finder(), watch], logger="csv", log_every_n_steps=1)
    assert seen == [-1, *range(1, 9)]
    assert watch in trainer.callbacks
    assert len((Path(trainer.log_dir) / "metrics.csv").read_text().splitlines()) == 9


def test_the_trial_may_be_longer_than_the_fit_and_ends_early_when_the_loss_explodes(tmp_path: Path) -> None:
    one = finder(max_lr=1e6, num_training_steps=50)
    fit(tmp_path, [one], epochs=1)
    assert one.optimal_lr is not None
    assert 4 < len(one.optimal_lr.results["lr"]) < 50


def test_a_failing_trial_puts_everything_back(tmp_path: Path) -> None:
    class Failing(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.calls == 2:
                raise RuntimeError("no")
            return super().training_step(batch, batch_idx)

    module = Failing()
    before = module.layer[0].weight.clone()
    callbacks = [finder(), torchbus.Callback()]
    with pytest.raises(RuntimeError, match="no"):
        fit(tmp_path, callbacks, module)
    assert torch.equal(module.layer[0].weight, before)
    assert module.trainer.callbacks == callbacks
    assert module.trainer.max_epochs == 2


def test_accumulated_batches_count_as_one_step(tmp_path: Path) -> None:
    one = finder(num_training_steps=4, update_attr=False)
    fit(tmp_path, [one], accumulate_grad_batches=2)
    assert one.optimal_lr is not None
    assert one.optimal_lr.results["lr"] == [one.optimal_lr.rate(step) for step in range(4)]


# ---- what comes of it ------------------------------------------------------------------------------------------------------


def test_the_suggestion_is_set_in_module_hyperparameters_and_optimizer(tmp_path: Path) -> None:
    trainer, module = fit(tmp_path, [{"learning_rate_finder": {"min_lr": 1e-3, "num_training_steps": 20}}])
    suggestion = trainer.callbacks[0].optimal_lr.suggestion()
    assert module.lr == module.hparams["lr"] == suggestion
    first, second = (group["lr"] for group in trainer.optimizers[0].param_groups)
    assert (first, second) == pytest.approx((suggestion, suggestion / 10))


def test_schedulers_start_from_the_suggestion(tmp_path: Path) -> None:
    module = Net(schedule=lambda one: LambdaLR(one, lambda epoch: 0.5**epoch))
    trainer, _ = fit(tmp_path, [finder()], module)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(module.lr * 0.25)


def test_a_rate_that_was_none_is_set_for_all_groups(tmp_path: Path) -> None:
    trainer, module = fit(tmp_path, [finder()], Net(lr=None))
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [module.lr] * 2


def test_a_resumed_run_keeps_its_rate(tmp_path: Path) -> None:
    trainer, module = fit(tmp_path, [finder()])
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    trainer = torchbus.Trainer(
        max_epochs=3, callbacks=[finder()], accelerator="cpu", enable_progress_bar=False, logger=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    again = Net()
    data = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=2)
    trainer.fit(again, data, ckpt_path=tmp_path / "x.ckpt")
    assert again.calls == 4
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(module.lr)


def test_a_subclass_may_search_at_the_start_of_epochs(tmp_path: Path) -> None:
    class AtEpochs(LearningRateFinder):
        def on_fit_start(self, *args: Any) -> None: ...

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)

    one = AtEpochs(min_lr=1e-3, num_training_steps=20, early_stop_threshold=None)
    trainer, module = fit(tmp_path, [one])
    assert module.calls == 28
    assert (trainer.current_epoch, trainer.global_step) == (2, 8)
    assert one.optimal_lr is not None
    assert module.lr == one.optimal_lr.suggestion()


def test_a_fast_dev_run_searches_nothing(tmp_path: Path) -> None:
    _, module = fit(tmp_path, [finder()], fast_dev_run=True)
    assert module.calls == 1


# ---- what is refused -------------------------------------------------------------------------------------------------------


def test_a_module_without_the_attribute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="have `rate`, which is to be set"):
        fit(tmp_path, [finder(attr_name="rate")])


@pytest.mark.parametrize("settings", [{"mode": "cubic"}, {"min_lr": 0.0}, {"num_training_steps": 0}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=f"`{next(iter(settings))}`"):
        finder(**settings)
    with pytest.raises(MisconfigurationException, match="`max_lr` is 0.1; it should be more than `min_lr`"):
        finder(min_lr=0.2, max_lr=0.1)
