"""Events of logging: one for each hook of ``specs/logging.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Event, RunEvent, event

if TYPE_CHECKING:
    from torch.nn import Module

    from ..callback import Checkpoint

__all__ = ["AfterSaveCheckpoint", "Finalize", "LogGraph", "LogHyperparams", "LogMetrics", "LogRecord", "Save"]


@event("on_log_record")
class LogRecord(RunEvent):
    """A record of metrics is about to be handed to the loggers: ``on_log_record`` fires."""

    metrics: dict[str, float]
    step: int | None


@event("log_metrics")
class LogMetrics(Event):
    """Metrics are to be recorded: ``log_metrics`` fires."""

    metrics: dict[str, float]
    step: int | None


@event("log_hyperparams")
class LogHyperparams(Event):
    """Hyperparameters are to be recorded: ``log_hyperparams`` fires."""

    params: dict[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("log_graph")
class LogGraph(Event):
    """The model's graph is to be recorded: ``log_graph`` fires."""

    model: Module
    input_array: Any


@event("after_save_checkpoint")
class AfterSaveCheckpoint(Event):
    """A checkpoint callback has saved: ``after_save_checkpoint`` fires."""

    checkpoint_callback: Checkpoint


@event("save")
class Save(Event):
    """Loggers are to write out what is buffered: ``save`` fires."""


@event("finalize")
class Finalize(Event):
    """The run is over for the loggers: ``finalize`` fires."""

    status: str
