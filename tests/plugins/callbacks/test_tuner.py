"""The tuner: searches without the run that would follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus.tuner import Tuner
from torchbus_hookspecs import MisconfigurationException
from torchbus_tuning import BatchSizeFinder, LearningRateFinder

from .small_fits import Judged, loader, trainer, weights


class Sized(Judged):
    """Knows its batch size and its rate, and makes its loaders."""

    def __init__(self) -> None:
        super().__init__(lambda module: torch.optim.SGD(module.parameters(), lr=module.lr))
        self.batch_size, self.lr = 1, 0.1

    def train_dataloader(self) -> Any:
        return loader(64, self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Story(L.Callback):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.lines.append(f"setup {stage}")

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.lines.append("fit start")

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self.lines.append("sanity check")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.lines.append("train start")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.lines.append("exception")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.lines.append(f"teardown {stage}")


@pytest.mark.parametrize("method", ["fit", "validate", "test", "predict"])
def test_a_batch_size_is_found_for_each_entry_point_without_running_it(tmp_path: Path, method: str) -> None:
    story, module = Story(), Sized()
    run, before = trainer(tmp_path, story), weights(module)
    assert Tuner(run).scale_batch_size(module, method=method, max_trials=3) == 8
    assert module.batch_size == 8
    assert story.lines == [f"setup {method}", f"teardown {method}"]
    assert weights(module) == before
    assert run.callbacks == [story]
    assert (run.global_step, run.state.status) == (0, "finished")


def test_a_learning_rate_is_found_and_the_fit_begins_with_it(tmp_path: Path) -> None:
    module = Sized()
    run = trainer(tmp_path, limit_train_batches=4)
    search = Tuner(run).lr_find(module, min_lr=1e-3, num_training=30)
    assert search is not None
    assert len(search.results["lr"]) > 4
    assert module.lr == search.suggestion() != 0.1
    run.fit(module)
    assert run.global_step == 4
    assert run.optimizers[0].param_groups[0]["lr"] == module.lr


def test_loaders_may_be_passed_for_a_rate_and_not_for_a_size(tmp_path: Path) -> None:
    tuner = Tuner(trainer(tmp_path))
    assert tuner.lr_find(Sized(), loader(), num_training=12, update_attr=False) is not None
    with pytest.raises(MisconfigurationException, match="loaders were passed"):
        tuner.scale_batch_size(Sized(), loader())


def test_a_fast_dev_run_finds_nothing(tmp_path: Path) -> None:
    tuner = Tuner(trainer(tmp_path, fast_dev_run=True))
    assert tuner.lr_find(Sized()) is None
    assert tuner.scale_batch_size(Sized()) is None


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    tuner, module = Tuner(trainer(tmp_path)), Sized()
    with pytest.raises(MisconfigurationException, match="only a fit has a learning rate"):
        tuner.lr_find(module, method="validate")
    with pytest.raises(ValueError, match="is no entry point"):
        tuner.scale_batch_size(module, method="train")
    with pytest.raises(MisconfigurationException, match="with method='fit', `dataloaders` should be None"):
        tuner.scale_batch_size(module, dataloaders=loader())
    with pytest.raises(MisconfigurationException, match="`train_dataloaders` and `val_dataloaders` should be None"):
        tuner.scale_batch_size(module, loader(), method="test")
    with pytest.raises(ValueError, match="`mode`"):
        tuner.scale_batch_size(module, mode="quick")  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="have `rate`"):
        tuner.lr_find(module, attr_name="rate")


@pytest.mark.parametrize("finder", [BatchSizeFinder, LearningRateFinder])
def test_a_trainer_with_the_finder_needs_no_tuner(tmp_path: Path, finder: type) -> None:
    tuner = Tuner(trainer(tmp_path, finder()))
    search = tuner.lr_find if finder is LearningRateFinder else tuner.scale_batch_size
    with pytest.raises(ValueError, match=f"already configured with a `{finder.__name__}` callback"):
        search(Sized())
