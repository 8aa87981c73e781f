"""One batch of training: forward, backward, and the optimizer's step.

The order is Lightning's: the optimizer's step contains the closure, the closure contains the training step, and gradients
are cleared after the forward pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import _global_optimizer_pre_hooks  # there is no public way to see them
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

from .._bus import DEFAULTS_NAME
from .._errors import MisconfigurationException
from .._profiling import is_profiled, strategy_action, timed

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Optimization", "pre_hooks_of"]


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
        self._has_run = False
        self._warned_of_none = False
        self.run_backward = timed(trainer, strategy_action(trainer, "backward"), self.backward_with_hooks)
        is_automatic = self.module.automatic_optimization
        self.step = self.step_with_hooks if is_automatic else timed(trainer, "optimizer_step", self.step_with_hooks)
        self.look()

    def look(self) -> None:
        """Decide what depends on who listens, and on settings that hooks may change."""
        trainer, bus = self.trainer, self.trainer.bus
        self.changes_seen = bus.changes
        self.accumulate = trainer.accumulate_grad_batches
        self.automatic = self.module.automatic_optimization
        self.optimizer = trainer.lightning_optimizers[0] if trainer.lightning_optimizers else None
        self.plain_optimizer = self.optimizer.optimizer if self.optimizer is not None else None
        self.needs_outputs = bus.is_heard(TrainBatchEnd)
        # nobody implements or hears anything between the forward pass and the optimizer's step
        self._is_left_alone = (
            self.automatic
            and self.accumulate == 1
            and self.precision.is_plain
            and trainer.gradient_clip_val is None
            and not is_profiled(trainer)
            and bus.is_left_to(DEFAULTS_NAME, *STEP_EVENTS)
        )

    def is_plain(self) -> bool:
        """Whether a step is forward, backward, step, and nothing else; the optimizer's step is torch's own."""
        if self.changes_seen != self.trainer.bus.changes:
            self.look()
        optimizer = self.plain_optimizer
        return self._is_left_alone and optimizer is not None and _steps_without_closure(optimizer)

    def run(self, batch: Any, batch_idx: int, is_accumulating: bool) -> Any:
        """Train on one batch; return the step's outputs, the loss detached."""
        self.batch, self.batch_idx = batch, batch_idx
        self.outputs = {}
        if self.changes_seen != self.trainer.bus.changes:
            self.look()
        if not self.automatic:
            self.run_manually()
        elif is_accumulating:
            self.forward_backward()
        elif self.optimizer is None:
            self.forward_backward()
            self.progress.global_step += 1
        else:
            self.run_step(batch_idx)
        self.batch = None
        return self.outputs

    # ---- automatic ---------------------------------------------------------------------------------------------------

    def run_step(self, batch_idx: int) -> None:
        """The optimizer's step, around all else.

        Raises:
            MisconfigurationException: whoever makes the step did not call the closure.
        """
        self._has_run = False
        self.optimizer_step(self.trainer, self.module, self.progress.epoch, batch_idx, self.optimizer, self._closure)
        if not self._has_run:
            raise MisconfigurationException(
                "The closure hasn't been executed, so nothing was trained. To fix: where `optimizer_step` is overridden, call"
                " optimizer.step(closure=optimizer_closure); an optimizer of your own must call the closure in its `step`."
            )
        self.progress.global_step += 1

    @torch.enable_grad()  # optimizers step without gradients, and not all switch them on for the closure
    def forward_backward(self) -> Tensor | None:
        """The closure: loss and gradients of the batch under way. May be called several times for one step (LBFGS)."""
        self._has_run = True
        return self.go_back(self.compute_loss())

    def go_back(self, loss: Tensor | None) -> Tensor | None:
        """Clear gradients where a window begins, and compute new ones."""
        trainer, module, batch_idx = self.trainer, self.module, self.batch_idx
        if self.optimizer is not None and (self.accumulate == 1 or batch_idx % self.accumulate == 0):
            optimizer = self.optimizer.optimizer
            self.before_zero_grad(trainer, module, optimizer)
            self.optimizer_zero_grad(trainer, module, self.progress.epoch, batch_idx, optimizer)
        if loss is not None:
            self.run_backward(loss, (), {})
        return None if loss is None else loss.detach()

    def finish_step(self, returned: Any, batch: Any, batch_idx: int) -> None:
        """The rest of a step whose training step has run, with all hooks: somebody has asked for them in it."""
        assert self.optimizer is not None  # there is none to step without
        self.batch, self.batch_idx, self.outputs = batch, batch_idx, {}
        loss = self.take(returned)
        closure = torch.enable_grad()(lambda: self.go_back(loss))
        self.step_with_hooks(self.optimizer.optimizer, closure, {})
        self.batch = None

    def compute_loss(self) -> Tensor | None:
        """Run the training step; keep its outputs."""
        precision = self.precision
        if precision.is_plain:
            return self.take(self.training_step(self.trainer, self.module, self.batch, self.batch_idx))
        with precision.forward_context():
            return self.take(self.training_step(self.trainer, self.module, self.batch, self.batch_idx))

    def take(self, returned: Any) -> Tensor | None:
        """The loss in what the training step returned, if there is one; the outputs are kept where somebody wants them."""
        if returned is None:
            self._warn_of_none()
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

    def backward_with_hooks(self, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The backward pass with its hooks."""
        trainer, module = self.trainer, self.module
        if self.precision.scaler is not None:
            loss = self.precision.scale(loss)
        self.before_backward(trainer, module, loss)
        self.backward(trainer, module, loss, args, kwargs)
        self.after_backward(trainer, module)

    def _warn_of_none(self) -> None:
        if not self._warned_of_none and not self.outputs:  # there are some where a plugin took the loss away
            self._warned_of_none = True
            warnings.warn(
                "training_step returned None: there is no loss to go back from. On purpose, that skips a batch; else add"
                " the missing `return loss`.",
                UserWarning,
                stacklevel=2,
            )

    # ---- the step itself ---------------------------------------------------------------------------------------------

    def step_with_hooks(self, optimizer: Optimizer, closure: Callable[[], Any], kwargs: dict[str, Any]) -> Any:
        """What ``step(closure, **kwargs)`` of the optimizer that users are handed does."""
        trainer, module, precision = self.trainer, self.module, self.precision
        automatic = module.automatic_optimization

        def closure_with_hooks() -> Any:
            result = closure()
            if precision.scaler is not None:
                precision.unscale(optimizer)
            self.before_optimizer_step(trainer, module, optimizer)
            if automatic:
                value, algorithm = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                self.clip_gradients(trainer, module, optimizer, value, algorithm)
            return result

        stepped = precision.step(optimizer, closure_with_hooks, **kwargs)
        if not automatic:
            self.progress.global_step += 1
        return stepped

    # ---- manual ------------------------------------------------------------------------------------------------------

    def run_manually(self) -> None:
        """Run a training step that optimizes by itself; anything it returns is passed on."""
        with self.precision.forward_context():
            returned = self.training_step(self.trainer, self.module, self.batch, self.batch_idx)
        if isinstance(returned, Mapping):
            self.outputs = dict(returned)
        elif isinstance(returned, Tensor):
            self.outputs = {"loss": returned}
        elif returned is not None:
            raise MisconfigurationException(
                f"training_step returned {returned!r}; in manual optimization it must either return a Tensor, a dictionary,"
                " or have no return."
            )
        loss = self.outputs.get("loss")
        if isinstance(loss, Tensor):
            self.outputs["loss"] = loss.detach()


def _steps_without_closure(optimizer: Optimizer) -> bool:
    """Whether gradients may be computed before the step instead of inside it, with the same result."""
    # schedulers put a step in the place of the class's that counts calls
    is_replaced = "step" in vars(optimizer) and not hasattr(optimizer.step, "_wrapped_by_lr_sched")
    is_of_torch = type(optimizer).__module__.startswith("torch.optim.") and not isinstance(optimizer, LBFGS)
    return is_of_torch and not is_replaced and not any(pre_hooks_of(optimizer))


def pre_hooks_of(optimizer: Optimizer) -> tuple[Collection[Any], Collection[Any]]:
    """What runs before its steps: its own hooks, and those of all optimizers. They change while these are held."""
    return getattr(optimizer, "_optimizer_step_pre_hooks", ()), _global_optimizer_pre_hooks


def _loss_of(returned: Any) -> Tensor:
    loss = returned.get("loss") if isinstance(returned, Mapping) else None
    if not isinstance(loss, Tensor):
        if isinstance(returned, Mapping):
            what = f"a dictionary with {list(returned)}, where the 'loss' key needs to be present and hold a tensor"
        else:
            what = repr(returned)
        raise MisconfigurationException(
            f"training_step returned {what}. It must return a Tensor, a dict, or None: the loss, a dictionary with the loss"
            " under the key `loss`, or nothing to skip the backward pass."
        )
    return loss
