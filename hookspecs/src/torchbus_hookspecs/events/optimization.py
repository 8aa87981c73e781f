"""Events of the optimizer step: one for each hook of ``specs/optimization.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

__all__ = [
    "AfterBackward",
    "Backward",
    "BeforeBackward",
    "BeforeOptimizerStep",
    "BeforeZeroGrad",
    "ClipGradients",
    "ConfigureGradientClipping",
    "LrSchedulerStep",
    "ManualBackward",
    "OptimizerStep",
    "OptimizerZeroGrad",
    "ToggleOptimizer",
    "ToggledOptimizer",
    "UntoggleOptimizer",
]


@event("optimizer_step")
class OptimizerStep(RunEvent):
    """An optimizer step is due: ``optimizer_step`` fires."""

    epoch: int
    batch_idx: int
    optimizer: Any
    optimizer_closure: Callable[[], Any] | None


@event("on_before_zero_grad")
class BeforeZeroGrad(RunEvent):
    """Gradients are about to be cleared: ``on_before_zero_grad`` fires."""

    optimizer: Optimizer


@event("optimizer_zero_grad")
class OptimizerZeroGrad(RunEvent):
    """Gradients are to be cleared: ``optimizer_zero_grad`` fires."""

    epoch: int
    batch_idx: int
    optimizer: Optimizer


@event("on_before_backward")
class BeforeBackward(RunEvent):
    """The backward pass is about to run: ``on_before_backward`` fires."""

    loss: Tensor


@event("backward")
class Backward(RunEvent):
    """The gradients of a loss are to be computed: ``backward`` fires."""

    loss: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("manual_backward")
class ManualBackward(RunEvent):
    """A manual training step asks for a backward pass: ``manual_backward`` fires."""

    loss: Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@event("on_after_backward")
class AfterBackward(RunEvent):
    """The backward pass is done: ``on_after_backward`` fires."""


@event("on_before_optimizer_step")
class BeforeOptimizerStep(RunEvent):
    """The optimizer is about to step: ``on_before_optimizer_step`` fires."""

    optimizer: Optimizer


@event("configure_gradient_clipping")
class ConfigureGradientClipping(RunEvent):
    """It is to be decided how gradients are clipped: ``configure_gradient_clipping`` fires."""

    optimizer: Optimizer
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None


@event("clip_gradients")
class ClipGradients(RunEvent):
    """Gradients are to be clipped: ``clip_gradients`` fires."""

    optimizer: Optimizer
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None


@event("lr_scheduler_step")
class LrSchedulerStep(RunEvent):
    """A learning rate scheduler is due: ``lr_scheduler_step`` fires."""

    scheduler: LRScheduler
    metric: Any


@event("toggle_optimizer")
class ToggleOptimizer(RunEvent):
    """Only one optimizer's parameters are to take gradients: ``toggle_optimizer`` fires."""

    optimizer: Optimizer


@event("untoggle_optimizer")
class UntoggleOptimizer(RunEvent):
    """All optimizers' parameters are to take gradients again: ``untoggle_optimizer`` fires."""

    optimizer: Optimizer


@event("toggled_optimizer")
class ToggledOptimizer(RunEvent):
    """A context manager is needed that toggles an optimizer: ``toggled_optimizer`` fires."""

    optimizer: Optimizer
