"""The callback ``device_stats_monitor``: when devices are looked at, and what it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

from ._cpu_stats import cpu_stats as read_cpu
from ._records import current_step, is_due, is_train_step_due, require_listener, send

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["DeviceStatsMonitor"]


@validated
class DeviceStatsMonitor(Callback):
    """Log figures of the device before and after batches: memory and load, as its accelerator reports them.

    Names are those of the callback, the hook and the figure: ``DeviceStatsMonitor.on_train_batch_end/cpu_percent``.
    Looked at are the batches that the trainer logs (``log_every_n_steps``), in training, validation and test.

    Raises:
        MisconfigurationException: there is no logger.

    Source: Lightning ``DeviceStatsMonitor``.
    """

    def __init__(
        self,
        cpu_stats: Annotated[
            bool | None,
            Field(description="Log load and memory of the CPU. Default: only when training on it."),
        ] = None,
    ) -> None:
        super().__init__()
        self._cpu_stats = cpu_stats

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a run without a logger, and let the CPU's load be measured from here."""
        require_listener(type(self).__name__, trainer)
        if self._reads_cpu(trainer):
            read_cpu()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Look before a training batch."""
        if is_train_step_due(trainer):
            self._log(trainer, "on_train_batch_start")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look after a training batch."""
        if is_train_step_due(trainer):
            self._log(trainer, "on_train_batch_end")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Look before a validation batch."""
        if is_due(trainer, batch_idx):
            self._log(trainer, "on_validation_batch_start")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look after a validation batch."""
        if is_due(trainer, batch_idx):
            self._log(trainer, "on_validation_batch_end")

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Look before a test batch."""
        if is_due(trainer, batch_idx):
            self._log(trainer, "on_test_batch_start")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look after a test batch."""
        if is_due(trainer, batch_idx):
            self._log(trainer, "on_test_batch_end")

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _reads_cpu(self, trainer: Trainer) -> bool:
        if self._cpu_stats is not None:
            return self._cpu_stats
        return trainer.strategy.root_device.type == "cpu"

    def _log(self, trainer: Trainer, moment: str) -> None:
        device = trainer.strategy.root_device
        # the CPU's own accelerator may give the same figures: there `cpu_stats=False` has the last word
        figures = {} if device.type == "cpu" else dict(trainer.accelerator.get_device_stats(device))
        if self._reads_cpu(trainer):
            figures.update(read_cpu())
        prefix = f"{type(self).__name__}.{moment}"
        send(trainer, {f"{prefix}/{name}": float(value) for name, value in figures.items()}, current_step(trainer))
