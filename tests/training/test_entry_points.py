"""fit, validate, test and predict: what they take, how far they go, what they return, and what they leave behind."""

from __future__ import annotations

import copy
import gc
import pickle
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torchbus_hookspecs.events import Event, TrainBatchEnd, ValidationEpochEnd
from torchmetrics import MeanMetric

from .toys import Bare, Logging, Recorder, Regression, Stream, assert_same, loader, network, samples, sgd, weights

Quiet = Callable[..., L.Trainer]


class Counting(Regression):
    """Counts its steps."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.counts = {"train": 0, "val": 0, "test": 0, "predict": 0}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.counts["train"] += 1
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.counts["val"] += not self.trainer.sanity_checking
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.counts["test"] += 1
        self.log("test_loss", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        self.counts["predict"] += 1
        return self(batch[0])


def mean_loss(module: Bare, count: int, seed: int = 1) -> float:
    """Over samples, not over batches."""
    inputs, targets = samples(count, seed).tensors
    with torch.no_grad():
        return nn.functional.mse_loss(module(inputs), targets).item()


# ---- what they return --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "name"), [("validate", "val_loss"), ("test", "test_loss")])
def test_an_evaluation_returns_what_was_logged_weighted_by_batch_size(quiet: Quiet, method: str, name: str) -> None:
    module = Regression()
    [found] = getattr(quiet(), method)(module, loader(7), verbose=False)
    assert found == {name: pytest.approx(mean_loss(module, 7), rel=1e-5)}
    assert type(found[name]) is float


@pytest.mark.parametrize("method", ["validate", "test"])
def test_of_several_loaders_each_has_its_own_results(quiet: Quiet, method: str) -> None:
    module, trainer = Counting(), quiet()
    name = {"validate": "val_loss", "test": "test_loss"}[method]
    loaders = [loader(4), loader(6, seed=2), loader(8, seed=3)]
    found = getattr(trainer, method)(module, loaders, verbose=False)
    assert found == [
        {f"{name}/dataloader_idx_{index}": pytest.approx(mean_loss(module, count, index + 1), rel=1e-5)}
        for index, count in enumerate((4, 6, 8))
    ]
    assert set(trainer.callback_metrics) == {f"{name}/dataloader_idx_{index}" for index in range(3)}
    batches = trainer.num_val_batches if method == "validate" else trainer.num_test_batches
    assert batches == [2, 3, 4]


def test_predict_returns_what_the_step_returned_batch_by_batch(quiet: Quiet) -> None:
    module, trainer = Counting(), quiet()
    inputs = samples(7).tensors[0]
    predictions = trainer.predict(module, loader(7))
    assert [len(one) for one in predictions or []] == [2, 2, 2, 1]
    torch.testing.assert_close(torch.cat(predictions or []), module(inputs).detach())
    assert all(one.is_inference() for one in predictions or [])
    several = trainer.predict(module, [loader(4), loader(6)])
    assert [len(one) for one in several or []] == [2, 3]
    assert trainer.predict(module, loader(4), return_predictions=False) is None


def test_without_predict_step_forward_is_called(quiet: Quiet) -> None:
    inputs = samples(4).tensors[0]
    module = Bare()
    predictions = quiet().predict(module, DataLoader(inputs, batch_size=2))  # type: ignore[arg-type]  # a tensor will do
    torch.testing.assert_close(torch.cat(predictions or []), module(inputs).detach())


@pytest.mark.parametrize(
    "call",
    [
        lambda step, batch: step(batch),
        lambda step, batch: step(batch, 0),
        lambda step, batch: step(batch, batch_idx=0, dataloader_idx=0),
        lambda step, batch: step(batch=batch, batch_idx=0),
    ],
    ids=["batch", "index", "loader", "names"],
)
def test_an_override_passes_to_the_default_of_predict_step_what_it_likes(
    quiet: Quiet, call: Callable[..., Any]
) -> None:
    class First(Bare):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return call(super().predict_step, batch[0])

    module = First()
    (prediction,) = quiet().predict(module, loader(4, batch_size=4)) or []
    torch.testing.assert_close(prediction, module(samples(4).tensors[0]).detach())


def test_results_are_printed_unless_verbose_is_false(quiet: Quiet, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = quiet()
    trainer.validate(Regression(), loader(4))
    assert "val_loss" in capsys.readouterr().out
    trainer.validate(Regression(), loader(4), verbose=False)
    assert capsys.readouterr().out == ""


def test_evaluation_changes_neither_weights_nor_modes(quiet: Quiet) -> None:
    module = Counting(dropout=0.5)
    module.network[0].eval()
    before, modes = weights(module), [one.training for one in module.modules()]
    trainer = quiet()
    trainer.validate(module, loader(4), verbose=False)
    trainer.test(module, loader(4), verbose=False)
    trainer.predict(module, loader(4))
    assert_same(weights(module), before)
    assert [one.training for one in module.modules()] == modes


@pytest.mark.parametrize("inference_mode", [True, False])
def test_evaluation_runs_without_gradients_inside_fit_too(quiet: Quiet, inference_mode: bool) -> None:
    seen: dict[str, set[tuple[bool, bool]]] = {"fit": set(), "validate": set()}

    class Looking(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            seen[self.trainer.state.fn].add((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))

    trainer, module = quiet(inference_mode=inference_mode), Looking()
    trainer.fit(module, loader(4), loader(4))
    trainer.validate(module, loader(4), verbose=False)
    assert seen == {"fit": {(False, False)}, "validate": {(False, inference_mode)}}


# ---- how far they go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "train", "val"),
    [
        ({"max_epochs": 2}, 12, 4),
        ({"limit_train_batches": 4, "limit_val_batches": 1}, 4, 1),
        ({"limit_train_batches": 0.5, "limit_val_batches": 0.5}, 3, 1),
        ({"limit_val_batches": 0}, 6, 0),
        ({"limit_train_batches": 0}, 0, 0),
        ({"max_epochs": 0}, 0, 0),
        ({"max_epochs": -1, "max_steps": 8}, 8, 2),
        ({"max_epochs": 1, "max_steps": 100}, 6, 2),
        ({"max_epochs": 3, "max_steps": 4, "accumulate_grad_batches": 2}, 8, 2),
        ({"max_epochs": 4, "check_val_every_n_epoch": 2}, 24, 4),
        ({"val_check_interval": 0.5}, 6, 4),
        ({"val_check_interval": 2}, 6, 6),
        ({"max_epochs": 2, "val_check_interval": 5, "check_val_every_n_epoch": None}, 12, 4),
        ({"fast_dev_run": True, "max_epochs": 9}, 1, 1),
        ({"fast_dev_run": 2}, 2, 2),
        ({"overfit_batches": 2, "max_epochs": 3}, 6, 6),
        ({"overfit_batches": 0.5}, 3, 1),
    ],
    ids=str,
)
def test_limits_are_kept(quiet: Quiet, options: dict[str, Any], train: int, val: int) -> None:
    module = Counting()
    quiet(**options).fit(module, loader(12), loader(4))
    assert (module.counts["train"], module.counts["val"]) == (train, val)


def test_limits_of_test_and_prediction_are_kept(quiet: Quiet) -> None:
    module, trainer = Counting(), quiet(limit_test_batches=2, limit_predict_batches=0.5)
    trainer.test(module, loader(12), verbose=False)
    trainer.predict(module, loader(12))
    assert (module.counts["test"], module.counts["predict"]) == (2, 3)


def test_max_time_ends_a_fit_of_unlimited_epochs(quiet: Quiet) -> None:
    class Slow(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            time.sleep(0.005)
            return super().training_step(batch, batch_idx)

    trainer = quiet(max_epochs=-1, max_time={"seconds": 0.1})
    began = time.monotonic()
    trainer.fit(Slow(), loader(12))
    assert 0.1 <= time.monotonic() - began < 5
    assert 1 < trainer.global_step < 40


def test_min_epochs_holds_a_request_to_stop_back(quiet: Quiet) -> None:
    class Stopping(Bare):
        def on_train_batch_end(self, *values: Any) -> None:
            self.trainer.should_stop = True

    trainer = quiet(min_epochs=3, max_epochs=5)
    trainer.fit(Stopping(), loader(8))
    assert (trainer.current_epoch, trainer.global_step) == (3, 12)


def test_overfitting_trains_and_validates_on_the_same_samples_in_order(quiet: Quiet) -> None:
    seen: dict[str, list[float]] = {"train": [], "val": []}

    class Looking(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen["train"].append(batch[0].sum().item())
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            seen["val"].append(batch[0].sum().item())

    class Named(DataLoader[Any]):
        name = "mine"

    data = Named(samples(12), batch_size=2, shuffle=True)
    trainer = quiet(overfit_batches=2, max_epochs=2, num_sanity_val_steps=0)
    with pytest.warns(UserWarning, match="RandomSampler, is replaced, which turns shuffling off"):
        trainer.fit(Looking(), data, data)
    assert isinstance(trainer.train_dataloader, Named)
    assert isinstance(data.sampler, RandomSampler), "the user's own loader was changed"
    inputs = samples(12).tensors[0]
    in_order = [inputs[:2].sum().item(), inputs[2:4].sum().item()]
    assert seen == {"train": in_order * 2, "val": in_order * 2}


def test_a_fit_goes_on_when_the_limit_is_raised(quiet: Quiet) -> None:
    trainer, module = quiet(max_epochs=1), Counting()
    trainer.fit(module, loader(8), loader(4))
    trainer.max_epochs = 3
    trainer.fit(module, loader(8), loader(4))
    assert (trainer.current_epoch, trainer.global_step, module.counts["train"]) == (3, 12, 12)
    trainer.fit_loop.max_epochs += 1  # as scripts for Lightning have it
    trainer.fit(module, loader(8), loader(4))
    assert (trainer.max_epochs, trainer.current_epoch, trainer.global_step) == (4, 4, 16)


def test_modules_in_evaluation_mode_are_told_of_and_left_so(quiet: Quiet) -> None:
    module = Bare(dropout=0.5)
    module.network[2].eval()
    with pytest.warns(UserWarning, match=r"1 module\(s\) in eval mode at the start of training: `network.2`"):
        quiet().fit(module, loader(4))
    assert not module.network[2].training


# ---- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rows"),
    [("min_size", ["01", "23"]), ("max_size", ["01", "23", "4-"]), ("max_size_cycle", ["01", "23", "41"])],
)
def test_loaders_side_by_side(quiet: Quiet, mode: Any, rows: list[str]) -> None:
    seen: list[str] = []

    class Both(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            left, right = batch["left"], batch["right"]
            seen.append(f"{left.item()}{'-' if right is None else right.item()}")
            return self(torch.ones(1, 4)).mean()

    combined = L.CombinedLoader(
        {"left": DataLoader([0, 2, 4]), "right": DataLoader([1, 3])},
        mode,  # type: ignore[arg-type]  # lists will do
    )
    quiet().fit(Both(), combined)
    assert seen == rows


def test_a_list_of_loaders_to_train_on_starts_shorter_ones_over(quiet: Quiet) -> None:
    trainer, seen = quiet(), []

    class Both(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append(len(batch))
            return self.loss(batch[0]) + self.loss(batch[1])

    trainer.fit(Both(), [loader(4), loader(8)])
    assert seen == [2] * 4
    assert trainer.num_training_batches == 4


def test_a_loader_without_length_is_read_to_its_end(quiet: Quiet) -> None:
    lasts: list[bool] = []

    class Looking(Counting):
        def on_train_batch_end(self, *values: Any) -> None:
            lasts.append(self.trainer.is_last_batch)

    module, trainer = Looking(), quiet(max_epochs=2)
    stream = DataLoader(Stream(10), batch_size=2)
    trainer.fit(module, stream, stream)
    assert module.counts == {"train": 10, "val": 10, "test": 0, "predict": 0}
    assert lasts == [False, False, False, False, True] * 2
    assert trainer.num_training_batches == float("inf")


def test_any_iterable_of_batches_is_a_loader(quiet: Quiet) -> None:
    class Batches:
        def __iter__(self) -> Any:
            return iter(list(loader(6)))

    module = Counting()
    quiet(max_epochs=2).fit(module, Batches(), Batches())
    assert (module.counts["train"], module.counts["val"]) == (6, 6)


def test_of_a_batch_that_is_none_only_the_end_is_heard(quiet: Quiet) -> None:
    heard: list[tuple[str, int]] = []

    class Watching(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            heard.append(("start", batch_idx))

        def on_train_batch_end(
            self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            heard.append(("end" if outputs else "none", batch_idx))

    pairs = list(loader(6))
    trainer = quiet(callbacks=Watching(), max_epochs=1)
    with pytest.warns(UserWarning, match="train_dataloader yielded None"):
        trainer.fit(Bare(), DataLoader([pairs[0], None, pairs[2]], batch_size=None))  # type: ignore[arg-type]
    assert heard == [("start", 0), ("end", 0), ("none", 1), ("start", 2), ("end", 2)]
    assert trainer.global_step == 2


def test_an_empty_loader_trains_nothing_and_is_no_error(quiet: Quiet) -> None:
    recorder = Recorder()
    with pytest.warns(UserWarning, match="A train loader has no batches"):
        quiet(max_epochs=2, callbacks=recorder).fit(Bare(), DataLoader([]))  # type: ignore[arg-type]  # a list will do
    assert "on_train_start" not in recorder.heard
    assert recorder.heard[-1] == "teardown"


class Data(L.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def prepare_data(self) -> None:
        self.calls.append("prepare_data")

    def setup(self, stage: str) -> None:
        self.calls.append(f"setup {stage}")

    def teardown(self, stage: str) -> None:
        self.calls.append(f"teardown {stage}")

    def train_dataloader(self) -> Any:
        return loader(8)

    def val_dataloader(self) -> Any:
        return loader(4)

    test_dataloader = predict_dataloader = val_dataloader


def test_a_datamodule_serves_all_entry_points(quiet: Quiet) -> None:
    data, module, trainer = Data(), Counting(), quiet()
    trainer.fit(module, datamodule=data)
    trainer.validate(module, datamodule=data, verbose=False)
    trainer.test(module, datamodule=data, verbose=False)
    assert len(trainer.predict(module, data) or []) == 2
    assert module.counts == {"train": 4, "val": 4, "test": 2, "predict": 2}
    stages = ["fit", "validate", "test", "predict"]
    assert data.calls == [call for one in stages for call in ("prepare_data", f"setup {one}", f"teardown {one}")]
    assert data.trainer is trainer


def test_a_datamodule_can_be_made_of_datasets(quiet: Quiet) -> None:
    data = L.LightningDataModule.from_datasets(samples(8), [samples(4), samples(6)], batch_size=2)
    module = Counting()
    quiet().fit(module, datamodule=data)
    assert (module.counts["train"], module.counts["val"]) == (4, 5)


def test_loaders_are_asked_for_anew_every_n_epochs(quiet: Quiet) -> None:
    class Reloading(Counting):
        asked = 0

        def train_dataloader(self) -> Any:
            self.asked += 1
            return loader(2 * self.asked)

        def val_dataloader(self) -> Any:
            return loader(2)

    module = Reloading()
    quiet(max_epochs=4, reload_dataloaders_every_n_epochs=2).fit(module)
    assert (module.asked, module.counts["train"]) == (2, 1 + 1 + 2 + 2)


def test_hooks_may_change_a_batch_on_its_way(quiet: Quiet) -> None:
    class Changing(Bare):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [one * 0 for one in batch]

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert not batch[0].any()
            return super().training_step(batch, batch_idx)

    quiet().fit(Changing(), loader(4))


# ---- manual optimization -------------------------------------------------------------------------------------------------


class Gan(L.LightningModule):
    """Two networks, two optimizers, two schedulers."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = network(seed=1), network(seed=2)
        self.generator[3] = nn.Linear(8, 4)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        real = batch[0]
        for_generator, for_critic = self.optimizers()
        with for_generator.toggle_model():
            assert not any(one.requires_grad for one in self.critic.parameters())
            loss = -self.critic(self.generator(torch.randn(len(real), 4))).mean()
            for_generator.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(for_generator, 0.1)
            for_generator.step()
        self.toggle_optimizer(for_critic)
        fake = self.generator(torch.randn(len(real), 4)).detach()
        loss = (self.critic(fake).square() + (1 - self.critic(real)).square()).mean()
        for_critic.zero_grad()
        self.manual_backward(loss)
        for_critic.step()
        self.untoggle_optimizer(for_critic)
        assert all(one.requires_grad for one in self.parameters())
        self.log("critic_loss", loss, on_epoch=True)
        for scheduler in self.lr_schedulers():
            scheduler.step()

    def configure_optimizers(self) -> Any:
        optimizers = [torch.optim.Adam(part.parameters(), lr=0.01) for part in (self.generator, self.critic)]
        return optimizers, [torch.optim.lr_scheduler.StepLR(one, 4, 0.5) for one in optimizers]


def test_a_gan_trains_both_of_its_networks(quiet: Quiet) -> None:
    module, trainer = Gan(), quiet()
    before = weights(module)
    trainer.fit(module, loader(8))
    assert trainer.global_step == 8  # two optimizers, four batches
    assert not [name for name, value in weights(module).items() if torch.equal(value, before[name])]
    assert [one.param_groups[0]["lr"] for one in trainer.optimizers] == [0.005, 0.005]
    assert "critic_loss" in trainer.callback_metrics


@pytest.mark.parametrize("options", [{"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}])
def test_what_only_automatic_optimization_does_is_refused_for_manual(quiet: Quiet, options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(L.MisconfigurationException, match=rf"{name}.*Gan optimizes by itself"):
        quiet(**options).fit(Gan(), loader(8))


# ---- logging -----------------------------------------------------------------------------------------------------------


def test_names_forks_and_reductions(quiet: Quiet) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("default", float(batch_idx))
            self.log("both", float(batch_idx), on_step=True, on_epoch=True)
            self.log("epoch", torch.tensor([batch_idx]), on_step=False, on_epoch=True)
            self.log_dict({"sum": 1.0, "more": 2}, on_step=False, on_epoch=True, reduce_fx="sum")
            self.log("min", 5.0 - batch_idx, on_epoch=True, on_step=False, reduce_fx=min)
            self.log("max", torch.tensor(batch_idx), on_epoch=True, on_step=False, reduce_fx=torch.max)
            self.log("bar", True, prog_bar=True, logger=False)
            self.log("weighted", float(batch_idx), on_step=False, on_epoch=True, batch_size=1 + 9 * (batch_idx == 3))
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.log("val", float(batch_idx))
            self.log("val_step", float(batch_idx), on_step=True, on_epoch=False)

        def on_validation_epoch_end(self) -> None:
            self.log("closing", 7)

    trainer = quiet()
    trainer.fit(Module(), loader(7), [loader(4), loader(4)])
    found = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert found == {
        "default": 3.0, "both": pytest.approx((0 * 2 + 1 * 2 + 2 * 2 + 3) / 7), "both_step": 3.0,
        "both_epoch": pytest.approx((0 * 2 + 1 * 2 + 2 * 2 + 3) / 7), "epoch": pytest.approx(9 / 7), "sum": 4.0, "more": 8.0,
        "min": 2.0, "max": 3.0, "bar": 1.0, "weighted": pytest.approx((0 + 1 + 2 + 30) / 13),
        "val/dataloader_idx_0": 0.5, "val/dataloader_idx_1": 0.5, "closing": 7.0,
    }  # fmt: skip
    assert trainer.progress_bar_metrics == {"bar": 1.0}
    assert "bar" not in trainer.logged_metrics
    assert "val_step/dataloader_idx_1" in trainer.logged_metrics or not trainer.loggers


def test_callbacks_log_as_modules_do(quiet: Quiet) -> None:
    class Measuring(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("from_callback", outputs["loss"], on_step=True, on_epoch=True)

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.log_dict({"one": 1.0, "two": 2.0})

    callback = Measuring()
    trainer = quiet(callbacks=callback)
    trainer.fit(Regression(), loader(8), loader(4))
    assert {"from_callback", "from_callback_step", "from_callback_epoch", "one", "two"} <= set(trainer.callback_metrics)
    with pytest.raises(L.MisconfigurationException, match=r"Measuring.log.*outside of a run"):
        callback.log("x", 1.0)


def test_metric_objects_begin_anew_in_each_epoch(quiet: Quiet) -> None:
    seen: list[tuple[float, float]] = []

    class Measured(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.train_mean, self.val_mean = MeanMetric(), MeanMetric()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.train_mean(float(self.current_epoch))
            self.log("train_mean", self.train_mean, on_step=True, on_epoch=True)
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.val_mean.update(float(self.current_epoch) + 100 * self.trainer.sanity_checking)
            self.log("val_mean", self.val_mean)

        def on_train_epoch_end(self) -> None:
            metrics = self.trainer.callback_metrics
            seen.append((metrics["train_mean_epoch"].item(), metrics["val_mean"].item()))

    module, trainer = Measured(), quiet(max_epochs=3)
    trainer.validate(module, loader(4), verbose=False)  # under inference mode, whose tensors cannot be changed later
    trainer.fit(module, loader(8), loader(4))
    assert seen == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]


def test_logged_values_do_not_hold_on_to_graphs_or_follow_their_tensor(quiet: Quiet) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.counter.add_(1)
            self.log("loss", loss)
            self.log("counter", self.counter, on_step=False, on_epoch=True, reduce_fx="max")
            self.log("first", self.counter, on_step=False, on_epoch=True, reduce_fx="min")
            return loss

    module, trainer = Module(), quiet()
    module.register_buffer("counter", torch.zeros(()))
    trainer.fit(module, loader(8))
    assert not trainer.callback_metrics["loss"].requires_grad
    assert (trainer.callback_metrics["first"], trainer.callback_metrics["counter"]) == (1.0, 4.0)


# ---- events --------------------------------------------------------------------------------------------------------------


def test_functions_subscribe_to_events_with_filters(quiet: Quiet) -> None:
    trainer = quiet(max_epochs=2)
    heard: dict[str, list[int]] = {"every": [], "once": [], "after": [], "cancelled": []}

    @trainer.on(TrainBatchEnd, every=2)
    def every(event: TrainBatchEnd) -> None:
        heard["every"].append(event.batch_idx)
        assert event.trainer is trainer
        assert isinstance(event.outputs["loss"], Tensor)

    trainer.on(TrainBatchEnd, once=3)(lambda event: heard["once"].append(event.batch_idx))
    trainer.on(TrainBatchEnd, after=6)(lambda event: heard["after"].append(event.batch_idx))
    cancelled = trainer.on(TrainBatchEnd)(lambda event: heard["cancelled"].append(event.batch_idx))
    trainer.on(ValidationEpochEnd, once=2)(lambda event: cancelled.cancel())
    trainer.fit(Regression(), loader(8), loader(4))
    assert heard == {"every": [1, 3, 1, 3], "once": [2], "after": [2, 3], "cancelled": [0, 1, 2, 3]}


def test_callbacks_may_come_and_go_during_a_fit(quiet: Quiet) -> None:
    late, trainer = Recorder(), quiet(max_epochs=2)

    class Inviting(L.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.callbacks = [self] if late in trainer.callbacks else [self, late]

    trainer.callbacks = [Inviting()]
    trainer.fit(Bare(), loader(8))
    assert late.heard.count("on_train_batch_end") == 4
    assert "on_train_end" not in late.heard


@pytest.mark.filterwarnings("ignore:training_step returned None")
def test_outputs_are_what_the_step_returned_with_the_loss_detached(quiet: Quiet) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return {"loss": self.loss(batch), "extra": batch_idx} if batch_idx else None

    outputs: list[Any] = []
    trainer = quiet()
    trainer.on(TrainBatchEnd)(lambda event: outputs.append(event.outputs))
    trainer.fit(Module(), loader(4))
    assert outputs[0] == {}
    assert outputs[1]["extra"] == 1
    assert not outputs[1]["loss"].requires_grad


def test_who_listens_from_the_second_epoch_on_hears_every_hook(quiet: Quiet) -> None:
    """The plain step is left as soon as somebody listens in between, and the weights are the same."""

    def fitted(listens: bool) -> tuple[list[str], dict[str, Tensor]]:
        heard: list[str] = []
        trainer, module = quiet(max_epochs=3), Bare(sgd, dropout=0.5)
        torch.manual_seed(3)

        class Inviting(L.Callback):
            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                if listens and trainer.current_epoch == 0:
                    trainer.bus.subscribe(Event, lambda event: heard.append(type(event).__name__))

        trainer.callbacks = [Inviting()]
        trainer.fit(module, loader(8, shuffle=True))
        return heard, weights(module)

    heard, found = fitted(True)
    assert_same(found, fitted(False)[1])
    assert heard.count("Backward") == heard.count("OptimizerStep") == heard.count("ConfigureGradientClipping") == 8


# ---- modules -------------------------------------------------------------------------------------------------------------


def test_a_compiled_network_trains_to_the_same_weights(quiet: Quiet) -> None:
    compiled, plain = Regression(), Regression()
    compiled.network.compile(backend="eager")
    for module in (compiled, plain):
        quiet().fit(module, loader(8), loader(4))
    assert_same(weights(compiled), weights(plain))


def test_modules_inside_a_module_may_log_too(quiet: Quiet) -> None:
    class Inner(L.LightningModule):
        def forward(self, value: Tensor) -> Tensor:
            self.log("inner", value.mean())
            return value

    class Outer(Bare):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.inner(self.loss(batch))

    trainer = quiet()
    trainer.fit(Outer(), loader(4))
    assert "inner" in trainer.callback_metrics


class Kept(L.Callback):
    def __init__(self) -> None:
        self.batches = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.batches += 1
        self.log("batches", float(self.batches))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_a_trained_module_belongs_to_no_trainer_and_trains_by_itself(quiet: Quiet, duplicate: Any) -> None:
    module, trainer = Regression(), quiet(max_epochs=1)
    trainer.fit(module, loader(8), loader(4))
    other = duplicate(module)
    assert_same(weights(other), weights(module))
    with pytest.raises(RuntimeError, match="not attached"):
        _ = other.trainer
    before = weights(module)
    quiet().fit(other, loader(8), loader(4))
    assert_same(weights(module), before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_callbacks_can_be_copied_also_while_they_run(quiet: Quiet, duplicate: Any) -> None:
    copies: list[Kept] = []

    class Copying(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
            copies.append(duplicate(trainer.callbacks[0]))

    trainer = quiet(callbacks=[Kept(), Copying()])
    trainer.fit(Bare(), loader(8))
    assert copies[0].batches == 4
    quiet(callbacks=copies[0]).fit(Bare(), loader(8))
    assert copies[0].batches == 8


# ---- memory --------------------------------------------------------------------------------------------------------------


def test_logging_keeps_no_more_values_the_longer_an_epoch_is(quiet: Quiet) -> None:
    kept: list[int] = []

    class Measuring(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
            if trainer.global_step % 100 == 0:
                gc.collect()
                kept.append(sum(type(one) is torch.Tensor for one in gc.get_objects()))

    batch = samples(2).tensors

    class Batches:
        def __len__(self) -> int:
            return 1000

        def __iter__(self) -> Any:
            return iter([batch] * 1000)

    trainer = quiet(callbacks=Measuring())
    trainer.fit(Logging(), Batches())
    assert len(kept) == 10
    assert max(kept) - min(kept) < 10


def test_trainer_and_module_are_free_after_a_fit(quiet: Quiet, tmp_path: Path) -> None:
    trainer, module = quiet(callbacks=Recorder(), enable_checkpointing=True), Regression()
    trainer.on(TrainBatchEnd)(lambda event: None)
    trainer.fit(module, loader(8), loader(4))
    trainer.test(module, loader(4), verbose=False)
    free = [weakref.ref(one) for one in (trainer, module, trainer.callbacks[0], trainer.optimizers[0], trainer.bus)]
    del trainer, module
    gc.collect()
    assert [one() for one in free] == [None] * len(free)


def test_a_module_outlives_its_trainers(quiet: Quiet) -> None:
    """Training one module with trainer after trainer keeps only the last of them."""
    module, trainers = Regression(), []
    for _ in range(3):
        trainer = quiet()
        trainer.fit(module, loader(4), loader(4))
        trainers.append(weakref.ref(trainer))
        del trainer
    gc.collect()
    assert [one() is None for one in trainers] == [True, True, False]


def test_batches_and_outputs_are_not_kept_after_their_step(quiet: Quiet) -> None:
    seen: list[weakref.ref[Any]] = []

    class Looking(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(weakref.ref(batch[0]))

    trainer = quiet(callbacks=Looking())
    trainer.fit(Regression(), loader(12), loader(4))
    assert sum(one() is not None for one in seen) <= 1


def test_a_class_may_choose_manual_optimization_for_its_modules(quiet: Quiet) -> None:
    class Manual(Bare):
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            optimizer.step()

    class ByProperty(Manual):
        @property
        def automatic_optimization(self) -> bool:
            return False

    for module in (Manual(), ByProperty()):
        trainer = quiet(max_epochs=1)
        trainer.fit(module, loader())
        assert trainer.global_step == 6
