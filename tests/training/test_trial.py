"""``trainer.trial``: a few steps that nobody hears and that leave no trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L

from .toys import Bare, loader


class Trying(L.Callback):
    """Makes a trial when a fit begins, and hears batches like anybody else."""

    def __init__(self, attempt: Callable[[Any], None]) -> None:
        self.attempt = attempt
        self.heard: list[int] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        with trainer.trial(steps=5) as trial:
            self.attempt(trial)
            assert trainer.global_step == 5

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.heard.append(batch_idx)


def fit(tmp_path: Path, *callbacks: Any) -> tuple[L.Trainer, Bare]:
    torch.manual_seed(0)
    module = Bare(dropout=0.5)
    trainer = L.Trainer(
        max_epochs=1, callbacks=list(callbacks), logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, loader(shuffle=True))
    return trainer, module


def test_a_run_after_a_trial_is_the_run_without_it(tmp_path: Path) -> None:
    trying = Trying(lambda trial: trial.run())
    tried, plain = fit(tmp_path, trying), fit(tmp_path)
    assert tried[0].global_step == plain[0].global_step == 6
    for one, other in zip(tried[1].parameters(), plain[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_plugin_hears_a_trial(tmp_path: Path) -> None:
    trying, listening = Trying(lambda trial: trial.run()), Trying(lambda trial: trial.run())
    trainer, _ = fit(tmp_path, trying, listening)
    assert trying.heard == listening.heard == [0, 1, 2, 3, 4, 5]
    assert trainer.callbacks == [trying, listening]


def test_each_try_begins_anew_with_the_loader_it_loaded(tmp_path: Path) -> None:
    def twice(trial: Any) -> None:
        assert len(trial.load()) == 6
        trial.run()
        trial.run()

    trainer, _ = fit(tmp_path, Trying(twice))
    assert trainer.max_steps == -1
    assert trainer.global_step == 6


def test_a_trial_that_fails_leaves_no_trace_either(tmp_path: Path) -> None:
    def fail(trial: Any) -> None:
        trial.run()
        random.random()
        raise RuntimeError("tried too hard")

    class Failing(Trying):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            generators, weights = random.getstate(), [one.clone() for one in pl_module.parameters()]
            with pytest.raises(RuntimeError, match="tried too hard"):
                super().on_fit_start(trainer, pl_module)
            assert random.getstate() == generators
            assert all(map(torch.equal, pl_module.parameters(), weights))

    trainer, _ = fit(tmp_path, Failing(fail))
    assert trainer.global_step == 6
