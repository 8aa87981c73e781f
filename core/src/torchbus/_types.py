"""Names for types that several rooms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch.optim import Optimizer
from torchbus_hookspecs._types import StepOutput

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["LRSchedulerConfig", "OptimizerLRScheduler", "StepOutput"]

OptimizerLRScheduler: TypeAlias = (
    "Optimizer | Sequence[Optimizer] | dict[str, Any] | Sequence[dict[str, Any]]"
    " | tuple[Sequence[Optimizer], Sequence[Any]] | None"
)
"""What ``configure_optimizers`` may return."""


@dataclass
class LRSchedulerConfig:
    """A learning rate scheduler and when it steps.

    Attributes:
        scheduler: the scheduler.
        name: how monitors call it.
        interval: whether it steps per ``"epoch"`` or per ``"step"``.
        frequency: after how many epochs, or batches of an epoch.
        reduce_on_plateau: whether it is given a metric.
        monitor: that metric's name.
        strict: whether a missing metric is an error rather than a warning.
    """

    scheduler: LRScheduler | Any
    name: str | None = None
    interval: Literal["epoch", "step"] = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True
