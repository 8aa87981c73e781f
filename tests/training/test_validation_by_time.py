"""``Trainer(val_check_interval=...)`` as a time: validation goes by the clock instead of by batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torch.utils.data import DataLoader

from .test_bad_input import refused
from .toys import Regression, Stream, loader

Quiet = Callable[..., L.Trainer]


class Timed(Regression):
    """Each batch takes ten seconds of the test's clock; notes before which batch a validation began."""

    now_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.validated: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        Timed.now_s += 10
        self.batches += 1
        return super().training_step(batch, batch_idx)

    def on_validation_start(self) -> None:
        if not self.trainer.sanity_checking:
            self.validated.append(self.batches)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: Timed.now_s)


def validated(trainer: L.Trainer, data: Any = None, **options: Any) -> list[int]:
    module = Timed()
    trainer.fit(module, data if data is not None else loader(), loader(4), **options)
    return module.validated


@pytest.mark.parametrize("interval", ["00:00:00:40", "40s", timedelta(seconds=40), {"seconds": 40}])
def test_validation_comes_whenever_the_time_is_over_whatever_the_epoch(quiet: Quiet, interval: Any) -> None:
    trainer = quiet(max_epochs=3, val_check_interval=interval)
    assert validated(trainer) == [4, 8, 12, 16]
    assert trainer.val_check_interval == timedelta(seconds=40)


def test_it_needs_neither_length_nor_epochs(quiet: Quiet) -> None:
    stream = DataLoader(Stream(), batch_size=2)
    assert validated(quiet(max_epochs=3, val_check_interval="50s"), stream) == [5, 10, 15]
    assert validated(quiet(max_epochs=3, val_check_interval="50s", check_val_every_n_epoch=None)) == [5, 10, 15]


def test_in_other_epochs_than_every_nth_it_waits(quiet: Quiet) -> None:
    assert validated(quiet(max_epochs=4, val_check_interval="40s", check_val_every_n_epoch=2)) == [7, 11, 19, 23]


def test_a_time_longer_than_training_never_comes(quiet: Quiet) -> None:
    assert validated(quiet(max_epochs=3, val_check_interval="1h")) == []


def test_a_request_to_stop_validates_at_once(quiet: Quiet) -> None:
    class Stopping(L.Callback):
        def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
            trainer.should_stop = trainer.global_step == 3

    assert validated(quiet(val_check_interval="1h", callbacks=[Stopping()])) == [3]


def test_a_fast_dev_run_validates_at_the_end(quiet: Quiet) -> None:
    assert validated(quiet(val_check_interval="1h", fast_dev_run=2)) == [2]


def test_a_resumed_run_has_waited_as_long_as_the_interrupted_one(quiet: Quiet, tmp_path: Path) -> None:
    class Saving(L.Callback):
        def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
            if trainer.global_step == 7:
                trainer.save_checkpoint(tmp_path / "after_7.ckpt")

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.global_step == 10:
                trainer.save_checkpoint(tmp_path / "while_validating.ckpt")

    options = {"max_epochs": 3, "val_check_interval": "50s", "num_sanity_val_steps": 0}
    assert validated(quiet(**options, callbacks=[Saving()])) == [5, 10, 15]
    assert validated(quiet(**options), ckpt_path=tmp_path / "after_7.ckpt") == [3, 8]
    assert validated(quiet(**options), ckpt_path=tmp_path / "while_validating.ckpt") == [0, 5]


@pytest.mark.parametrize("interval", ["soon", "5", "1:2", timedelta(0), "00:00:00:00", {"minute": 1}, 0, -1, 1.5])
def test_what_is_no_interval_says_what_may_be_one(quiet: Quiet, interval: Any) -> None:
    words = ["val_check_interval", repr(interval)]
    refused(L.MisconfigurationException, words, lambda: quiet(val_check_interval=interval))
