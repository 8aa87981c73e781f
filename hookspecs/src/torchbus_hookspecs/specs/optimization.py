"""Inside one optimizer step, in automatic and in manual optimization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torchbus import LightningModule, Trainer

__all__ = [
    "optimizer_step",
    "on_before_zero_grad",
    "optimizer_zero_grad",
    "on_before_backward",
    "backward",
    "manual_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "clip_gradients",
    "lr_scheduler_step",
    "toggle_optimizer",
    "untoggle_optimizer",
    "toggled_optimizer",
]


@provider
def optimizer_step(
    trainer: Trainer,
    pl_module: LightningModule,
    epoch: int,
    batch_idx: int,
    optimizer: Optimizer,
    optimizer_closure: Callable[[], Any] | None,
) -> Any:
    """OptimizerStep."""


@broadcast
def on_before_zero_grad(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
    """BeforeZeroGrad."""


@provider
def optimizer_zero_grad(
    trainer: Trainer, pl_module: LightningModule, epoch: int, batch_idx: int, optimizer: Optimizer
) -> Any:
    """OptimizerZeroGrad."""


@broadcast
def on_before_backward(trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
    """BeforeBackward."""


@provider
def backward(
    trainer: Trainer, pl_module: LightningModule, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Backward."""


@provider
def manual_backward(
    trainer: Trainer, pl_module: LightningModule, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """ManualBackward."""


@broadcast
def on_after_backward(trainer: Trainer, pl_module: LightningModule) -> None:
    """AfterBackward."""


@broadcast
def on_before_optimizer_step(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
    """BeforeOptimizerStep."""


@provider
def configure_gradient_clipping(
    trainer: Trainer,
    pl_module: LightningModule,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> Any:
    """ConfigureGradientClipping."""


@provider
def clip_gradients(
    trainer: Trainer,
    pl_module: LightningModule,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> Any:
    """ClipGradients."""


@provider
def lr_scheduler_step(trainer: Trainer, pl_module: LightningModule, scheduler: LRScheduler, metric: Any) -> Any:
    """LrSchedulerStep."""


@provider
def toggle_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """ToggleOptimizer."""


@provider
def untoggle_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """UntoggleOptimizer."""


@provider
def toggled_optimizer(trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> Any:
    """ToggledOptimizer."""
