"""The batch size finder: the search alone, trials in every entry point, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from torchbus_hookspecs import MisconfigurationException
from torchbus_tuning import BatchSizeFinder
from torchbus_tuning._memory import is_out_of_memory
from torchbus_tuning._sizes import SizeSearch


class Net(torchbus.LightningModule):
    """One layer, 40 samples, and memory for batches of ``memory`` samples."""

    def __init__(self, memory: int = 1000) -> None:
        super().__init__()
        self.batch_size, self.memory = 4, memory
        self.layer = torch.nn.Linear(2, 1)
        self.tried: list[int] = []

    def loss(self, batch: Any) -> Any:
        self.tried.append(len(batch[0]))
        if len(batch[0]) > self.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.layer(batch[0]).pow(2).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(40, 2)), batch_size=self.batch_size)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    test_dataloader = predict_dataloader = train_dataloader


class TrainOnly(Net):
    """The same without validation."""

    validation_step = torchbus.LightningModule.validation_step


class Validated(Net):
    """The same with a loader for validation."""

    val_dataloader = Net.train_dataloader


def trainer_with(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    return torchbus.Trainer(
        max_epochs=1, callbacks=list(callbacks), logger=False, accelerator="cpu", enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path, **options,
    )  # fmt: skip


def finder(**settings: Any) -> BatchSizeFinder:
    return BatchSizeFinder(**{"steps_per_trial": 1, **settings})


# ---- the search alone --------------------------------------------------------------------------------------------------


def search(
    mode: Any, capacity: int, first: int = 2, trials: int = 25, limit: int = 8192
) -> tuple[int | None, list[int]]:
    one, tried = SizeSearch(mode, first, trials, limit), []
    while one.size is not None:
        tried.append(one.size)
        one.tell(one.size <= capacity)
    return one.best, tried


def test_doubling_keeps_the_last_that_fitted() -> None:
    assert search("power", 20) == (16, [2, 4, 8, 16, 32])


def test_halving_the_gap_finds_the_largest() -> None:
    assert search("binsearch", 20) == (20, [2, 4, 8, 16, 32, 24, 20, 22, 21])


def test_a_first_size_that_does_not_fit_is_halved() -> None:
    assert search("power", 3, first=16) == (2, [16, 8, 4, 2])


@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 300))
def test_binsearch_finds_the_capacity_or_the_limit(capacity: int, first: int, limit: int) -> None:
    assert search("binsearch", capacity, first, trials=100, limit=limit)[0] == min(capacity, limit)


def test_trials_that_fit_are_counted() -> None:
    assert search("binsearch", 1000, trials=3) == (8, [2, 4, 8])


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("x")) and is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not is_out_of_memory(RuntimeError("shapes do not match")) and not is_out_of_memory(
        ValueError("out of memory")
    )


# ---- fit -----------------------------------------------------------------------------------------------------------------


def test_the_largest_power_that_fits_is_used(tmp_path: Path) -> None:
    one, module = finder(), TrainOnly(memory=20)
    trainer = trainer_with(tmp_path, one)
    trainer.fit(module)
    assert module.tried == [2, 4, 8, 16, 32, 16, 16, 8]
    assert (one.optimal_batch_size, module.batch_size, trainer.global_step) == (16, 16, 3)
    assert list(tmp_path.iterdir()) == []


def test_binsearch_keeps_a_margin(tmp_path: Path) -> None:
    module = TrainOnly(memory=20)
    trainer_with(tmp_path, {"batch_size_finder": {"mode": "binsearch", "margin": 0.1, "steps_per_trial": 1}}).fit(
        module
    )
    assert module.batch_size == 18


def test_no_batch_is_larger_than_the_data(tmp_path: Path) -> None:
    module = TrainOnly()
    trainer_with(tmp_path, finder()).fit(module)
    assert module.batch_size == 40
    assert module.tried == [2, 4, 8, 16, 32, 40, 40]


def test_validation_takes_part_and_uses_the_size(tmp_path: Path) -> None:
    module = Validated(memory=20)
    trainer_with(tmp_path, finder(), num_sanity_val_steps=0).fit(module)
    assert module.tried[-3:] == [16, 16, 8]


def test_the_trials_leave_no_trace(tmp_path: Path) -> None:
    torch.manual_seed(1)
    plain = TrainOnly()
    plain.batch_size = 16
    trainer_with(tmp_path).fit(plain)
    torch.manual_seed(1)
    module = TrainOnly(memory=20)
    trainer_with(tmp_path, finder()).fit(module)
    assert torch.equal(plain.layer.weight, module.layer.weight)


def test_a_loader_that_was_asked_for_before_is_asked_for_again(tmp_path: Path) -> None:
    class Early(TrainOnly):
        def configure_optimizers(self) -> Any:
            assert self.trainer.estimated_stepping_batches == 10
            return super().configure_optimizers()

    module = Early(memory=20)
    trainer = trainer_with(tmp_path, finder())
    trainer.fit(module)
    assert trainer.global_step == 3


def test_an_error_of_another_kind_is_raised_and_the_size_put_back(tmp_path: Path) -> None:
    class Broken(TrainOnly):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("shapes do not match")

    module = Broken()
    with pytest.raises(RuntimeError, match="shapes do not match"):
        trainer_with(tmp_path, finder()).fit(module)
    assert module.batch_size == 4


def test_a_single_sample_that_does_not_fit_is_raised(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer_with(tmp_path, finder()).fit(TrainOnly(memory=0))


def test_a_resumed_run_keeps_the_size(tmp_path: Path) -> None:
    trainer = trainer_with(tmp_path, finder())
    trainer.fit(TrainOnly(memory=20))
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    module = TrainOnly()
    trainer = trainer_with(tmp_path, finder())
    trainer.max_epochs = 2
    trainer.fit(module, ckpt_path=tmp_path / "x.ckpt")
    assert module.tried == [16, 16, 8]


# ---- the other entry points ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["validate", "test", "predict"])
def test_evaluation_uses_the_size_that_was_found(tmp_path: Path, entry: str) -> None:
    one, module = finder(), Validated(memory=20)
    trainer = trainer_with(tmp_path, one)
    options = {} if entry == "predict" else {"verbose": False}
    getattr(trainer, entry)(module, **options)
    assert module.tried == [2, 4, 8, 16, 32, 16, 16, 8]
    assert one.optimal_batch_size == 16
    assert not [name for name in trainer.bus.plugins if "finder_" in name]


def test_a_datamodule_may_hold_the_size(tmp_path: Path) -> None:
    class Data(torchbus.LightningDataModule):
        batch_size = 1

        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(torch.ones(40, 2)), batch_size=self.batch_size)

    module, data = TrainOnly(memory=20), Data()
    del module.batch_size
    trainer_with(tmp_path, finder()).fit(module, datamodule=data)
    assert data.batch_size == 16


# ---- what is refused -------------------------------------------------------------------------------------------------------


def test_given_loaders_are_refused(tmp_path: Path) -> None:
    module = TrainOnly()
    with pytest.raises(MisconfigurationException, match="of a size that nobody can change"):
        trainer_with(tmp_path, finder()).fit(module, module.train_dataloader())


def test_a_loader_that_ignores_the_size_is_refused(tmp_path: Path) -> None:
    class Fixed(TrainOnly):
        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(torch.ones(40, 2)), batch_size=5)

    with pytest.raises(MisconfigurationException, match="set to 2, and the loader has batches of 5"):
        trainer_with(tmp_path, finder()).fit(Fixed())


def test_a_missing_attribute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="have `size`"):
        trainer_with(tmp_path, finder(batch_arg_name="size")).fit(TrainOnly())


@pytest.mark.parametrize("settings", [{"mode": "linear"}, {"init_val": 0}, {"margin": 1.0}, {"max_trials": 0}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=f"`{next(iter(settings))}`"):
        finder(**settings)


class Several(TrainOnly):
    """The same with loaders in a dictionary."""

    def train_dataloader(self) -> Any:
        return {"one": super().train_dataloader(), "other": super().train_dataloader()}

    def loss(self, batch: Any) -> Any:
        return super().loss(batch["one"])


class Samples(torch.utils.data.IterableDataset[Any]):
    """40 samples without a length."""

    def __iter__(self) -> Any:
        return iter([(torch.ones(2),)] * 40)


class Streaming(TrainOnly):
    """The same with a stream."""

    def train_dataloader(self) -> Any:
        return DataLoader(Samples(), batch_size=self.batch_size)


@pytest.mark.parametrize("kind", [Several, Streaming])
def test_sizes_grow_with_several_loaders_and_with_a_stream(tmp_path: Path, kind: type[Net]) -> None:
    finder = BatchSizeFinder()
    trainer_with(tmp_path, finder).fit(kind(memory=10))
    assert finder.optimal_batch_size == 8


def test_before_the_search_the_optimum_is_the_first_size_to_try() -> None:
    finder = BatchSizeFinder(init_val=16)
    assert finder.optimal_batch_size == 16
    assert finder.state_dict() == {}


def test_no_batch_is_larger_than_max_val(tmp_path: Path) -> None:
    module = Net()
    finder = BatchSizeFinder(init_val=2, max_trials=10, max_val=12)
    trainer = torchbus.Trainer(
        max_epochs=1, callbacks=[finder], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    module.train_dataloader = lambda: DataLoader(  # type: ignore[method-assign]
        TensorDataset(torch.ones(40, 2)), batch_size=module.batch_size
    )
    trainer.fit(module, val_dataloaders=DataLoader(TensorDataset(torch.ones(4, 2))))
    assert max(module.tried) <= 12 and finder.optimal_batch_size <= 12
