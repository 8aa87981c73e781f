"""Model checkpoints: what to keep, how to name and when to save; then the callback with a small fake trainer."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchbus
from hypothesis import given
from hypothesis import strategies as st
from torchbus_checkpointing import ModelCheckpoint
from torchbus_checkpointing._files import link, may_be_removed, obstacle, remove
from torchbus_checkpointing._naming import keys_of, render
from torchbus_checkpointing._retention import admits, best, displaced, worst
from torchbus_checkpointing._triggers import Triggers, saves_after_training
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings

from .fakes import FakeBatches

MODES = st.sampled_from(["min", "max"])
SCORES = st.lists(st.floats(), min_size=1, max_size=25)

# ---- what to keep ----------------------------------------------------------------------------------------------------


def keep(scores: Iterable[float], k: int, mode: Any) -> dict[str, float]:
    """The checkpoints left after saving these scores one after the other."""
    kept: dict[str, float] = {}
    for number, score in enumerate(scores):
        if admits(kept, score, k, mode):
            for name in displaced(kept, k, mode):
                del kept[name]
            kept[str(number)] = score
    return kept


@given(SCORES, st.integers(-1, 6), MODES)
def test_never_more_than_k_are_kept_and_all_with_minus_one(scores: list[float], k: int, mode: Any) -> None:
    kept = keep(scores, k, mode)
    assert len(kept) == (len(scores) if k == -1 else min(k, len(scores)))


@given(SCORES, st.integers(1, 6), MODES)
def test_the_best_is_always_kept_and_a_tie_leaves_it_alone(scores: list[float], k: int, mode: Any) -> None:
    kept, everything = keep(scores, k, mode), keep(scores, -1, mode)
    assert best(kept, mode) == best(everything, mode)


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=25), st.integers(1, 6), MODES)
def test_a_nan_is_kept_only_where_no_number_wants_its_place(scores: list[float], k: int, mode: Any) -> None:
    kept = keep(scores, k, mode)
    numbers = sum(not math.isnan(score) for score in scores)
    assert sum(not math.isnan(score) for score in kept.values()) == min(k, numbers)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=25), st.integers(1, 6), MODES)
def test_what_is_kept_are_the_best_scores(scores: list[float], k: int, mode: Any) -> None:
    assert sorted(keep(scores, k, mode).values()) == sorted(sorted(scores, reverse=mode == "max")[:k])


@given(st.lists(st.floats(), min_size=1, max_size=10, unique=True), st.integers(1, 12), MODES)
def test_room_is_made_from_the_worst_until_one_more_fits(scores: list[float], k: int, mode: Any) -> None:
    kept = {str(number): score for number, score in enumerate(scores)}
    leaving = displaced(kept, k, mode)
    assert len(leaving) == max(0, len(scores) - k + 1)
    if leaving:
        assert leaving[0] == worst(kept, mode)


def test_of_several_worst_the_oldest_goes() -> None:
    assert displaced({"a": 1.0, "b": 2.0, "c": 2.0}, 3, "min") == ["b"]


# ---- where: names ----------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="_/. "), min_size=1, max_size=12)


@given(st.dictionaries(NAMES, st.integers(-(10**6), 10**6), max_size=6))
def test_a_name_can_be_read_back(metrics: dict[str, int]) -> None:
    pattern = "|".join(f"{{{name}}}" for name in metrics)
    assert keys_of(pattern) == list(metrics)
    text = render(pattern, metrics, insert_names=True, equals="=")
    parts = [part.split("=") for part in text.split("|")] if text else []
    assert {name: int(value) for name, value in parts} == metrics
    assert render(pattern, metrics, insert_names=False, equals="=") == "|".join(str(one) for one in metrics.values())


@given(st.text(st.characters(exclude_characters="{}"), max_size=30))
def test_text_without_braces_stays_as_it_is(pattern: str) -> None:
    assert render(pattern, {}, insert_names=True, equals="=") == pattern


@pytest.mark.parametrize(
    ("pattern", "with_names", "without"),
    [
        ("model", "model", "model"),
        ("{epoch:03d}-{step:04d}", "epoch=003-step=0012", "003-0012"),
        ("{epoch}-{score:.2f}", "epoch=3-score=0.12", "3-0.12"),
        ("e={epoch}-s={score:.3f}", "e=epoch=3-s=score=0.123", "e=3-s=0.123"),
        ("{val/score:.1f}", "val/score=2.5", "2.5"),
        ("{epoch}-{unknown:.1f}", "epoch=3-unknown=0.0", "3-0.0"),
        ("folder/{epoch}", "folder/epoch=3", "folder/3"),
    ],
)
def test_names_are_those_of_the_recordings_of_lightning(pattern: str, with_names: str, without: str) -> None:
    metrics = {"epoch": torch.tensor(3), "step": 12, "score": torch.tensor(0.123456), "val/score": 2.5}
    assert ModelCheckpoint(filename=pattern).format_checkpoint_name(metrics) == f"{with_names}.ckpt"
    checkpoint = ModelCheckpoint(filename=pattern, auto_insert_metric_name=False)
    assert checkpoint.format_checkpoint_name(metrics, ver=2, prefix="p") == f"p-{without}-v2.ckpt"


def test_class_attributes_say_how_names_are_built() -> None:
    class Custom(ModelCheckpoint):
        CHECKPOINT_JOIN_CHAR = "_"
        CHECKPOINT_EQUALS_CHAR = ":"
        FILE_EXTENSION = ".model"

    assert Custom().format_checkpoint_name({"epoch": 3, "step": 12}, ver=1) == "epoch:3_step:12_v1.model"


def test_a_format_that_does_not_fit_its_value_is_explained() -> None:
    with pytest.raises(MisconfigurationException, match=r"(?s)asks for `loss` in the format '03d'.*To fix"):
        render("{loss:03d}", {"loss": 0.5}, insert_names=True, equals="=")


# ---- when ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(0, 200))
def test_a_trigger_fires_every_nth_time(n: int, count: int) -> None:
    assert Triggers(n, 0, None).due_at_step(count) == (count % n == 0)
    assert Triggers(0, n, None).due_at_epoch(count) == ((count + 1) % n == 0)
    assert Triggers(0, 0, timedelta(seconds=n)).due_after(count) == (count >= n)
    assert not Triggers(0, 0, None).act_inside_epochs


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({}, True),
        ({"check_val_every_n_epoch": 2}, False),
        ({"check_val_every_n_epoch": 2, "enable_validation": False}, True),
        ({"check_val_every_n_epoch": None}, False),
        ({"val_check_interval": 0.5}, False),
        ({"val_check_interval": 0.5, "num_val_batches": [0]}, True),
    ],
)
def test_an_epoch_is_saved_after_its_validation_where_that_is_not_one_per_epoch(
    run: dict[str, Any], expected: bool
) -> None:
    defaults: dict[str, Any] = {
        "enable_validation": True, "num_val_batches": [1], "val_check_interval": 1.0, "check_val_every_n_epoch": 1
    }  # fmt: skip
    assert saves_after_training(None, **{**defaults, **run}) == expected
    assert saves_after_training(not expected, **{**defaults, **run}) != expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"save_top_k": -2},
        {"save_top_k": 3},
        {"mode": "median"},
        {"every_n_epochs": -1},
        {"every_n_train_steps": -1},
        {"every_n_epochs": 1, "every_n_train_steps": 2},
        {"every_n_train_steps": 2, "train_time_interval": timedelta(minutes=1)},
        {"train_time_interval": timedelta(minutes=-1)},
        {"train_time_interval": "soon"},
        {"save_last": "copy"},
        {"dirpath": "s3://bucket/folder"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        ModelCheckpoint(**wrong)


def test_an_interval_of_time_may_be_written_in_words() -> None:
    spelled, exact = (
        ModelCheckpoint(train_time_interval="1h30m"),
        ModelCheckpoint(train_time_interval=timedelta(hours=1.5)),
    )  # type: ignore[arg-type]
    assert spelled.state_key == exact.state_key
    assert spelled.every_n_epochs == 0


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(ModelCheckpoint))


# ---- files -----------------------------------------------------------------------------------------------------------


def test_only_our_own_files_that_nobody_needs_are_removed(tmp_path: Path) -> None:
    folder, ours = str(tmp_path), str(tmp_path / "a.ckpt")
    assert may_be_removed(ours, str(tmp_path / "b.ckpt"), folder, None)
    assert not may_be_removed(ours, ours, folder, None)
    assert not may_be_removed(ours, "b.ckpt", folder, os.path.relpath(ours))
    assert not may_be_removed(str(tmp_path.parent / "a.ckpt"), "b.ckpt", folder, None)


def test_a_link_is_relative_and_replaces_a_file_a_folder_or_a_link(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.ckpt").write_text(str(number))
    last = tmp_path / "last.ckpt"
    last.mkdir()
    link(str(tmp_path / "1.ckpt"), str(last))
    assert os.readlink(last) == "1.ckpt"
    link(str(tmp_path / "2.ckpt"), str(last))
    assert last.read_text() == "2"
    assert sorted(os.listdir(tmp_path)) == ["1.ckpt", "2.ckpt", "last.ckpt"]


def test_where_links_are_impossible_a_copy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(os, "symlink", refuse)
    (tmp_path / "1.ckpt").write_text("1")
    link(str(tmp_path / "1.ckpt"), str(tmp_path / "last.ckpt"))
    assert (tmp_path / "last.ckpt").read_text() == "1"
    assert not (tmp_path / "last.ckpt").is_symlink()


def test_removing_takes_folders_and_does_not_mind_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0").touch()
    remove(str(tmp_path / "shards"))
    remove(str(tmp_path / "shards"))
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_known_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert obstacle(str(tmp_path / "new" / "folder")) is None
    (tmp_path / "file").touch()
    assert "is not a folder" in (obstacle(str(tmp_path / "file" / "below")) or "")
    monkeypatch.setattr(os, "access", lambda *_: False)
    checkpoint = ModelCheckpoint(dirpath=tmp_path / "new")
    with pytest.raises(MisconfigurationException) as caught:
        checkpoint.setup(FakeTrainer(tmp_path, checkpoint), None, "fit")
    assert "ModelCheckpoint: checkpoints cannot be written to" in str(caught.value)
    assert str(tmp_path / "new") in str(caught.value)
    assert "set `dirpath`" in str(caught.value)
    checkpoint.setup(FakeTrainer(tmp_path, checkpoint), None, "validate")


# ---- the callback ----------------------------------------------------------------------------------------------------


class OneProcess:
    """The strategy of a run without other processes."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        return decision

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj

    def barrier(self, name: str | None = None) -> None:
        pass


class FakeTrainer(FakeBatches):
    """The part of a trainer that a model checkpoint asks, played by hand: two steps per epoch, then a validation."""

    def __init__(self, root: Path, checkpoint: ModelCheckpoint, **settings: Any) -> None:
        super().__init__()
        self.default_root_dir, self.checkpoint = str(root), checkpoint
        self.callback_metrics: dict[str, Any] = {}
        self.state = SimpleNamespace(fn="fit")
        self.strategy = OneProcess()
        self.bus = SimpleNamespace(emit=lambda event: self.told.append(event.checkpoint_callback))
        self.loggers: list[Any] = []
        self.told: list[Any] = []
        self.saved: list[str] = []
        self.full_disk = self.sanity_checking = self.fast_dev_run = self.is_last_batch = False
        self.is_global_zero = self.enable_validation = True
        self.num_val_batches = [1]
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self.current_epoch = self.global_step = 0
        self.ckpt_path: str | None = None
        vars(self).update(settings)

    def save_checkpoint(self, filepath: str, weights_only: bool = False) -> None:
        if self.full_disk:
            raise OSError(28, "No space left on device")
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        torch.save(self.checkpoint.state_dict(), path)
        self.saved.append(path.name)

    def begin(self) -> None:
        self.checkpoint.setup(self, None, stage="fit")
        self.checkpoint.on_train_start(self, None)

    def batches(self, count: int = 2, logged: dict[str, float] | None = None) -> None:
        for number in range(count):
            self.global_step += 1
            self.is_last_batch = number == count - 1
            self.log(logged or {})
            self.checkpoint.on_train_batch_end(self, None, None, None, number)
            self.end_batch()

    def log(self, values: dict[str, float]) -> None:
        self.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})

    def validate(self, logged: dict[str, float]) -> None:
        self.log(logged)
        self.checkpoint.on_validation_end(self, None)

    def end_epoch(self) -> None:
        self.checkpoint.on_train_epoch_end(self, None)
        self.current_epoch += 1

    def play(self, scores: list[float]) -> FakeTrainer:
        """Epochs with these scores, from start to end."""
        self.begin()
        for score in scores:
            self.batches()
            self.validate({"score": score})
            self.end_epoch()
        self.checkpoint.on_train_end(self, None)
        return self


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.ckpt"))


def play(folder: Path, scores: list[float], **settings: Any) -> tuple[ModelCheckpoint, list[str]]:
    checkpoint = ModelCheckpoint(dirpath=folder, **settings)
    FakeTrainer(folder, checkpoint).play(scores)
    return checkpoint, names(folder)


def short(path: str) -> str:
    return os.path.basename(path)


@pytest.mark.parametrize(
    ("scores", "settings", "files", "best_file", "kth_file"),
    [
        ([5, 3, 4, 2, 6, 2], {"save_top_k": 1}, [3], 3, 3),
        ([5, 3, 4, 2, 6, 2], {"save_top_k": 3}, [1, 3, 5], 3, 1),
        ([5, 3, 4, 2, 6, 2], {"save_top_k": -1}, [0, 1, 2, 3, 4, 5], 3, 4),
        ([5, 3, 4, 2, 6, 2], {"save_top_k": 2, "mode": "max"}, [0, 4], 4, 0),
        ([1, 1, 1], {"save_top_k": 2}, [0, 1], 0, 0),
        ([math.nan, 2, math.nan], {"save_top_k": 1}, [1], 1, 1),
        ([1, math.nan, 3], {"save_top_k": 2, "mode": "max"}, [0, 2], 2, 0),
    ],
)
def test_the_files_kept_are_those_of_the_recordings_of_lightning(
    tmp_path: Path, scores: list[float], settings: dict[str, Any], files: list[int], best_file: int, kth_file: int
) -> None:
    checkpoint, found = play(tmp_path, [float(score) for score in scores], monitor="score", **settings)
    expected = {number: f"epoch={number}-step={2 * number + 2}.ckpt" for number in range(len(scores))}
    assert found == [expected[number] for number in files]
    assert short(checkpoint.best_model_path) == expected[best_file]
    assert short(checkpoint.kth_best_model_path) == expected[kth_file]
    assert float(checkpoint.kth_value) == scores[kth_file]
    assert checkpoint.best_model_score is not None
    assert float(checkpoint.best_model_score) == scores[best_file]


@pytest.mark.parametrize(
    ("settings", "files", "last"),
    [
        ({"monitor": "score", "save_last": True}, ["epoch=1-step=4.ckpt", "last.ckpt"], None),
        ({"monitor": "score", "save_last": "link"}, ["epoch=1-step=4.ckpt", "last.ckpt"], "epoch=1-step=4.ckpt"),
        ({"save_last": True, "save_top_k": 0}, ["last.ckpt"], None),
        ({"save_last": True}, ["epoch=2-step=6.ckpt", "last.ckpt"], None),
        ({"save_last": True, "every_n_epochs": 2}, ["epoch=1-step=4.ckpt", "last.ckpt"], None),
        ({"save_top_k": 0}, [], None),
        ({"save_top_k": -1, "every_n_epochs": 2}, ["epoch=1-step=4.ckpt"], None),
        ({"every_n_epochs": 0}, [], None),
    ],
)
def test_the_last_one_is_kept_as_the_recordings_of_lightning_show(
    tmp_path: Path, settings: dict[str, Any], files: list[str], last: str | None
) -> None:
    _, found = play(tmp_path, [3.0, 1.0, 2.0], **settings)
    assert found == files
    if last is not None:
        assert os.readlink(tmp_path / "last.ckpt") == last


@pytest.mark.parametrize(
    ("settings", "runs", "files"),
    [
        ({"monitor": "score", "save_top_k": 2, "filename": "model"}, 1, ["model-v1.ckpt", "model.ckpt"]),
        (
            {"monitor": "score", "save_top_k": -1, "filename": "model"},
            1,
            ["model-v1.ckpt", "model-v2.ckpt", "model.ckpt"],
        ),
        (
            {"monitor": "score", "save_top_k": 2, "filename": "model", "enable_version_counter": False},
            1,
            ["model.ckpt"],
        ),
        ({"monitor": "score", "filename": "{epoch}"}, 2, ["epoch=1-v1.ckpt", "epoch=1.ckpt"]),
        ({"filename": "model"}, 2, ["model-v1.ckpt", "model.ckpt"]),
        ({"save_last": True, "enable_version_counter": False}, 2, ["epoch=2-step=6.ckpt", "last.ckpt"]),
    ],
)
def test_a_name_that_is_taken_gets_a_version(
    tmp_path: Path, settings: dict[str, Any], runs: int, files: list[str]
) -> None:
    for _ in range(runs):
        _, found = play(tmp_path, [2.0, 1.0, 3.0], **settings)
    assert found == files


def test_steps_make_a_checkpoint_due_once_each_also_while_gradients_accumulate(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=2, save_top_k=1, monitor="loss")
    trainer = FakeTrainer(tmp_path, checkpoint)
    trainer.begin()
    for loss in (3.0, 2.0, 2.5, 4.0):
        trainer.batches(1, {"loss": loss})
    assert trainer.saved == ["epoch=0-step=2.ckpt"]
    trainer.log({"loss": 0.0})
    checkpoint.on_train_batch_end(trainer, None, None, None, 4)
    assert trainer.saved == ["epoch=0-step=2.ckpt"]


def test_time_makes_a_checkpoint_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoint = ModelCheckpoint(dirpath=tmp_path, train_time_interval=timedelta(seconds=10), save_top_k=-1)
    trainer = FakeTrainer(tmp_path, checkpoint)
    trainer.begin()
    for _ in range(6):
        now[0] += 4
        trainer.batches(1)
    assert trainer.saved == ["epoch=0-step=3.ckpt", "epoch=0-step=6.ckpt"]
    trainer.end_epoch()
    assert len(trainer.saved) == 2


def test_a_save_by_steps_waits_for_a_metric_that_validation_will_bring(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(
        dirpath=tmp_path, every_n_train_steps=2, monitor="score", save_top_k=-1, save_on_train_epoch_end=False
    )
    trainer = FakeTrainer(tmp_path, checkpoint)
    trainer.begin()
    trainer.batches(3)
    assert not trainer.saved
    trainer.validate({"score": 1.0})
    trainer.end_epoch()
    trainer.batches(1)
    assert trainer.saved == ["epoch=0-step=3.ckpt"]
    trainer.validate({"score": 0.5})
    assert trainer.saved == ["epoch=0-step=3.ckpt", "epoch=1-step=4.ckpt"]
    assert list(map(float, checkpoint.best_k_models.values())) == [1.0, 0.5]


def test_steps_before_the_first_validation_keep_the_last_one_and_say_nothing(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, monitor="score", save_last=True)
    trainer = FakeTrainer(tmp_path, checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.play([1.0])
    assert names(tmp_path) == ["last.ckpt"]


@pytest.mark.parametrize(
    "setting", [{"fast_dev_run": True}, {"sanity_checking": True}, {"state": SimpleNamespace(fn="test")}]
)
def test_nothing_is_saved_outside_of_a_real_fit(tmp_path: Path, setting: dict[str, Any]) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True, save_on_exception=True)
    trainer = FakeTrainer(tmp_path, checkpoint, **setting).play([1.0])
    checkpoint.on_exception(trainer, None, ValueError())
    assert not names(tmp_path)


def test_the_folder_is_the_loggers_or_below_the_root(tmp_path: Path) -> None:
    def folder(*loggers: Any) -> str:
        checkpoint = ModelCheckpoint()
        checkpoint.setup(FakeTrainer(tmp_path, checkpoint, loggers=list(loggers)), None, "fit")
        return os.path.relpath(checkpoint.dirpath or "", tmp_path)

    assert folder() == "checkpoints"
    assert folder(SimpleNamespace(save_dir=None, name="logger", version=0)) == "logger/version_0/checkpoints"
    logger = SimpleNamespace(save_dir=str(tmp_path / "logs"), name="", version="long")
    assert folder(logger) == "logs/long/checkpoints"


def test_an_exception_is_saved_beside_the_others(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_on_exception=True)
    trainer = FakeTrainer(tmp_path, checkpoint)
    trainer.play([1.0])
    trainer.batches(1)
    checkpoint.on_exception(trainer, None, KeyboardInterrupt())
    assert names(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=1-step=3.ckpt"]
    error = ValueError("what really happened")
    trainer.batches(1)
    trainer.full_disk = True
    checkpoint.on_exception(trainer, None, error)
    assert "could not save a checkpoint of this" in error.__notes__[0]


@pytest.mark.parametrize(
    "settings", [{"monitor": "score", "save_last": True}, {"save_last": True}, {"monitor": "score"}]
)
def test_a_failed_save_leaves_files_and_records_as_they_were(tmp_path: Path, settings: dict[str, Any]) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, **settings)
    trainer = FakeTrainer(tmp_path, checkpoint).play([2.0])
    files, records = names(tmp_path), checkpoint.state_dict()
    trainer.full_disk = True
    trainer.batches()
    trainer.log({"score": 1.0})
    with pytest.raises(OSError, match="No space") as caught:
        trainer.end_epoch()
    assert "ModelCheckpoint could not write" in caught.value.__notes__[0]
    assert str(tmp_path) in caught.value.__notes__[0]
    assert (names(tmp_path), checkpoint.state_dict()) == (files, records)


def test_an_old_file_goes_only_after_the_new_one_and_the_link_are_there(tmp_path: Path) -> None:
    seen: list[bool] = []

    class Watching(FakeTrainer):
        def save_checkpoint(self, filepath: str, weights_only: bool = False) -> None:
            seen.append(bool(names(tmp_path)) == bool(self.saved) and not _has_dangling_link(tmp_path))
            super().save_checkpoint(filepath, weights_only)
            seen.append(not _has_dangling_link(tmp_path))

    checkpoint = ModelCheckpoint(dirpath=tmp_path, monitor="score", save_last="link")
    Watching(tmp_path, checkpoint).play([3.0, 2.0, 1.0])
    assert all(seen)
    assert names(tmp_path) == ["epoch=2-step=6.ckpt", "last.ckpt"]


def _has_dangling_link(folder: Path) -> bool:
    return any(path.is_symlink() and not path.exists() for path in folder.iterdir()) if folder.exists() else False


def test_a_checkpoint_that_cannot_be_removed_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("torchbus_checkpointing._files.remove", refuse)
    with pytest.warns(UserWarning, match="is obsolete but cannot be removed"):
        play(tmp_path, [2.0, 1.0], monitor="score")
    assert len(names(tmp_path)) == 2


def test_the_file_a_run_was_resumed_from_is_not_removed(tmp_path: Path) -> None:
    first, _ = play(tmp_path, [2.0], monitor="score")
    resumed = ModelCheckpoint(dirpath=tmp_path, monitor="score")
    resumed.load_state_dict(first.state_dict())
    trainer = FakeTrainer(tmp_path, resumed, ckpt_path=first.best_model_path, current_epoch=1, global_step=2)
    trainer.play([1.0, 0.5])
    assert names(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=2-step=6.ckpt"]


def test_the_state_in_a_file_names_that_file_and_loads_with_weights_only(tmp_path: Path) -> None:
    checkpoint, _ = play(tmp_path, [2.0, 1.0], monitor="score", save_last=True)
    state = torch.load(checkpoint.best_model_path, weights_only=True)
    assert state["best_model_path"] == checkpoint.best_model_path
    assert list(state["best_k_models"]) == [checkpoint.best_model_path]
    resumed = ModelCheckpoint(dirpath=tmp_path, monitor="score")
    resumed.load_state_dict(torch.load(checkpoint.last_model_path, weights_only=True))
    assert resumed.state_dict() == checkpoint.state_dict()


def test_a_validation_repeated_after_a_resume_does_not_save_again(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"monitor": "score", "save_on_train_epoch_end": False, "save_top_k": -1}
    first, _ = play(tmp_path, [2.0], **settings)
    resumed = ModelCheckpoint(dirpath=tmp_path, **settings)
    resumed.load_state_dict(torch.load(first.best_model_path, weights_only=True))
    trainer = FakeTrainer(tmp_path, resumed, ckpt_path=first.best_model_path, global_step=2)
    trainer.begin()
    trainer.validate({"score": 2.0})
    assert not trainer.saved


def test_in_another_folder_only_the_best_path_is_remembered(tmp_path: Path) -> None:
    first, _ = play(tmp_path / "one", [2.0], monitor="score")
    second = ModelCheckpoint(dirpath=tmp_path / "two", monitor="score")
    with pytest.warns(UserWarning, match="neither ranked nor removed"):
        second.load_state_dict(first.state_dict())
    assert second.best_model_path == first.best_model_path
    assert not second.best_k_models


def test_a_smaller_k_after_a_resume_is_met_at_the_next_save(tmp_path: Path) -> None:
    first, _ = play(tmp_path, [4.0, 3.0, 2.0], monitor="score", save_top_k=3)
    second = ModelCheckpoint(dirpath=tmp_path, monitor="score", save_top_k=1)
    second.load_state_dict(first.state_dict())
    FakeTrainer(tmp_path, second, current_epoch=3, global_step=6).play([1.0])
    assert names(tmp_path) == ["epoch=3-step=8.ckpt"]


def test_the_best_scores_can_be_written_as_yaml(tmp_path: Path) -> None:
    checkpoint, _ = play(tmp_path, [math.nan, 0.5], monitor="score", save_top_k=-1)
    checkpoint.to_yaml()
    yaml = pytest.importorskip("yaml")
    loaded = yaml.safe_load((tmp_path / "best_k_models.yaml").read_text())
    assert loaded == {path: float(score) for path, score in checkpoint.best_k_models.items()}
    ModelCheckpoint().to_yaml(tmp_path / "none.yaml")
    assert yaml.safe_load((tmp_path / "none.yaml").read_text()) == {}


def test_loggers_are_told_after_each_save_once_by_rank_zero(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True)
    trainer = FakeTrainer(tmp_path, checkpoint).play([1.0])
    assert trainer.told == [checkpoint, checkpoint]
    other = ModelCheckpoint(dirpath=tmp_path / "other")
    assert not FakeTrainer(tmp_path, other, is_global_zero=False).play([1.0]).told


def test_a_missing_metric_is_an_error_once_validation_has_run(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match=r"Did you mean `score`\?\nLogged so far: `score`"):
        play(tmp_path, [1.0], monitor="scor")
    checkpoint = ModelCheckpoint(dirpath=tmp_path, monitor="other")
    trainer = FakeTrainer(tmp_path, checkpoint, enable_validation=False)
    trainer.begin()
    trainer.batches()
    with pytest.warns(UserWarning, match="No checkpoint is saved without it"):
        trainer.end_epoch()
    assert not names(tmp_path)


def test_a_metric_that_never_comes_is_told_at_the_end(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, monitor="other", every_n_train_steps=1)
    trainer = FakeTrainer(tmp_path, checkpoint)
    trainer.begin()
    trainer.batches(3)
    with pytest.warns(UserWarning, match="No checkpoint is saved without it"):
        checkpoint.on_train_end(trainer, None)


def test_a_misspelt_monitor_is_shown_by_the_sanity_check(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path, monitor="val_los")
    trainer = FakeTrainer(tmp_path, checkpoint, sanity_checking=True)
    trainer.begin()
    with pytest.warns(UserWarning, match="Did you mean `val_loss`"):
        trainer.validate({"val_loss": 1.0})


def test_a_name_that_asks_for_an_unknown_metric_is_told_once(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="asks for `unknown`, not logged so far; it reads 0") as told:
        _, found = play(tmp_path, [1.0, 2.0], filename="{epoch}-{unknown:.1f}", save_top_k=-1)
    assert len(told) == 1
    assert found == ["epoch=0-unknown=0.0.ckpt", "epoch=1-unknown=0.0.ckpt"]


def test_its_state_key_and_fresh_state_are_those_of_lightning() -> None:
    assert ModelCheckpoint(monitor="score", every_n_epochs=2).state_key == (
        "ModelCheckpoint{'monitor': 'score', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 2,"
        " 'train_time_interval': None}"
    )
    assert set(ModelCheckpoint().state_dict()) == {
        "best_k_models", "best_model_path", "best_model_score", "current_score", "dirpath", "kth_best_model_path",
        "kth_value", "last_model_path", "monitor",
    }  # fmt: skip


# ---- in a real fit ---------------------------------------------------------------------------------------------------


class Line(torchbus.LightningModule):
    """A linear model that logs its losses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def loss(self, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        return torch.nn.functional.mse_loss(self.layer(inputs), targets)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, plugins: dict[str, Any], ckpt_path: str | None = None, **options: Any) -> torchbus.Trainer:
    inputs = torch.linspace(-1, 1, 8).unsqueeze(1)
    data = torch.utils.data.TensorDataset(inputs, 3 * inputs + 1)
    trainer = torchbus.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
        plugins=plugins,
        **options,
    )
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    trainer.fit(Line(), loader, loader, ckpt_path=ckpt_path)
    return trainer


def test_a_fit_with_the_plugin_by_name_keeps_the_best_without_a_warning(tmp_path: Path) -> None:
    settings = {"monitor": "val_loss", "save_top_k": 2, "save_last": "link", "filename": "{epoch}-{val_loss:.2f}"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = fit(tmp_path, {"model_checkpoint": settings})
    checkpoint = trainer.checkpoint_callback
    assert isinstance(checkpoint, ModelCheckpoint)
    assert [name.partition("-")[0] for name in names(tmp_path / "checkpoints")] == ["epoch=1", "epoch=2", "last.ckpt"]
    assert os.path.realpath(checkpoint.last_model_path) == checkpoint.best_model_path


def test_a_run_resumed_from_any_of_its_checkpoints_ends_with_the_same_records(tmp_path: Path) -> None:
    def run(folder: Path, ckpt_path: str | None = None) -> tuple[dict[str, float], dict[str, Any], list[str]]:
        plugins = {
            "model_checkpoint": {"dirpath": folder, "monitor": "val_loss", "save_top_k": -1},
            "early_stopping": {"monitor": "val_loss", "patience": 9, "min_delta": 0.3},
        }
        trainer = fit(folder, plugins, ckpt_path, val_check_interval=0.5)
        checkpoint, stopping = trainer.checkpoint_callback, trainer.early_stopping_callback
        assert isinstance(checkpoint, ModelCheckpoint)
        scores = {short(path): float(score) for path, score in checkpoint.best_k_models.items()}
        return scores, stopping.state_dict(), names(folder)

    scores, state, files = run(tmp_path / "whole")
    assert len(files) == 6
    for number, name in enumerate(files):
        copy = tmp_path / str(number)
        copy.mkdir()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*neither ranked nor removed")
            resumed_scores, resumed_state, resumed_files = run(copy, str(tmp_path / "whole" / name))
        assert resumed_state == state
        assert resumed_files == files[number + 1 :]
        assert resumed_scores == {name: scores[name] for name in resumed_files}


@pytest.mark.parametrize("weights_only", [True, False])
def test_save_weights_only_leaves_out_what_a_resumed_run_needs(tmp_path: Path, weights_only: bool) -> None:
    from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer

    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_weights_only=weights_only)
    trainer = quiet_trainer(tmp_path, max_epochs=1, callbacks=[checkpoint], enable_checkpointing=None)
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    saved = torch.load(checkpoint.best_model_path, weights_only=True)
    assert ("optimizer_states" in saved) is not weights_only
    assert saved["state_dict"].keys() == trainer.lightning_module.state_dict().keys()
