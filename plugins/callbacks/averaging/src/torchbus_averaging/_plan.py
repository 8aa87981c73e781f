"""What stochastic weight averaging is told and asks: its settings' types, its schedule, how many epochs there will be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from torch import Tensor
from torchbus_hookspecs import MisconfigurationException

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["Average", "Rate", "ScheduleConfig", "checked_epochs", "epoch_or_fraction"]

Average = Callable[[Tensor, Tensor, Tensor], Tensor]


def _with_point(value: Any) -> Any:
    """Refuse ``1``: whoever writes a rate as a whole number has most likely taken it for another setting."""
    if isinstance(value, int):
        raise ValueError(f"a learning rate has a decimal point, as in {float(value)}")
    return value


def epoch_or_fraction(value: Any) -> Any:
    """Refuse what is neither an epoch nor a fraction."""
    if isinstance(value, int) and value < 1:
        raise ValueError("it should be an epoch, a whole number of at least 1, or a fraction between 0.0 and 1.0")
    if isinstance(value, float) and not 0 <= value <= 1:
        raise ValueError("it should be a fraction between 0.0 and 1.0, or an epoch, a whole number of at least 1")
    return value


Rate = Annotated[float, BeforeValidator(_with_point), Field(gt=0, allow_inf_nan=False)]


@dataclass
class ScheduleConfig:
    """How the trainer is told of a scheduler: once per epoch."""

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True


def checked_epochs(trainer: Trainer, name: str) -> int:
    """How many epochs there will be.

    Raises:
        MisconfigurationException: that is not known, or there is not exactly one rate to anneal.
    """
    automatic = trainer.lightning_module.automatic_optimization
    if len(trainer.optimizers) != 1 or len(trainer.lr_scheduler_configs) > 1 or not automatic:
        raise MisconfigurationException(
            f"{name} anneals the rate of one optimizer with at most one scheduler, in automatic optimization; the module"
            f" has {len(trainer.optimizers)} and {len(trainer.lr_scheduler_configs)}, in"
            f" {'automatic' if automatic else 'manual'} optimization."
        )
    if trainer.max_epochs is None or trainer.max_epochs == -1:
        raise MisconfigurationException(
            f"{name} averages over the last epochs, and this trainer has no last one. To fix: set max_epochs."
        )
    return trainer.max_epochs
