"""Events of optimization: one for each hook of ``specs/optimization.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from collections.abc import Callable
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

__all__ = [
    "OptimizerStep",
    "BeforeZeroGrad",
    "OptimizerZeroGrad",
    "BeforeBackward",
    "Backward",
    "ManualBackward",
    "AfterBackward",
    "BeforeOptimizerStep",
    "ConfigureGradientClipping",
    "ClipGradients",
    "LrSchedulerStep",
    "ToggleOptimizer",
    "UntoggleOptimizer",
    "ToggledOptimizer",
]


@event("optimizer_step")
class OptimizerStep(RunEvent):
    """``optimizer_step`` fires."""

    epoch: int
    batch_idx: int
    optimizer: Optimizer
    optimizer_closure: Callable[[], Any] | None


@event("on_before_zero_grad")
class BeforeZeroGrad(RunEvent):
    """``on_before_zero_grad`` fires."""

    optimizer: Optimizer


@event("optimizer_zero_grad")
class OptimizerZeroGrad(RunEvent):
    """``optimizer_zero_grad`` fires."""

    epoch: int
    batch_idx: int
    optimizer: Optimizer


@event("on_before_backward")
class BeforeBackward(RunEvent):
    """``on_before_backward`` fires."""

    loss: Tensor


@event("backward")
class Backward(RunEvent):
    """``backward`` fires."""

    loss: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("manual_backward")
class ManualBackward(RunEvent):
    """``manual_backward`` fires."""

    loss: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("on_after_backward")
class AfterBackward(RunEvent):
    """``on_after_backward`` fires."""


@event("on_before_optimizer_step")
class BeforeOptimizerStep(RunEvent):
    """``on_before_optimizer_step`` fires."""

    optimizer: Optimizer


@event("configure_gradient_clipping")
class ConfigureGradientClipping(RunEvent):
    """``configure_gradient_clipping`` fires."""

    optimizer: Optimizer
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None


@event("clip_gradients")
class ClipGradients(RunEvent):
    """``clip_gradients`` fires."""

    optimizer: Optimizer
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None


@event("lr_scheduler_step")
class LrSchedulerStep(RunEvent):
    """``lr_scheduler_step`` fires."""

    scheduler: LRScheduler
    metric: Any


@event("toggle_optimizer")
class ToggleOptimizer(RunEvent):
    """``toggle_optimizer`` fires."""

    optimizer: Optimizer


@event("untoggle_optimizer")
class UntoggleOptimizer(RunEvent):
    """``untoggle_optimizer`` fires."""

    optimizer: Optimizer


@event("toggled_optimizer")
class ToggledOptimizer(RunEvent):
    """``toggled_optimizer`` fires."""

    optimizer: Optimizer
