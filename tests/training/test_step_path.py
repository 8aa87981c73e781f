"""How far one has to read to follow a training step: which files of the core it runs through, as the interpreter sees it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torchbus as L

from .toys import Bare, Logging, loader

CORE = Path(L.__file__).parent
STEPS = 40


def files_of_a_step(quiet: Callable[..., L.Trainer], module: L.LightningModule, **options: Any) -> set[str]:
    """Files of the core that each training step runs code of, by their path in the package."""
    steps_in: dict[str, set[int]] = {}
    step = 0

    def look(frame: FrameType, event: str, argument: Any) -> None:
        for one in (frame, frame.f_back) if event == "call" else ():
            file = Path(one.f_code.co_filename) if one is not None else Path()
            if file.is_relative_to(CORE):
                steps_in.setdefault(file.relative_to(CORE).as_posix(), set()).add(step)

    class Count(L.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            nonlocal step
            step = batch_idx

    trainer, data = quiet(callbacks=[Count()], **options), loader(2 * STEPS)
    sys.setprofile(look)
    try:
        trainer.fit(module, data)
    finally:
        sys.setprofile(None)
    return {file for file, steps in steps_in.items() if len(steps) > STEPS // 2}


def test_a_plain_training_step_stays_in_two_files(quiet: Callable[..., L.Trainer]) -> None:
    assert files_of_a_step(quiet, Bare()) == {"_loops/plain.py", "_loops/feed.py"}


def test_one_with_more_to_it_crosses_three(quiet: Callable[..., L.Trainer]) -> None:
    clipped = files_of_a_step(quiet, Bare(), gradient_clip_val=1.0)
    assert {file for file in clipped if file.startswith("_loops/")} == {
        "_loops/fit.py", "_loops/feed.py", "_loops/optimization.py",
    }  # fmt: skip


def test_logging_crosses_two_more(quiet: Callable[..., L.Trainer]) -> None:
    class Logs(Logging):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("number", 1.0)
            return super().training_step(batch, batch_idx)

    files = files_of_a_step(quiet, Logs()) - files_of_a_step(quiet, Bare())
    assert files == {"_module.py", "_metrics.py"}


def test_what_a_step_calls_stays_the_same_however_long_the_run(quiet: Callable[..., L.Trainer]) -> None:
    def calls(batches: int) -> Counter[str]:
        counted: Counter[str] = Counter()

        def look(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and Path(frame.f_code.co_filename).is_relative_to(CORE):
                counted[frame.f_code.co_name] += 1

        trainer, data, module = quiet(), loader(2 * batches), Bare()
        sys.setprofile(look)
        try:
            trainer.fit(module, data)
        finally:
            sys.setprofile(None)
        return counted

    calls(100)  # what is compiled or imported at first use
    short, long = calls(200), calls(400)
    per_step = {name: (long[name] - short[name]) / 200 for name in long}
    assert sum(per_step.values()) <= 12, per_step
