"""Writing predictions: what is handed over, sample numbers, and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch.utils.data import DataLoader, IterableDataset
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.events import PredictEpochEnd
from torchbus_hookspecs.settings import describe_settings
from torchbus_prediction import BasePredictionWriter

from .small_fits import Judged, loader, trainer


class Writer(BasePredictionWriter):
    def __init__(self, write_interval: Any = "batch") -> None:
        super().__init__(write_interval)
        self.batches: list[Any] = []
        self.epochs: list[Any] = []

    def write_on_batch_end(
        self, trainer: Any, pl_module: Any, prediction: Any, batch_indices: Any, batch: Any, *place: int
    ) -> None:
        self.batches.append((len(prediction), batch_indices, *place))

    def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
        self.epochs.append((len(predictions), batch_indices))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(torch.ones(4), torch.ones(1))] * 3)


def test_each_batch_comes_with_the_numbers_of_its_samples(tmp_path: Path) -> None:
    writer = Writer("batch_and_epoch")
    trainer(tmp_path, writer).predict(Judged(), loader(5))
    assert writer.batches == [(2, [0, 1], 0, 0), (2, [2, 3], 1, 0), (1, [4], 2, 0)]
    assert writer.epochs == [(3, [[[0, 1], [2, 3], [4]]])]


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_are_those_of_shuffled_samples_whoever_loads_them(tmp_path: Path, workers: int) -> None:
    class Numbered(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> Any:
            return torch.full((4,), float(index)), index

    seen = []

    class Checking(Writer):
        def write_on_batch_end(self, trainer: Any, pl_module: Any, prediction: Any, *rest: Any) -> None:
            batch_indices, batch = rest[:2]
            seen.append((batch_indices, batch[1].tolist()))

    data = DataLoader(Numbered(), batch_size=3, shuffle=True, num_workers=workers)
    sampler = data.batch_sampler
    trainer(tmp_path, Checking()).predict(Judged(), data)
    assert [len(numbers) for numbers, _ in seen] == [3, 3, 1]
    assert all(numbers == batch for numbers, batch in seen)
    assert data.batch_sampler is sampler


def test_a_stream_has_no_numbers(tmp_path: Path) -> None:
    writer = Writer()
    trainer(tmp_path, writer).predict(Judged(), DataLoader(Stream(), batch_size=3))
    assert writer.batches == [(3, None, 0, 0)]


def test_with_several_loaders_each_has_its_own_list(tmp_path: Path) -> None:
    writer = Writer("epoch")
    trainer(tmp_path, writer).predict(Judged(), [loader(2), loader(3)], return_predictions=False)
    assert writer.epochs == [(2, [[[0, 1]], [[0, 1], [2]]])] and not writer.batches


def test_writing_per_batch_keeps_no_predictions(tmp_path: Path) -> None:
    class Watching(Writer):
        def write_on_batch_end(self, trainer: Any, *rest: Any) -> None:
            kept.append(sum(map(len, trainer.predict_loop.predictions)))

    kept: list[int] = []
    run = trainer(tmp_path, Watching())
    assert not run.bus.is_heard(PredictEpochEnd)
    run.predict(Judged(), loader(6), return_predictions=False)
    assert kept == [0, 0, 0]


def test_a_subclass_may_hear_the_end_of_the_epoch_all_the_same(tmp_path: Path) -> None:
    class Counting(Writer):
        ends = 0

        def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_predict_epoch_end(trainer, pl_module)
            self.ends += 1

    writer = Counting()
    trainer(tmp_path, writer).predict(Judged(), loader(2))
    assert writer.ends == 1 and not writer.epochs


def test_a_writer_that_does_not_write_is_told_what_to_define(tmp_path: Path) -> None:
    for interval, method in (("batch", "write_on_batch_end"), ("epoch", "write_on_epoch_end")):
        run = trainer(tmp_path, plugins={"prediction_writer": {"write_interval": interval}})
        with pytest.raises(NotImplementedError, match=method):
            run.predict(Judged(), loader(2))


def test_it_is_found_among_the_callbacks() -> None:
    assert L.callbacks.BasePredictionWriter is BasePredictionWriter


def test_a_wrong_interval_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="write_interval"):
        Writer("sometimes")


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(BasePredictionWriter))
