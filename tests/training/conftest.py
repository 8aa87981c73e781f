"""What the tests of training share: a quiet trainer, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test has its own current folder, one thread, and leaves the random generator as it was."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def quiet(tmp_path: Path) -> Callable[..., L.Trainer]:
    """Makes trainers that print nothing and write nothing, unless asked to."""

    def make(**options: Any) -> L.Trainer:
        silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        return L.Trainer(
            **{"max_epochs": 1, "enable_checkpointing": False, "default_root_dir": tmp_path, **silent, **options}
        )

    return make
