"""A run that is interrupted anywhere and resumed ends, bit for bit, where the uninterrupted run ends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, Sampler
from torchbus_hookspecs import Checkpoint, hookimpl
from torchbus_hookspecs.events import LogRecord
from torchmetrics import MaxMetric, MeanMetric

from .toys import Regression, Stream, adam, assert_same, loader, samples, sgd, weights

Quiet = Callable[..., L.Trainer]
EPOCHS = 2


class Saving(Checkpoint):
    """Saves a checkpoint each time a hook is called, outside of the sanity check."""

    def __init__(self, hook: str, folder: Path) -> None:
        self.hook, self.folder = hook, folder
        self.numbers = itertools.count()

    def save(self, hook: str, trainer: L.Trainer) -> None:
        if hook == self.hook and not trainer.sanity_checking:
            trainer.save_checkpoint(self.folder / f"{next(self.numbers):02}.ckpt")


def _saves(hook: str) -> Callable[..., None]:
    @hookimpl(trylast=True)
    def save(self: Saving, trainer: L.Trainer, *values: Any) -> None:
        self.save(hook, trainer)

    return save


MOMENTS = [
    "on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_train_batch_end", "on_validation_start",
    "on_validation_batch_end", "on_validation_epoch_end", "on_validation_end", "on_train_epoch_end", "on_train_end",
]  # fmt: skip
for _hook in MOMENTS:
    setattr(Saving, _hook, _saves(_hook))


class Noted(Regression):
    """Logs in all ways, at all places."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("only_step", loss)
        self.log("largest", loss, on_step=True, on_epoch=True, reduce_fx=torch.max)
        self.log("batches", 1.0, on_step=False, on_epoch=True, reduce_fx="sum")
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val_smallest", self.loss(batch), reduce_fx="min")

    def on_train_epoch_end(self) -> None:
        self.log("epochs", float(self.current_epoch))


class Noisy(Dataset[Any]):
    """Draws random numbers when a sample is read, as augmentations do."""

    def __init__(self, count: int) -> None:
        self.samples = samples(count)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        inputs, target = self.samples[index]
        return inputs + 0.1 * torch.randn(4) + 0.1 * random.random(), target  # noise


def cycled(count: int) -> L.CombinedLoader:
    """Two loaders, the second half as long and started over."""
    return L.CombinedLoader([loader(count, shuffle=True), loader(max(2, count // 2), shuffle=True)], "max_size_cycle")


DATA: dict[str, Callable[[int], Any]] = {
    "shuffled": lambda count: loader(count, shuffle=True),
    "in order": loader,
    "noisy": lambda count: DataLoader(Noisy(count), batch_size=2, shuffle=True),
    "stream": lambda count: DataLoader(Stream(count), batch_size=2),
    "several": lambda count: [loader(count, shuffle=True), loader(count + 2, shuffle=True, seed=2)],
    "cycled": cycled,
}


class OnTwo(Noted):
    def loss(self, batch: Any) -> Tensor:
        if not isinstance(batch[0], list | tuple):
            return super().loss(batch)
        return super().loss(batch[0]) + super().loss(batch[1])


def scheduled(make_optimizer: Callable[[nn.Module], Any], schedule: str) -> Callable[[Any], Any]:
    def optimize(module: L.LightningModule) -> Any:
        optimizer = make_optimizer(module)
        made: dict[str, Any] = {
            "epoch": lambda: {"scheduler": StepLR(optimizer, 1, 0.5)},
            "step": lambda: {"scheduler": OneCycleLR(optimizer, 0.1, total_steps=100), "interval": "step"},
            "plateau": lambda: {
                "scheduler": ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.5),
                "monitor": "val_loss",
            },
            "plateau per step": lambda: {
                "scheduler": ReduceLROnPlateau(optimizer, factor=0.9, patience=0, threshold=0.5),
                "monitor": "train_loss_step",
                "interval": "step",
            },
        }
        return {"optimizer": optimizer, "lr_scheduler": made[schedule]()} if schedule else optimizer

    return optimize


class Run:
    """One configuration of a run; ``trained`` is how it ends."""

    def __init__(
        self,
        quiet: Quiet,
        *,
        data: str = "shuffled",
        count: int = 7,
        make_optimizer: Callable[[nn.Module], Any] = sgd,
        schedule: str = "epoch",
        dropout: float = 0.5,
        validations: float | int = 0.5,
        **options: Any,
    ) -> None:
        self.quiet, self.data, self.count = quiet, data, count
        self.optimize, self.dropout = scheduled(make_optimizer, schedule), dropout
        self.kind: type[Noted] = OnTwo if data in ("several", "cycled") else Noted
        self.options = {"max_epochs": EPOCHS, "val_check_interval": validations, **options}

    def trained(self, seed: int, ckpt_path: Path | None = None, **options: Any) -> tuple[L.Trainer, dict[str, Any]]:
        """Train, from the start or from a checkpoint, in a process that has drawn its own random numbers before."""
        torch.manual_seed(seed)
        random.seed(seed)
        module = self.kind(self.optimize, self.dropout, seed=0 if ckpt_path is None else seed)
        trainer = self.quiet(**self.options, **options)
        validation = loader(4, seed=3)
        trainer.fit(module, DATA[self.data](self.count), validation, ckpt_path=ckpt_path)
        return trainer, outcome(trainer)

    def assert_resumable(self, hook: str, folder: Path) -> None:
        """Save in each call of ``hook``; resume from each of these moments."""
        folder.mkdir(parents=True, exist_ok=True)
        _, expected = self.trained(seed=7, callbacks=Saving(hook, folder), enable_checkpointing=True)
        checkpoints = sorted(folder.iterdir())
        assert checkpoints
        for path in checkpoints:
            _, resumed = self.trained(seed=99, ckpt_path=path)
            assert_alike(resumed, expected, f"resumed from {hook} number {int(path.stem)}")


def outcome(trainer: L.Trainer) -> dict[str, Any]:
    """Everything that should be the same."""
    [optimizer] = trainer.optimizers
    return {
        "counters": (trainer.current_epoch, trainer.global_step, trainer.fit_loop.progress.batches_stepped),
        "rates": [group["lr"] for group in optimizer.param_groups],
        "weights": weights(trainer.lightning_module),
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "generator": torch.get_rng_state(),
    }


def assert_alike(found: dict[str, Any], expected: dict[str, Any], when: str) -> None:
    try:
        assert found["counters"] == expected["counters"]
        assert found["rates"] == expected["rates"]
        assert_same(found["weights"], expected["weights"])
        assert found["metrics"] == expected["metrics"]
        assert torch.equal(found["generator"], expected["generator"]), "the random numbers to come differ"
    except AssertionError as error:
        error.add_note(when)
        raise


# ---- after each batch --------------------------------------------------------------------------------------------------


def test_saving_changes_nothing(quiet: Quiet, tmp_path: Path) -> None:
    run = Run(quiet, accumulate_grad_batches=2)
    _, expected = run.trained(seed=7)
    for hook in MOMENTS:
        (tmp_path / hook).mkdir()
        _, saving = run.trained(seed=7, callbacks=Saving(hook, tmp_path / hook), enable_checkpointing=True)
        assert_alike(saving, expected, f"saved in {hook}")


@pytest.mark.parametrize(("accumulate", "schedule"), [(1, "epoch"), (2, "step"), (3, "epoch")])
def test_after_any_batch(quiet: Quiet, tmp_path: Path, accumulate: int, schedule: str) -> None:
    run = Run(quiet, schedule=schedule, accumulate_grad_batches=accumulate)
    run.assert_resumable("on_train_batch_end", tmp_path / "saved")


@pytest.mark.parametrize("data", DATA)
def test_after_any_batch_of_any_loader(quiet: Quiet, tmp_path: Path, data: str) -> None:
    validations = 2 if data == "stream" else 0.5
    Run(quiet, data=data, validations=validations, accumulate_grad_batches=2).assert_resumable(
        "on_train_batch_end", tmp_path / "saved"
    )


@pytest.mark.parametrize("schedule", ["plateau", "plateau per step"])
def test_with_schedulers_that_follow_a_metric(quiet: Quiet, tmp_path: Path, schedule: str) -> None:
    Run(quiet, schedule=schedule).assert_resumable("on_train_batch_end", tmp_path / "saved")


def test_with_adam_and_clipping(quiet: Quiet, tmp_path: Path) -> None:
    run = Run(quiet, make_optimizer=adam, gradient_clip_val=0.1, accumulate_grad_batches=2)
    run.assert_resumable("on_train_batch_end", tmp_path / "saved")


def test_in_16_mixed(quiet: Quiet, tmp_path: Path) -> None:
    run = Run(quiet, schedule="", precision="16-mixed", accumulate_grad_batches=2)
    run.assert_resumable("on_train_batch_end", tmp_path / "saved")


@pytest.mark.parametrize(
    "options",
    [
        {"val_check_interval": 3, "check_val_every_n_epoch": None},
        {"limit_train_batches": 3},
        {"max_epochs": -1, "max_steps": 6},
        {"check_val_every_n_epoch": 2},
        {"limit_train_batches": 3, "val_check_interval": 2, "limit_val_batches": 1},
    ],
    ids=str,
)
def test_with_limits_and_intervals(quiet: Quiet, tmp_path: Path, options: dict[str, Any]) -> None:
    run = Run(quiet)
    run.options |= {"val_check_interval": 1.0, **options}
    run.assert_resumable("on_train_batch_end", tmp_path / "saved")


# ---- at other moments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [hook for hook in MOMENTS if hook != "on_train_batch_end"])
def test_at_any_moment(quiet: Quiet, tmp_path: Path, hook: str) -> None:
    run = Run(quiet, schedule="plateau", accumulate_grad_batches=2)
    run.assert_resumable(hook, tmp_path / "saved")


def test_without_validation(quiet: Quiet, tmp_path: Path) -> None:
    run = Run(quiet, limit_val_batches=0)
    run.assert_resumable("on_train_batch_end", tmp_path / "batches")
    run.assert_resumable("on_train_epoch_end", tmp_path / "epochs")


def test_a_resumed_run_can_be_interrupted_and_resumed_again(quiet: Quiet, tmp_path: Path) -> None:
    run = Run(quiet, accumulate_grad_batches=2)
    _, expected = run.trained(seed=7)
    path: Path | None = None
    for stop in range(1, 4):
        folder = tmp_path / str(stop)
        folder.mkdir()
        saving = Saving("on_train_batch_end", folder)
        run.trained(7 if path is None else stop, path, callbacks=saving, enable_checkpointing=True)
        path = sorted(folder.iterdir())[1]  # two batches further on
    _, resumed = run.trained(seed=99, ckpt_path=path)
    assert_alike(resumed, expected, "after three interruptions")


def test_the_checkpoints_of_model_checkpoint_and_early_stopping_go_on_exactly(quiet: Quiet, tmp_path: Path) -> None:
    """Both judge a metric after each of two validations in an epoch, and remember what they judged."""
    plugins = {
        "early_stopping": {"monitor": "val_loss", "patience": 2, "check_on_train_epoch_end": False},
        "model_checkpoint": {
            "monitor": "val_loss", "save_top_k": -1, "every_n_epochs": 1, "save_on_train_epoch_end": False,
            "filename": "{epoch}-{step}",
        },
    }  # fmt: skip

    def trained(ckpt_path: Path | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        run = Run(quiet, enable_checkpointing=True)
        trainer, ended = run.trained(seed=7 if ckpt_path is None else 99, ckpt_path=ckpt_path, plugins=plugins)
        callback: Any = trainer.early_stopping_callback
        saver: Any = trainer.checkpoint_callback
        scores = [score.item() for score in saver.best_k_models.values()]
        return ended, {"waited": callback.wait_count, "best": callback.best_score.item(), "scores": scores}

    ended, judged = trained()
    paths = sorted((tmp_path / "checkpoints").iterdir())
    assert len(paths) > 2
    for path in paths:
        resumed, judged_again = trained(path)
        assert_alike(resumed, ended, path.name)
        assert judged_again == judged


# ---- any of all that ---------------------------------------------------------------------------------------------------


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    hook=st.sampled_from(["on_train_batch_end", "on_validation_end", "on_train_epoch_end", "on_train_batch_start"]),
    options=st.fixed_dictionaries(
        {
            "data": st.sampled_from(["shuffled", "noisy", "in order"]),
            "count": st.integers(4, 7),
            "make_optimizer": st.sampled_from([sgd, adam]),
            "schedule": st.sampled_from(["", "epoch", "step", "plateau"]),
            "validations": st.sampled_from([0.5, 1.0, 1]),
            "accumulate_grad_batches": st.integers(1, 3),
            "max_epochs": st.integers(1, 2),
        }
    ),
)
def test_any_combination(
    quiet: Quiet, tmp_path_factory: pytest.TempPathFactory, hook: str, options: dict[str, Any]
) -> None:
    assume((options["data"], hook) != ("noisy", "on_train_batch_start"))  # that batch was read before, with its noise
    if options["schedule"] == "plateau" and options["validations"] == 1.0:
        options["validations"] = 0.5
    Run(quiet, **options).assert_resumable(hook, tmp_path_factory.mktemp("saved"))


# ---- parts that keep a place of their own --------------------------------------------------------------------------------


class Rotating(Sampler[int]):
    """Begins at another sample in each epoch, if it is told the epoch, as ``DistributedSampler`` is."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 8

    def __iter__(self) -> Any:
        return iter([(3 * self.epoch + index) % 8 for index in range(8)])


def test_samplers_are_told_the_epoch_that_goes_on(quiet: Quiet, tmp_path: Path) -> None:
    DATA["rotating"] = lambda count: DataLoader(samples(8), batch_size=2, sampler=Rotating())
    Run(quiet, data="rotating").assert_resumable("on_train_batch_end", tmp_path / "batches")
    Run(quiet, data="rotating").assert_resumable("on_train_epoch_end", tmp_path / "epochs")


class Measured(Noted):
    """Logs metric objects, in training and in validation."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.average, self.highest, self.val_average = MeanMetric(), MaxMetric(), MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.average(loss)
        self.highest.update(loss)
        self.log("average", self.average, on_step=True, on_epoch=True)
        self.log("highest", self.highest, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_average.update(self.loss(batch))
        self.log("val_average", self.val_average)
        super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_batch_end", "on_train_epoch_end"])
def test_metric_objects_go_on(quiet: Quiet, tmp_path: Path, hook: str) -> None:
    run = Run(quiet)
    run.kind = Measured
    run.assert_resumable(hook, tmp_path / "saved")


def test_a_checkpoint_of_lightning_goes_on_behind_the_batches_it_has_done(quiet: Quiet, tmp_path: Path) -> None:
    """Without generators and metrics in it; where nothing is drawn at random, the weights are the same."""
    run = Run(quiet, data="in order", dropout=0.0)
    _, expected = run.trained(seed=7)
    run.trained(seed=7, callbacks=Saving("on_train_batch_end", tmp_path), enable_checkpointing=True)
    for path in sorted(tmp_path.glob("*.ckpt")):
        content = torch.load(path, weights_only=True)
        assert content["loops"].pop("torchbus")
        torch.save(content, path)
        _, resumed = run.trained(seed=99, ckpt_path=path)
        assert_same(resumed["weights"], expected["weights"])


# ---- what a resumed run tells ------------------------------------------------------------------------------------------


def test_loggers_hear_the_epoch_values_of_the_whole_epoch(quiet: Quiet, tmp_path: Path) -> None:
    """Not only of the part after the interruption."""

    def told_by(trainer: L.Trainer) -> dict[int, dict[str, float]]:
        told: dict[int, dict[str, float]] = {}

        @trainer.on(LogRecord)
        def remember(event: Any) -> None:
            told.setdefault(event.step, {}).update(event.metrics)

        return told

    def trained(seed: int, ckpt_path: Path | None, callbacks: Any = None) -> dict[int, dict[str, float]]:
        torch.manual_seed(seed)
        trainer = quiet(
            max_epochs=2, log_every_n_steps=1, callbacks=callbacks, enable_checkpointing=callbacks is not None
        )
        told = told_by(trainer)
        module = Noted(sgd, 0.5, seed=0)
        trainer.fit(module, loader(10, shuffle=True), loader(4, seed=3), ckpt_path=ckpt_path)
        return told

    folder = tmp_path / "saved"
    folder.mkdir()
    whole = trained(7, None, Saving("on_train_batch_end", folder))
    for number, path in enumerate(sorted(folder.iterdir())):
        rest = trained(99, path)
        assert min(rest) > number or number in (4, 9)
        assert all(whole[step][name] == value for step, values in rest.items() for name, value in values.items())
        last = 4 if number < 5 else 9
        assert {"train_loss_epoch", "largest_epoch", "batches", "epochs"} <= set(rest[last])
