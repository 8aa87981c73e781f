"""One batch of training: forward, backward, and the optimizer's step.

The order is Lightning's: the optimizer's step contains the closure, the closure contains the training step, and gradients
are cleared after the forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torchbus_hookspecs.events import (
    AfterBackward,
    Backward,
    BeforeBackward,
    BeforeOptimizerStep,
    BeforeZeroGrad,
    ConfigureGradientClipping,
    OptimizerStep,
    OptimizerZeroGrad,
    TrainBatchEnd,
    TrainingStep,
)

from .._data.transfer import map_tensors
from .._defaults import backward as compute_gradients
from .._errors import MisconfigurationException
from .._optimizer import LightningOptimizer

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Optimization"]


STEP_EVENTS = (
    OptimizerStep, BeforeZeroGrad, OptimizerZeroGrad, BeforeBackward, Backward, AfterBackward, BeforeOptimizerStep,
    ConfigureGradientClipping,
)  # fmt: skip


class Optimization:
    """Runs training steps for one fit, in automatic or in manual optimization."""

    def __init__(self, trainer: Trainer) -> None:
        bus = trainer.bus
        self.trainer = trainer
        self.module = trainer.lightning_module
        self.progress = trainer.fit_loop.progress
        self.precision = trainer.precision_plugin
        self.automatic = self.module.automatic_optimization
        self.accumulate = trainer.accumulate_grad_batches
        self.training_step = bus.emitter(TrainingStep)
        self.optimizer_step = bus.emitter(OptimizerStep)
        self.before_zero_grad = bus.emitter(BeforeZeroGrad)
        self.optimizer_zero_grad = bus.emitter(OptimizerZeroGrad)
        self.before_backward = bus.emitter(BeforeBackward)
        self.backward = bus.emitter(Backward)
        self.after_backward = bus.emitter(AfterBackward)
        self.before_optimizer_step = bus.emitter(BeforeOptimizerStep)
        self.clip_gradients = bus.emitter(ConfigureGradientClipping)
        self.outputs: Any = {}
        self.batch: Any = None
        self.batch_idx = 0
        self._closure = self.forward_backward
        self._take_step = self.automatic_step if self.automatic else self.manual_step
        trainer.lightning_optimizers = [
            LightningOptimizer(one, self._take_step, self.module.toggle_optimizer, self.module.untoggle_optimizer)
            for one in trainer.optimizers
        ]
        self.optimizer = trainer.lightning_optimizers[0] if trainer.lightning_optimizers else None

    def prepare_epoch(self) -> None:
        """Decide what holds for every batch of the coming epoch."""
        self.accumulate = self.trainer.accumulate_grad_batches
        self.look()

    def look(self) -> None:
        """Decide what depends on who listens."""
        bus = self.trainer.bus
        self.changes_seen = bus.changes
        self.needs_outputs = bus.is_heard(TrainBatchEnd)
        self.is_plain = (
            self.automatic
            and self.accumulate == 1
            and self.precision.is_plain
            and self.trainer.gradient_clip_val is None
            and self.optimizer is not None
            and _steps_without_closure(self.optimizer.optimizer)
            and bus.is_left_to("torchbus", *STEP_EVENTS)
        )

    def run(self, batch: Any, batch_idx: int, is_accumulating: bool) -> Any:
        """Train on one batch; return the step's outputs, the loss detached."""
        self.batch, self.batch_idx = batch, batch_idx
        self.outputs = {}
        if self.changes_seen != self.trainer.bus.changes:
            self.look()
        if self.is_plain:
            self.plain_step()
        elif not self.automatic:
            self.run_manually()
        elif is_accumulating:
            self.forward_backward()
        elif self.optimizer is None:
            self.forward_backward()
            self.progress.global_step += 1
        else:
            trainer = self.trainer
            self.optimizer_step(trainer, self.module, self.progress.epoch, batch_idx, self.optimizer, self._closure)
            self.progress.global_step += 1
        self.batch = None
        return self.outputs

    def plain_step(self) -> None:
        """What the methods below come to when nobody implements or hears anything in between."""
        loss = self.compute_loss()
        optimizer = self.optimizer.optimizer  # type: ignore[union-attr]  # there is one, or this is not called
        optimizer.zero_grad()
        if loss is not None:
            compute_gradients(self.trainer, self.module, loss, (), {})
        optimizer.step()
        self.progress.global_step += 1

    # ---- automatic ---------------------------------------------------------------------------------------------------

    def forward_backward(self) -> Tensor | None:
        """The closure: loss and gradients of the batch under way. May be called several times for one step (LBFGS)."""
        trainer, module, batch_idx = self.trainer, self.module, self.batch_idx
        loss = self.compute_loss()
        if self.optimizer is not None and (self.accumulate == 1 or batch_idx % self.accumulate == 0):
            optimizer = self.optimizer.optimizer
            self.before_zero_grad(trainer, module, optimizer)
            self.optimizer_zero_grad(trainer, module, self.progress.epoch, batch_idx, optimizer)
        if loss is not None:
            self.run_backward(loss, (), {})
        return loss

    def compute_loss(self) -> Tensor | None:
        """Run the training step; keep its outputs."""
        precision = self.precision
        if precision.is_plain:
            returned = self.training_step(self.trainer, self.module, self.batch, self.batch_idx)
        else:
            with precision.forward_context():
                returned = self.training_step(self.trainer, self.module, self.batch, self.batch_idx)
        if returned is None:
            return None
        loss = returned if isinstance(returned, Tensor) else _loss_of(returned)
        if self.accumulate > 1:
            # by the whole window's length also in an epoch's last, shorter window
            loss = loss / self.accumulate
        if self.needs_outputs:
            self.outputs = {"loss": loss.detach()}
            if returned is not loss and isinstance(returned, Mapping):
                self.outputs.update((key, value) for key, value in returned.items() if key != "loss")
        return loss

    def run_backward(self, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The backward pass with its hooks."""
        trainer, module = self.trainer, self.module
        if self.precision.scaler is not None:
            loss = self.precision.scale(loss)
        self.before_backward(trainer, module, loss)
        self.backward(trainer, module, loss, args, kwargs)
        self.after_backward(trainer, module)

    def automatic_step(self, optimizer: Optimizer, closure: Any) -> Any:
        """What ``optimizer.step(closure)`` does in ``LightningModule.optimizer_step``."""
        trainer, module = self.trainer, self.module

        def closure_with_hooks() -> Any:
            result = closure()
            if self.precision.scaler is not None:
                self.precision.unscale(optimizer)
            self.before_optimizer_step(trainer, module, optimizer)
            value, algorithm = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            self.clip_gradients(trainer, module, optimizer, value, algorithm)
            return result

        return self.precision.step(optimizer, closure_with_hooks)

    # ---- manual ------------------------------------------------------------------------------------------------------

    def run_manually(self) -> None:
        """Run a training step that optimizes by itself; anything it returns is passed on."""
        with self.precision.forward_context():
            returned = self.training_step(self.trainer, self.module, self.batch, self.batch_idx)
        if isinstance(returned, Mapping):
            self.outputs = dict(returned)
        elif isinstance(returned, Tensor):
            self.outputs = {"loss": returned.detach()}
        elif returned is not None:
            raise MisconfigurationException(
                f"training_step returned {returned!r}; in manual optimization it may return a tensor, a dictionary or None."
            )
        self.outputs = map_tensors(self.outputs, Tensor.detach)

    def manual_step(self, optimizer: Optimizer, closure: Any) -> Any:
        """What ``optimizer.step(closure)`` does in a training step that optimizes by itself."""

        def closure_with_hooks() -> Any:
            result = closure()
            if self.precision.scaler is not None:
                self.precision.unscale(optimizer)
            self.before_optimizer_step(self.trainer, self.module, optimizer)
            return result

        stepped = self.precision.step(optimizer, closure_with_hooks)
        self.progress.global_step += 1
        return stepped


def _steps_without_closure(optimizer: Optimizer) -> bool:
    """Whether gradients may be computed before the step instead of inside it, with the same result."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", None)
    return type(optimizer).__module__.startswith("torch.optim.") and not hooks and not isinstance(optimizer, LBFGS)


def _loss_of(returned: Any) -> Tensor:
    loss = returned.get("loss") if isinstance(returned, Mapping) else None
    if not isinstance(loss, Tensor):
        what = f"a dictionary with {list(returned)}" if isinstance(returned, Mapping) else repr(returned)
        raise MisconfigurationException(
            f"training_step returned {what}. It must return the loss, a dictionary with the loss under the key `loss`,"
            " or None to skip the backward pass."
        )
    return loss
