"""Which files of a checkpoint callback are news to a logger."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import torch
from torchbus_hookspecs.checkpoint_files import CheckpointFiles


def files(folder: Path, *names: str) -> list[str]:
    for time, name in enumerate(names):
        (folder / name).write_text(name)
        os.utime(folder / name, (1000 + time, 1000 + time))
    return [str(folder / name) for name in names]


def test_new_files_come_once_the_oldest_first_with_plain_scores(tmp_path: Path) -> None:
    first, second = files(tmp_path, "first", "second")
    callback = SimpleNamespace(
        best_k_models={second: torch.tensor(0.5), first: torch.tensor(0.25)},
        best_model_path=first,
        best_model_score=torch.tensor(0.25),
        last_model_path="",
        current_score=torch.tensor(0.5),
    )
    seen = CheckpointFiles()
    assert seen.news_of(callback) == [(first, 0.25, ("best",)), (second, 0.5, ("latest",))]
    assert seen.news_of(callback) == []
    os.utime(first, (2000, 2000))  # written anew
    assert seen.news_of(callback) == [(first, 0.25, ("latest", "best"))]


def test_files_that_are_gone_and_callbacks_without_files_are_no_news(tmp_path: Path) -> None:
    gone = SimpleNamespace(best_k_models={}, best_model_path=str(tmp_path / "gone"), best_model_score=None)
    assert CheckpointFiles().news_of(gone) == []
    assert CheckpointFiles().news_of(SimpleNamespace()) == []


def test_without_a_metric_the_last_file_has_no_score(tmp_path: Path) -> None:
    (last,) = files(tmp_path, "last")
    callback = SimpleNamespace(best_k_models={}, best_model_path="", last_model_path=last, current_score=None)
    assert CheckpointFiles().news_of(callback) == [(last, None, ("latest",))]
