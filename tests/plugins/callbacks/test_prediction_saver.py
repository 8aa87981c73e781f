"""Predictions in files: every format there and back, names, order, and folders that do not play along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from torchbus.callbacks import PredictionSaver
from torchbus.testing import CallbackContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_prediction import read_predictions
from torchbus_prediction._formats import FORMATS, Record, on_cpu

from .small_fits import Line, trainer


class Answers(Line):
    """Its predictions are a function of the batch."""

    def __init__(self, answer: Any = lambda batch: batch * 10) -> None:
        super().__init__()
        self.answer = answer

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.answer(batch)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(torch.arange(5.0))


def numbers(**options: Any) -> DataLoader[Any]:
    return DataLoader(torch.arange(5.0), **{"batch_size": 2, **options})  # type: ignore[arg-type]


def predict(tmp_path: Path, module: Any, loaders: Any, **settings: Any) -> Path:
    folder = tmp_path / "predictions"
    run = trainer(tmp_path, plugins={"prediction_saver": {"dirpath": folder, **settings}})
    run.predict(module, loaders, return_predictions=False)
    return folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestContract(CallbackContract):
    plugin = PredictionSaver
    settings = {"dirpath": "predictions", "overwrite": True}


@pytest.mark.parametrize("interval", ["batch", "epoch"])
@pytest.mark.parametrize("format_", ["pt", "npy", "csv"])
def test_samples_come_back_in_their_order(tmp_path: Path, format_: str, interval: str) -> None:
    folder = predict(tmp_path, Answers(), numbers(shuffle=True), format=format_, write_interval=interval)
    saved = read_predictions(folder)
    assert torch.equal(saved.values, torch.arange(5.0) * 10)
    assert saved.indices == [0, 1, 2, 3, 4]
    batches = [f"-batch{one:06d}" for one in range(3)] if interval == "batch" else [""]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"predictions-loader0{b}-rank0.{format_}" for b in batches
    ]


@pytest.mark.parametrize("format_", ["pt", "csv"])
def test_dictionaries_keep_their_parts(tmp_path: Path, format_: str) -> None:
    def answer(batch: torch.Tensor) -> Any:
        scores = torch.stack([batch, batch / 3], dim=1)
        return {"scores": scores, "label": [f"n{int(one)}" for one in batch], "is_even": batch % 2 == 0}

    saved = read_predictions(predict(tmp_path, Answers(answer), numbers(shuffle=True), format=format_))
    expected = answer(torch.arange(5.0))
    assert list(saved.values) == list(expected)
    assert torch.equal(saved.values["scores"], expected["scores"]), "also thirds, to the last digit"
    assert saved.values["label"] == expected["label"]
    assert torch.equal(saved.values["is_even"], expected["is_even"])


def test_lists_and_tuples_are_joined_sample_by_sample(tmp_path: Path) -> None:
    module = Answers(lambda batch: (batch, [{"boxes": torch.ones(int(one), 4)} for one in batch]))
    saved = read_predictions(predict(tmp_path, module, numbers()))
    assert torch.equal(saved.values[0], torch.arange(5.0))
    assert [len(one["boxes"]) for one in saved.values[1]] == [0, 1, 2, 3, 4]


def test_what_is_not_one_per_sample_comes_back_batch_by_batch(tmp_path: Path) -> None:
    saved = read_predictions(predict(tmp_path, Answers(lambda batch: batch.sum()), numbers()))
    assert saved.values == [1, 5, 4] and saved.indices == [[0, 1], [2, 3], [4]]
    with pytest.raises(MisconfigurationException, match="write_interval='batch'"):
        predict(tmp_path / "other", Answers(lambda batch: batch.sum()), numbers(), write_interval="epoch")


def test_batches_of_different_widths_come_back_batch_by_batch(tmp_path: Path) -> None:
    module = Answers(lambda batch: torch.zeros(len(batch), int(batch[0]) + 1))
    saved = read_predictions(predict(tmp_path, module, numbers()))
    assert [one.shape for one in saved.values] == [(2, 1), (2, 3), (1, 5)]


def test_loaders_are_kept_apart(tmp_path: Path) -> None:
    folder = predict(tmp_path, Answers(), [numbers(), numbers(batch_size=5)], write_interval="epoch")
    assert sorted(path.name for path in folder.iterdir()) == [
        "predictions-loader0-rank0.pt", "predictions-loader1-rank0.pt",
    ]  # fmt: skip
    assert torch.equal(read_predictions(folder, 1).values, torch.arange(5.0) * 10)
    with pytest.raises(FileNotFoundError, match=r"no predictions of loader 2 .* some of loaders \[0, 1\]"):
        read_predictions(folder, 2)
    with pytest.raises(FileNotFoundError, match="some of no loader"):
        read_predictions(tmp_path / "nowhere")


@pytest.mark.parametrize("interval", ["batch", "epoch"])
def test_without_sample_numbers_the_order_is_that_of_the_batches(tmp_path: Path, interval: str) -> None:
    folder = predict(tmp_path, Answers(), DataLoader(Stream(), batch_size=2), write_interval=interval)
    saved = read_predictions(folder)
    assert torch.equal(saved.values, torch.arange(5.0) * 10) and saved.indices is None


def test_ranks_write_files_of_their_own_that_are_read_together(tmp_path: Path) -> None:
    for rank, samples in enumerate([[0, 2, 4], [1, 3, 0]]):  # as a distributed sampler deals them, one of them twice
        part = torch.utils.data.Subset(torch.arange(5.0), samples)  # type: ignore[arg-type]
        saver = PredictionSaver(tmp_path)
        values = torch.tensor([part[index] for index in range(3)])

        class Ranked:
            global_rank = rank

        saver.write_on_batch_end(Ranked(), None, values, samples, None, 0, 0)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 2
    saved = read_predictions(tmp_path)
    assert saved.values.tolist() == saved.indices == [0, 1, 2, 3, 4]


def test_files_are_readable_without_us(tmp_path: Path) -> None:
    folder = predict(tmp_path, Answers(), numbers(), format="npy", write_interval="epoch")
    assert np.load(folder / "predictions-loader0-rank0.npy").tolist() == [0, 10, 20, 30, 40]
    folder = predict(tmp_path / "csv", Answers(), numbers(), format="csv", write_interval="epoch")
    text = (folder / "predictions-loader0-rank0.csv").read_text().splitlines()
    assert text[:2] == ["sample,prediction", "0,0.0"]


def test_csv_keeps_what_is_no_number(tmp_path: Path) -> None:
    write, read = FORMATS["csv"]
    values = {"a": torch.tensor([float("nan"), float("inf"), -0.1]), "b": ["1", "two", "x,y\n"]}
    write(Record(values, None), tmp_path / "x.csv")
    found = read(tmp_path / "x.csv")
    assert torch.equal(found.values["a"].nan_to_num(7), values["a"].nan_to_num(7)) and found.indices is None
    assert found.values["b"] == values["b"]


def test_a_slice_of_a_large_tensor_is_saved_by_itself() -> None:
    assert on_cpu(torch.zeros(1000)[:2]).untyped_storage().nbytes() == 8
    assert torch.equal(on_cpu({"x": (np.arange(3),)})["x"][0], torch.arange(3))


def test_an_earlier_runs_files_are_not_mixed_with_this_ones(tmp_path: Path) -> None:
    folder = predict(tmp_path, Answers(), numbers(batch_size=1))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(MisconfigurationException, match="has 5 files of predictions already.*overwrite=True"):
        predict(tmp_path, Answers(), numbers())
    predict(tmp_path, Answers(), numbers(), overwrite=True)
    assert len(list(folder.iterdir())) == 4 and (folder / "notes.txt").read_text() == "mine"


def test_predictions_that_do_not_fit_a_format_are_refused_with_one_that_does(tmp_path: Path) -> None:
    for format_, answer in [("npy", lambda batch: {"x": batch}), ("csv", lambda batch: batch.reshape(-1, 1, 1))]:
        with pytest.raises(MisconfigurationException, match=f"format='{format_}' does not do.*To fix: use format='pt'"):
            predict(tmp_path, Answers(answer), numbers(), format=format_)
    with pytest.raises(MisconfigurationException, match="a object cannot be read back"):
        predict(tmp_path, Answers(lambda batch: object()), numbers())
    assert not list(tmp_path.glob("predictions/*"))


def test_a_disk_that_does_not_play_along_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "predictions").write_text("a file in the way")
    with pytest.raises(MisconfigurationException, match="PredictionSaver: cannot use the file .*set `dirpath`"):
        predict(tmp_path, Answers(), numbers())

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        MisconfigurationException, match=r"batch000000-rank0.pt': No space left on device\. See"
    ) as raised:
        predict(tmp_path / "full", Answers(), numbers())
    assert any("prediction_saver" in note for note in raised.value.__notes__)
    assert not list((tmp_path / "full" / "predictions").iterdir()), "no half of a file"


def test_settings_are_checked_and_described() -> None:
    with pytest.raises(MisconfigurationException, match="format"):
        PredictionSaver("x", format="parquet")  # type: ignore[arg-type]
    with pytest.raises(MisconfigurationException, match="write_interval"):
        PredictionSaver("x", write_interval="batch_and_epoch")  # type: ignore[arg-type]
    assert all(setting.description for setting in describe_settings(PredictionSaver))
