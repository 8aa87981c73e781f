"""The callback ``throughput_monitor``: what is counted in each stage, and when it is logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

from ._peak_flops import peak_flops
from ._records import current_step, is_due, is_train_step_due, send
from ._throughput import Throughput

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ThroughputMonitor"]


@dataclass(slots=True)
class _Counts:
    """What one stage has done.

    Attributes:
        rates: the moving window.
        batches: batches done, over all epochs.
        samples: samples in them.
        lengths: items in them.
        flops: floating point operations of this process.
        started: when it began; later for every second that does not count.
    """

    rates: Throughput
    batches: int = 0
    samples: int = 0
    lengths: int = 0
    flops: int = 0
    started: float = field(default_factory=time.perf_counter)


@validated
class ThroughputMonitor(Callback):
    """Log batches, samples, items and floating point operations per second, in every stage by itself.

    Names begin with the stage: ``train/time``, ``train/samples``, and once the window is full
    ``train/device/samples_per_sec``. Set ``flops_per_batch`` on the module for ``flops_per_sec`` and, where the peak of
    the device is known or given, ``mfu``. Time spent in validation does not count as training.

    Raises:
        MisconfigurationException: a setting is wrong.
        ValueError: ``batch_size_fn`` or ``length_fn`` did not return a whole number of at least 0.

    Source: Lightning ``ThroughputMonitor``. In contrast to it, the options of the window are settings with checks.
    """

    def __init__(
        self,
        batch_size_fn: Annotated[Callable[[Any], int], Field(description="Gives the number of samples of a batch.")],
        length_fn: Annotated[
            Callable[[Any], int] | None,
            Field(description="Gives the number of items (tokens, frames) of a batch."),
        ] = None,
        *,
        window_size: Annotated[
            int, Field(ge=2, description="Batches over which rates are taken; there are none before.")
        ] = 100,
        available_flops: Annotated[
            float | None,
            Field(gt=0, description="Peak operations per second of one device. Default: that of known GPUs."),
        ] = None,
        separator: Annotated[str, Field(description="Between the parts of a name.")] = "/",
    ) -> None:
        super().__init__()
        self.batch_size_fn = batch_size_fn
        self.length_fn = length_fn
        self.window_size = window_size
        self.available_flops = available_flops
        self.separator = separator
        self._stages: dict[str, _Counts] = {}
        self._paused_at: float | None = None

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the last run."""
        self._stages = {}
        self._paused_at = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of training starts."""
        self._start(trainer, "train")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a training batch."""
        self._count(trainer, pl_module, "train", batch)
        # an accumulating batch does not move the loggers' step: only the one that ends the window is logged
        ends_window = not trainer.fit_loop.is_accumulating() or not pl_module.automatic_optimization
        if ends_window and is_train_step_due(trainer):
            figures = {**self._figures("train"), "epoch": float(trainer.current_epoch)}
            send(trainer, figures, current_step(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training pauses, and the clock of validation goes on."""
        if not trainer.sanity_checking:
            self._paused_at = time.perf_counter()
            self._resume(trainer, "validate")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a validation batch."""
        if not trainer.sanity_checking:
            self._count_and_log(trainer, pl_module, "validate", batch, batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training goes on: the seconds in between are not its own."""
        if trainer.sanity_checking or self._paused_at is None:
            return
        training = self._stages.get("train")
        now = time.perf_counter()
        if training is not None:
            training.started += now - self._paused_at
        self._stages["validate"].started -= now  # until it goes on: what it has run so far, negated
        self._paused_at = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of the test starts."""
        self._start(trainer, "test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a test batch."""
        self._count_and_log(trainer, pl_module, "test", batch, batch_idx)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock of prediction starts."""
        self._start(trainer, "predict")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a prediction batch."""
        self._count_and_log(trainer, pl_module, "predict", batch, batch_idx)

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _start(self, trainer: Trainer, stage: str) -> None:
        peak = self.available_flops or peak_flops(trainer.strategy.root_device, trainer.precision)
        self._stages[stage] = _Counts(Throughput(peak, trainer.world_size, self.window_size, self.separator))

    def _resume(self, trainer: Trainer, stage: str) -> None:
        if stage in self._stages:
            self._stages[stage].started += time.perf_counter()
        else:
            self._start(trainer, stage)

    def _count(self, trainer: Trainer, pl_module: LightningModule, stage: str, batch: Any) -> None:
        counts = self._stages[stage]
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # else the time is that of asking for the work, not of doing it
        counts.batches += 1
        counts.samples += _whole("batch_size_fn", self.batch_size_fn(batch))
        if self.length_fn is not None:
            counts.lengths += _whole("length_fn", self.length_fn(batch))
        flops = getattr(pl_module, "flops_per_batch", None)
        if flops is not None:
            counts.flops += int(flops() if callable(flops) else flops)
        counts.rates.update(
            time=time.perf_counter() - counts.started,
            batches=counts.batches,
            samples=counts.samples,
            lengths=counts.lengths if self.length_fn is not None else None,
            flops=counts.flops if flops is not None else None,
        )

    def _count_and_log(
        self, trainer: Trainer, pl_module: LightningModule, stage: str, batch: Any, batch_idx: int
    ) -> None:
        self._count(trainer, pl_module, stage, batch)
        if is_due(trainer, batch_idx):
            send(trainer, self._figures(stage), self._stages[stage].batches)

    def _figures(self, stage: str) -> dict[str, float]:
        computed = self._stages[stage].rates.compute()
        return {f"{stage}{self.separator}{name}": value for name, value in computed.items()}


def _whole(name: str, count: Any) -> int:
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"ThroughputMonitor: `{name}` returned {count!r}; it must be a whole number of at least 0.")
    return count
