"""Where a run is, in plain counters, and how a checkpoint writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["FitProgress", "Phase", "read_fit_progress", "write_loops"]

Phase = Literal["epoch_start", "batch", "validation", "after_validation", "epoch_end", "idle"]
"""What an interrupted epoch has to do next: begin, run its next batch, validate, go on after validation, or close."""


@dataclass(slots=True)
class FitProgress:
    """The counters of a fit.

    Attributes:
        epoch: epochs completed.
        epochs_processed: epochs whose batches are done; one more than ``epoch`` while an epoch is being closed.
        global_step: optimizer steps taken.
        batches_ready: batches of this epoch that were begun.
        batches_done: batches of this epoch that are done.
        earlier_batches: batches begun in earlier epochs.
        batches_stepped: batches that ended an accumulation window, over all epochs: the step axis of loggers.
        is_last_batch: whether the batch under way is the epoch's last.
        phase: what the epoch has to do next.
    """

    epoch: int = 0
    epochs_processed: int = 0
    global_step: int = 0
    batches_ready: int = 0
    batches_done: int = 0
    earlier_batches: int = 0
    batches_stepped: int = 0
    is_last_batch: bool = False
    phase: Phase = "idle"

    @property
    def epochs_begun(self) -> int:
        """Epochs of which at least the first batch was asked for."""
        return self.epochs_processed + (self.phase in ("epoch_start", "batch", "validation", "after_validation"))

    @property
    def total_batches(self) -> int:
        """Batches begun over all epochs."""
        return self.earlier_batches + self.batches_ready

    def begin_epoch(self) -> None:
        """No batch of the coming epoch was seen yet."""
        self.earlier_batches += self.batches_ready
        self.batches_ready = self.batches_done = 0
        self.is_last_batch = False


def _counts(ready: int, completed: int, **more: int) -> dict[str, Any]:
    return {"ready": ready, "completed": completed, **more}


def _progress(total: tuple[int, int], current: tuple[int, int]) -> dict[str, Any]:
    """One of Lightning's progress records: how many were begun, started, processed and completed."""
    parts = {"total": total, "current": current}
    return {
        name: {"ready": ready, "started": ready, "processed": done, "completed": done}
        for name, (ready, done) in parts.items()
    }


def write_loops(progress: FitProgress, resume: dict[str, Any]) -> dict[str, Any]:
    """The ``loops`` entry of a checkpoint: Lightning's records, and ``torchbus``: what an exact resume needs beside them."""
    p = progress
    begun_epochs = p.epochs_processed + (p.phase in ("batch", "validation", "after_validation"))
    epochs = {"ready": begun_epochs, "started": begun_epochs, "processed": p.epochs_processed, "completed": p.epoch}
    undone = p.batches_ready - p.batches_done
    batches = _progress((p.total_batches, p.total_batches - undone), (p.batches_ready, p.batches_done))
    steps = {"total": _counts(p.global_step, p.global_step), "current": _counts(p.batches_ready, p.batches_done)}
    zero_grads = {name: {**counts, "started": counts["ready"]} for name, counts in steps.items()}
    nothing = {"state_dict": {}, "batch_progress": {**_progress((0, 0), (0, 0)), "is_last_batch": False}}
    evaluation = {"state_dict": {}, "batch_progress": nothing["batch_progress"]}
    return {
        "fit_loop": {
            "state_dict": {},
            "epoch_loop.state_dict": {"_batches_that_stepped": p.batches_stepped},
            "epoch_loop.batch_progress": {**batches, "is_last_batch": p.is_last_batch},
            "epoch_loop.scheduler_progress": {"total": _counts(0, 0), "current": _counts(0, 0)},
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {"optimizer": {"step": steps, "zero_grad": zero_grads}},
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": steps,
            "epoch_loop.val_loop.state_dict": {},
            "epoch_loop.val_loop.batch_progress": nothing["batch_progress"],
            "epoch_progress": {"total": epochs, "current": epochs},
        },
        "validate_loop": evaluation,
        "test_loop": evaluation,
        "predict_loop": {"state_dict": {}, "batch_progress": _progress((0, 0), (0, 0))},
        "torchbus": {"phase": p.phase, **resume},
    }


def read_fit_progress(checkpoint: dict[str, Any]) -> FitProgress:
    """The counters in a checkpoint, torchbus's own or Lightning's."""
    fit = checkpoint["loops"]["fit_loop"]
    epochs = fit["epoch_progress"]["current"]
    batches = fit["epoch_loop.batch_progress"]
    progress = FitProgress(
        epoch=epochs["completed"],
        epochs_processed=epochs["processed"],
        global_step=checkpoint["global_step"],
        batches_ready=batches["current"]["ready"],
        # in Lightning, a batch is completed only after the hooks in which checkpoints are saved
        batches_done=batches["current"]["processed"],
        earlier_batches=batches["total"]["ready"] - batches["current"]["ready"],
        batches_stepped=fit["epoch_loop.state_dict"]["_batches_that_stepped"],
        is_last_batch=batches["is_last_batch"],
    )
    own = checkpoint["loops"].get("torchbus")
    if own is not None:
        progress.phase = own["phase"]
    elif progress.epochs_processed > progress.epoch:
        progress.phase = "epoch_end"
    elif epochs["started"] > epochs["processed"] and progress.batches_done:
        progress.phase = "batch" if progress.batches_ready > progress.batches_done else "validation"
    return progress
