"""What loggers are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast

if TYPE_CHECKING:
    from ..callback import Checkpoint
    from torch.nn import Module
    from torchbus import LightningModule, Trainer

__all__ = ["on_log_record", "log_metrics", "log_hyperparams", "log_graph", "after_save_checkpoint", "save", "finalize"]


@broadcast
def on_log_record(trainer: Trainer, pl_module: LightningModule, metrics: dict[str, float], step: int | None) -> None:
    """LogRecord."""


@broadcast
def log_metrics(metrics: dict[str, float], step: int | None) -> None:
    """LogMetrics."""


@broadcast
def log_hyperparams(params: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """LogHyperparams."""


@broadcast
def log_graph(model: Module, input_array: Any) -> None:
    """LogGraph."""


@broadcast
def after_save_checkpoint(checkpoint_callback: Checkpoint) -> None:
    """AfterSaveCheckpoint."""


@broadcast
def save() -> None:
    """Save."""


@broadcast
def finalize(status: str) -> None:
    """Finalize."""
