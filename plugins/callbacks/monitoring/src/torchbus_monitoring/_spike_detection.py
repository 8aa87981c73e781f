"""The callback ``spike_detection``: settings, the exception, and the file that names the suspects."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from torchbus_hookspecs import Callback, TorchbusError
from torchbus_hookspecs.settings import validated

from ._spikes import Mode, SpikeWatch

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["SpikeDetection", "TrainingSpikeException"]

FILE_NAME = "skip_batches.json"


class TrainingSpikeException(TorchbusError, RuntimeError):  # Lightning's name
    """Training was ended by a spike of the loss.

    Attributes:
        batch_idx: the batch in which it showed, counted within its epoch.
        loss: its loss on this rank, or NaN if another rank saw the spike.
    """

    def __init__(self, batch_idx: int, loss: float = math.nan, message: str = "") -> None:
        super().__init__(message or f"The loss has a spike in batch {batch_idx}.")
        self.batch_idx = batch_idx
        self.loss = loss


@validated
class SpikeDetection(Callback):
    """End training when the loss jumps, and write down which batches to skip next time.

    Each loss is compared with the mean of the last ``window`` ones. A spike raises ``TrainingSpikeException`` on every
    rank; the batch, and the one before it, whose step may be the cause, are added to a JSON list of batch numbers.
    Reading the loss makes the GPU wait once per batch.

    Attributes:
        bad_batches: numbers of suspicious batches, counted within their epoch.
        exclude_batches_path: the file they are written to.

    Raises:
        MisconfigurationException: a setting is wrong.
        TrainingSpikeException: there is a spike.

    Source: Lightning ``SpikeDetection``.
    """

    def __init__(
        self,
        mode: Annotated[Mode, Field(description="Whether the loss should fall or rise.")] = "min",
        window: Annotated[int, Field(ge=1, description="Losses that the mean is taken of.")] = 10,
        warmup: Annotated[int, Field(ge=1, description="Batches at the beginning that are not judged.")] = 1,
        atol: Annotated[
            float | None, Field(ge=0, description="Smallest distance from the mean that is a spike.")
        ] = None,
        rtol: Annotated[
            float | None,
            Field(ge=0, description="The same as a multiple of the mean. With both, both must be exceeded."),
        ] = 2.0,
        exclude_batches_path: Annotated[
            str | Path | None,
            Field(description=f"File for the suspicious batches, or the folder for `{FILE_NAME}`. Default: here."),
        ] = None,
        finite_only: Annotated[bool, Field(description="A loss that is NaN or infinite is a spike.")] = True,
    ) -> None:
        super().__init__()
        path = Path.cwd() if exclude_batches_path is None else Path(exclude_batches_path)
        self.exclude_batches_path = str(path if path.suffix == ".json" else path / FILE_NAME)
        self.bad_batches: list[int] = []
        self.mode: Mode = mode
        self.warmup = warmup
        self.atol, self.rtol = atol, rtol
        self.finite_only = finite_only
        self._watch = SpikeWatch(mode, window, warmup, atol, rtol, finite_only)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge the loss of this batch."""
        loss = _loss_of(outputs)
        if loss is not None and pl_module.automatic_optimization:
            # it comes divided by the accumulation window, whose length may change from epoch to epoch
            loss *= trainer.accumulate_grad_batches
        here = loss is not None and self._watch.is_spike(loss)
        # all ranks end together: one alone would leave the others waiting
        if trainer.strategy.reduce_boolean_decision(here, all=False):
            self._end(trainer, batch_idx, loss if here and loss is not None else math.nan)

    def _end(self, trainer: Trainer, batch_idx: int, loss: float) -> None:
        suspects = [batch_idx - 1, batch_idx] if batch_idx else [batch_idx]
        self.bad_batches += [one for one in suspects if one not in self.bad_batches]
        if trainer.is_global_zero:
            path = Path(self.exclude_batches_path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.bad_batches, indent=4), encoding="utf-8")
        recent = ", ".join(f"{one:.6g}" for one in list(self._watch.recent)[-3:])
        raise TrainingSpikeException(
            batch_idx,
            loss,
            f"The loss of batch {batch_idx} in epoch {trainer.current_epoch} is {loss:.6g}; the last ones before it:"
            f" {recent or 'none'}. Suspicious batches: {self.bad_batches}, see {self.exclude_batches_path}.\n"
            "To fix: look at these batches, leave them out, or lower the learning rate; if it is no spike, raise `rtol`"
            " or `atol`.",
        )

    def state_dict(self) -> dict[str, Any]:
        """The losses that the mean is taken of, and the batches found."""
        return {"seen": self._watch.seen, "recent": list(self._watch.recent), "bad_batches": list(self.bad_batches)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them; what is a spike is what this script's settings say. Lightning's state has none of them."""
        self._watch.restore(int(state_dict.get("seen", 0)), state_dict.get("recent", ()))
        self.bad_batches = list(state_dict.get("bad_batches", ()))


def _loss_of(outputs: Any) -> float | None:
    """The loss among the outputs of a training step, if there is one."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return float(loss.detach()) if isinstance(loss, torch.Tensor) else loss if isinstance(loss, float) else None
