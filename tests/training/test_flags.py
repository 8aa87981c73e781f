"""Arguments of the trainer, the paths into its loops, and combined loaders: what scripts for Lightning count on."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch.utils.data import DataLoader, SubsetRandomSampler
from torchbus.callbacks import LearningRateMonitor
from torchbus.utilities import CombinedLoader, move_data_to_device

from .test_bad_input import refused
from .toys import Bare, Regression, Stream, loader, samples

Quiet = Callable[..., L.Trainer]


@dataclass(frozen=True)
class Pair:
    first: torch.Tensor
    second: torch.Tensor = field(init=False)
    note: str = "kept"

    def __post_init__(self) -> None:
        object.__setattr__(self, "second", self.first + 1)


# ---- dry runs ------------------------------------------------------------------------------------------------------------


class Drawing(Regression):
    """Calls its logger by itself, as one would TensorBoard's."""

    def on_train_start(self) -> None:
        assert self.logger is not None
        self.logger.experiment.add_image("first", torch.zeros(3, 2, 2), global_step=0)
        self.logger.experiment["note"] = 1
        self.logger.log_image("second", [])
        self.logger.log_metrics({"third": 1.0}, step=0)


@pytest.mark.parametrize("logger", [True, "csv", None])
def test_a_module_that_calls_its_logger_runs_dry_too_and_nothing_is_written(quiet: Quiet, logger: Any) -> None:
    trainer = quiet(fast_dev_run=True, logger=logger, callbacks=[LearningRateMonitor()])
    trainer.fit(Drawing(), loader(), loader())
    assert len(trainer.loggers) == 1
    assert copy.deepcopy(trainer.logger) is not None
    assert not list(Path(trainer.default_root_dir).iterdir())


def test_without_a_logger_a_dry_run_has_none(quiet: Quiet) -> None:
    assert quiet(fast_dev_run=True, logger=False).loggers == []


def test_a_dry_run_of_overfitting_keeps_its_batches(quiet: Quiet) -> None:
    trainer = quiet(fast_dev_run=1, overfit_batches=3)
    assert (trainer.limit_train_batches, trainer.limit_val_batches, trainer.limit_test_batches) == (3, 3, 1)


# ---- paths into the loops ----------------------------------------------------------------------------------------------


def test_limits_may_be_changed_on_the_loop(quiet: Quiet) -> None:
    trainer = quiet(max_epochs=1)
    trainer.fit(Bare(), loader())
    trainer.fit_loop.max_epochs = 3
    trainer.fit_loop.epoch_loop.max_steps = 8
    trainer.fit(Bare(), loader())
    assert (trainer.max_epochs, trainer.max_steps, trainer.global_step) == (3, 8, 8)
    trainer.fit_loop.min_epochs, trainer.fit_loop.min_steps = 1, 2
    assert (trainer.min_epochs, trainer.min_steps) == (1, 2)


def test_counters_are_where_lightning_has_them(quiet: Quiet) -> None:
    seen: list[tuple[int, ...]] = []

    class Reading(Bare):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            loop = self.trainer.fit_loop
            epochs, batches = loop.epoch_progress, loop.epoch_loop.batch_progress
            assert loop.batch_idx == loop.epoch_loop.batch_idx == batch_idx == batches.current.completed
            assert loop.total_batch_idx == batches.total.ready - 1 == loop.epoch_loop.total_batch_idx
            assert batches.is_last_batch is self.trainer.is_last_batch
            seen.append(
                (epochs.current.ready, epochs.total.completed, batches.current.ready, loop.epoch_loop.global_step)
            )

    quiet(max_epochs=2).fit(Reading(), loader(4))
    assert seen == [(1, 0, 1, 0), (1, 0, 2, 1), (2, 1, 1, 2), (2, 1, 2, 3)]


def test_what_is_under_way_is_neither_started_nor_completed_until_its_hook_is_through(quiet: Quiet) -> None:
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str, counts: Any) -> None:
        seen.setdefault(name, (counts.ready, counts.started, counts.processed, counts.completed))

    class Reading(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            note("epoch start", trainer.fit_loop.epoch_progress.current)

        def on_train_batch_start(self, trainer: L.Trainer, *rest: Any) -> None:
            note("first epoch", trainer.fit_loop.epoch_progress.current)
            note("batch start", trainer.fit_loop.epoch_loop.batch_progress.current)

        def on_before_backward(self, trainer: L.Trainer, *rest: Any) -> None:
            note("batch", trainer.fit_loop.epoch_loop.batch_progress.total)

        def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
            note("batch end", trainer.fit_loop.epoch_loop.batch_progress.total)

    trainer = quiet(callbacks=Reading())
    trainer.fit(Bare(), loader(2))
    note("after", trainer.fit_loop.epoch_loop.batch_progress.current)
    assert seen == {
        "epoch start": (1, 0, 0, 0),
        "first epoch": (1, 1, 0, 0),
        "batch start": (1, 0, 0, 0),
        "batch": (1, 1, 0, 0),
        "batch end": (1, 1, 1, 0),
        "after": (1, 1, 1, 1),
    }


def test_a_fit_may_begin_at_another_epoch(quiet: Quiet) -> None:
    trainer = quiet(max_epochs=3)
    trainer.fit_loop.epoch_progress.current.processed = trainer.fit_loop.epoch_progress.current.completed = 2
    trainer.fit(Bare(), loader())
    assert (trainer.current_epoch, trainer.global_step) == (3, 6)


# ---- loaders -----------------------------------------------------------------------------------------------------------


def test_without_training_batches_the_loader_is_not_asked_for(quiet: Quiet) -> None:
    class Asked(Bare):
        def train_dataloader(self) -> Any:
            raise AssertionError("asked for")

    trainer = quiet(limit_train_batches=0)
    trainer.fit(Asked())
    assert trainer.num_training_batches == float("inf")


def test_overfitting_takes_no_random_sampler(quiet: Quiet) -> None:
    trainer = quiet(overfit_batches=2)
    data = DataLoader(samples(), batch_size=2, sampler=SubsetRandomSampler(range(3, 9)), drop_last=True)
    with pytest.warns(UserWarning, match="train loader's sampler, a SubsetRandomSampler"):
        trainer.fit(Bare(), data)
    read = trainer.train_dataloader
    assert (type(read.sampler).__name__, read.batch_size, read.drop_last) == ("SequentialSampler", 2, True)


@pytest.mark.parametrize(
    ("every", "validated_every", "epochs"), [(1, 1, [0, 1, 2, 3]), (2, 1, [0, 2]), (2, 2, [0, 1, 3]), (3, 2, [0, 1])]
)
def test_validation_reloads_count_from_an_epoch_that_validates(
    quiet: Quiet, every: int, validated_every: int, epochs: list[int]
) -> None:
    asked: list[int] = []

    class Asking(Regression):
        def val_dataloader(self) -> Any:
            asked.append(self.trainer.current_epoch)
            return loader(4)

    options = {"reload_dataloaders_every_n_epochs": every, "check_val_every_n_epoch": validated_every}
    quiet(max_epochs=4, **options).fit(Asking(), loader(4))
    assert asked == epochs


def test_of_loaders_side_by_side_each_has_its_own_count(quiet: Quiet) -> None:
    class Pairs(Bare):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("last", float(batch_idx), reduce_fx="max")

    trainer = quiet(limit_test_batches=0.5)
    results = trainer.test(Pairs(), CombinedLoader([loader(8), loader(12)], "max_size"), verbose=False)
    assert (trainer.num_test_batches, results) == ([2, 3], [{"last": 2.0}])


def test_prediction_goes_through_loaders_one_after_the_other(quiet: Quiet) -> None:
    combined = CombinedLoader([loader(), loader()], "max_size")
    refused(ValueError, ["predict()", "'max_size'", "'sequential'"], lambda: quiet().predict(Bare(), combined))


def test_a_prediction_of_nothing_is_told_once_and_one_without_batches_is_none(quiet: Quiet) -> None:
    class Forgetful(Bare):
        def predict_step(self, batch: Any, batch_idx: int) -> None:
            """Forgets to return."""

    with pytest.warns(UserWarning, match=r"Forgetful.predict_step returned None") as told:
        assert quiet().predict(Forgetful(), loader(4)) == [None, None]
    assert len([one for one in told if "returned None" in str(one.message)]) == 1
    assert quiet().predict(Forgetful(), loader(4), return_predictions=False) is None
    assert quiet(limit_predict_batches=0).predict(Forgetful(), loader(4)) is None


def test_a_combined_loader_without_length_is_still_a_sequence_of_batches() -> None:
    combined = CombinedLoader([DataLoader(Stream(4)), [1, 2, 3, 4]], "max_size_cycle")
    with pytest.raises(TypeError, match="has no length"):
        len(combined)
    assert [index for _, index, _ in list(combined)] == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", ["min_size", "max_size_cycle", "max_size", "sequential"])
def test_limits_and_length_of_a_combined_loader_agree(mode: Any) -> None:
    combined = CombinedLoader({"a": range(3), "b": range(5)}, mode)
    combined.limits = [2, 4]
    assert len(combined) == len(list(combined)) == {"min_size": 2, "sequential": 6}.get(mode, 4)


def test_a_combined_loader_can_be_copied_while_it_is_read() -> None:
    combined = CombinedLoader([range(3), range(2)], "max_size")
    next(iter(combined))
    assert [batch for batch, _, _ in copy.deepcopy(combined)] == [[0, 0], [1, 1], [2, None]]
    assert [index for _, index, _ in combined] == [0, 1, 2]


@pytest.mark.parametrize("given", [[None], [object()], {"a": object()}, [[1, 2], None]])
def test_nothing_in_a_container_of_loaders_passes_for_a_batch(quiet: Quiet, given: Any) -> None:
    refused(TypeError, ["train loader", "cannot be iterated over"], lambda: quiet().fit(Bare(), given))


# ---- sources of data ---------------------------------------------------------------------------------------------------


class Complete(Regression):
    def _loader(self) -> Any:
        return loader(4)

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = _loader


def test_with_a_datamodule_no_loader_of_the_module_is_used(quiet: Quiet) -> None:
    class Training(L.LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader(4)

    with pytest.warns(UserWarning, match="no validation loader"):
        quiet().fit(Complete(), datamodule=Training())
    words = ["no loader for test()", "`test_dataloader` in the datamodule"]
    refused(L.MisconfigurationException, words, lambda: quiet().test(Complete(), datamodule=Training()))
    assert quiet().test(Complete(), verbose=False)


def test_a_hook_that_returns_no_loader_is_named(quiet: Quiet) -> None:
    class Empty(Regression):
        def train_dataloader(self) -> None:
            """Forgets to return."""

        val_dataloader = test_dataloader = train_dataloader

    words = ["invalid dataloader", "returned from `Empty.{}_dataloader()`", "None"]
    for method, stage in (("fit", "train"), ("validate", "val"), ("test", "test")):
        call = lambda method=method: getattr(quiet(limit_val_batches=method == "validate"), method)(Empty())  # noqa: E731
        refused(TypeError, [word.format(stage) for word in words], call)
    refused(TypeError, ["`Trainer.test(dataloaders=...)`"], lambda: quiet().test(Regression(), [None]))


@pytest.mark.parametrize("hook", ["training_epoch_end", "validation_epoch_end", "test_epoch_end"])
def test_a_hook_that_was_removed_long_ago_is_no_silent_loss(quiet: Quiet, hook: str) -> None:
    class Old(Regression):
        pass

    setattr(Old, hook, lambda self, outputs: None)
    words = [f"Old.{hook}", f"on_{hook.replace('training', 'train')}(self)"]
    refused(NotImplementedError, words, lambda: quiet().fit(Old(), loader()))


def test_fields_that_a_batch_sets_by_itself_move_with_it() -> None:
    moved = move_data_to_device(Pair(torch.ones(2)), torch.device("meta"))
    assert (moved.first.device.type, moved.second.device.type, moved.note) == ("meta", "meta", "kept")


@pytest.mark.parametrize(
    "owner", [L.LightningModule, L.LightningDataModule, lambda: L.LightningDataModule.from_datasets()]
)
@pytest.mark.parametrize("stage", ["train", "val", "test", "predict"])
def test_a_loader_that_nobody_defined_is_no_none(owner: Any, stage: str) -> None:
    hook = f"{stage}_dataloader"
    refused(L.MisconfigurationException, [f"`{hook}` must be implemented"], getattr(owner(), hook))


def test_a_datamodule_that_takes_any_argument_is_told_how_its_loaders_are() -> None:
    class Open(L.LightningDataModule):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            self.options = options

    made = Open.from_datasets(samples(), batch_size=3, colour="red")
    assert made.options == {"batch_size": 3, "num_workers": 0, "colour": "red"}


def test_a_datamodule_without_a_constructor_may_be_given_arguments() -> None:
    made = L.LightningDataModule.from_datasets(samples(), colour="red")
    assert len(made.train_dataloader()) == 12


def test_a_datamodule_reads_as_the_sizes_of_its_loaders() -> None:
    class Data(L.LightningDataModule):
        def setup(self, stage: str) -> None:
            self.samples = samples(6)

        def train_dataloader(self) -> Any:
            return DataLoader(self.samples, batch_size=4)

        def val_dataloader(self) -> Any:
            return [loader(4), DataLoader(Stream())]

    data = Data()
    sizes = "{Validation dataloader: 1. size=4 ; 2. size=NA}\n{Test dataloader: None}\n{Predict dataloader: None}"
    assert str(data) == "{Train dataloader: None}\n" + sizes
    data.setup("fit")
    assert str(data) == "{Train dataloader: size=6}\n" + sizes


def test_a_shuffled_loader_to_evaluate_on_is_told(quiet: Quiet) -> None:
    for method, stage in (("validate", "val"), ("test", "test")):
        with pytest.warns(UserWarning, match=f"The {stage} loader's sampler has shuffling enabled"):
            getattr(quiet(), method)(Regression(), loader(4, shuffle=True))


def test_anomalies_are_looked_for_in_training_alone(quiet: Quiet) -> None:
    seen: set[tuple[str, bool]] = set()

    class Looking(Complete):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.add(("train", torch.is_anomaly_enabled()))
            return super().training_step(batch, batch_idx)

        def test_step(self, batch: Any, batch_idx: int) -> None:
            seen.add(("test", torch.is_anomaly_enabled()))

    trainer = quiet(detect_anomaly=True)
    trainer.fit(Looking())
    trainer.test(Looking())
    assert seen == {("train", True), ("test", False)}


def test_deterministic_lets_cublas_be_deterministic_too(quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        quiet(deterministic=True)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        quiet(deterministic=False)


# ---- time --------------------------------------------------------------------------------------------------------------


def test_time_counts_over_resumed_runs(quiet: Quiet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])

    class Slow(Bare):
        batches = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            now_s[0] += 10
            self.batches += 1
            return super().training_step(batch, batch_idx)

        def on_train_batch_end(self, *values: Any) -> None:
            if self.trainer.global_step == 3:
                self.trainer.save_checkpoint(tmp_path / "after_3.ckpt")

    def batches(limit: str, ckpt_path: Path | None) -> int:
        module = Slow()
        quiet(max_epochs=-1, max_time=limit).fit(module, loader(), ckpt_path=ckpt_path)
        return module.batches

    assert batches("50s", None) == 5
    assert batches("50s", tmp_path / "after_3.ckpt") == 2
    assert batches("30s", tmp_path / "after_3.ckpt") == 0


class Informed(SubsetRandomSampler):
    """Remembers which epochs it was told."""

    def __init__(self) -> None:
        super().__init__(range(4))
        self.told: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.told.append(epoch)


def test_samplers_of_training_and_validation_are_told_each_epoch_once(quiet: Quiet) -> None:
    trained, validated = Informed(), Informed()
    trainer = quiet(max_epochs=2, num_sanity_val_steps=0)
    trainer.fit(
        Regression(),
        DataLoader(samples(4), batch_size=2, sampler=trained),
        DataLoader(samples(4), batch_size=2, sampler=validated),
    )
    assert trained.told == validated.told == [0, 1]


@pytest.mark.parametrize(
    ("interval", "batches"), [(1.0, 6), (0.5, 3), (4, 4), ("1h", None)], ids=["epoch", "fraction", "count", "time"]
)
def test_the_trainer_tells_after_how_many_batches_it_validates(quiet: Quiet, interval: Any, batches: Any) -> None:
    trainer = quiet(max_epochs=1, val_check_interval=interval)
    assert trainer.val_check_batch is None
    trainer.fit(Regression(), loader(12), loader(4))
    assert trainer.val_check_batch == batches


def test_validation_follows_an_interval_that_is_set_during_a_fit(quiet: Quiet) -> None:
    class Hasty(Regression):
        validations = 0

        def on_train_start(self) -> None:
            self.trainer.val_check_batch = 2

        def on_validation_start(self) -> None:
            self.validations += 1

    module = Hasty()
    quiet(max_epochs=1, num_sanity_val_steps=0).fit(module, loader(12), loader(4))
    assert module.validations == 3
