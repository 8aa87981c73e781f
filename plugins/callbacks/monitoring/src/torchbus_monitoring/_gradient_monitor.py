"""The callback ``gradient_monitor``: when gradients are measured, what the norms are called, and the alarm."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.optim import Optimizer
from torchbus_hookspecs import Callback, FailurePolicy, TorchbusError
from torchbus_hookspecs.settings import validated

from ._gradient_norms import GradientNorms
from ._records import current_step, is_train_step_due, send

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["GradientAlarm", "GradientMonitor"]

MAX_NAMES = 5


class GradientAlarm(TorchbusError, ValueError):
    """Gradients are NaN or infinite.

    Attributes:
        names: the parameters concerned.
    """

    def __init__(self, message: str, names: list[str]) -> None:
        super().__init__(message)
        self.names = names


@validated
class GradientMonitor(Callback):
    """Log the norms of the gradients: of each parameter, of each group of an optimizer, and of all together.

    They are those that the optimizer's step is about to use: of the whole accumulation window, unscaled, not clipped yet.
    Names are ``grad_norm/layer.weight``, ``grad_norm/pg1`` (or the group's ``name``) if there are several groups, and
    ``grad_norm/total``. With several optimizers ``SGD/`` or ``SGD-1/`` stands before the last two. The values are in
    ``trainer.callback_metrics`` too, so no logger is needed.

    Attributes:
        norms: the newest norms, by name.

    Raises:
        MisconfigurationException: a setting is wrong.
        GradientAlarm: a gradient is not finite, and ``non_finite`` is ``"raise"``.

    Source: torchbus's own.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    def __init__(
        self,
        norm_type: Annotated[
            float, Field(gt=0, description="Which norm: 2 for the length, `inf` for the largest absolute value.")
        ] = 2.0,
        every_n_steps: Annotated[
            int | None, Field(ge=1, description="Steps between two looks. Default: the steps that the trainer logs.")
        ] = None,
        per_parameter: Annotated[bool, Field(description="Log the norm of each parameter as well.")] = True,
        non_finite: Annotated[
            Literal["ignore", "warn", "raise"],
            Field(description="What to do when a gradient is NaN or infinite, in a step that is looked at."),
        ] = "warn",
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.every_n_steps = every_n_steps
        self.per_parameter = per_parameter
        self.non_finite = non_finite
        self.norms: dict[str, float] = {}
        if non_finite == "raise":
            self.__dict__["on_failure"] = "raise"  # an alarm that is to end the run must not be set aside

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Measure, if this step is one to look at; else do nothing at all."""
        if not self._is_due(trainer):
            return
        names = {id(one): name for name, one in pl_module.named_parameters()}
        grouped = [
            {names.get(id(one), f"parameter {index}"): one.grad for one in group["params"] if one.grad is not None}
            for index, group in enumerate(optimizer.param_groups)
        ]
        gradients = {name: grad for group in grouped for name, grad in group.items()}
        owner = _owner(trainer, optimizer)
        groups = {f"{owner}total": list(gradients)}
        if len(grouped) > 1:
            for index, (group, members) in enumerate(zip(optimizer.param_groups, grouped, strict=True)):
                groups[f"{owner}{group.get('name', f'pg{index + 1}')}"] = list(members)
        found = GradientNorms(gradients, self.norm_type).read(groups)
        self._alarm(trainer, [name for name in gradients if not math.isfinite(found[name])])
        wanted = found if self.per_parameter else {name: found[name] for name in groups if found}
        self.norms = {f"grad_norm/{name}": value for name, value in wanted.items()}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self.norms.items()})
        send(trainer, self.norms, current_step(trainer))

    def _is_due(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None:
            return is_train_step_due(trainer)
        return (current_step(trainer) + 1) % self.every_n_steps == 0

    def _alarm(self, trainer: Trainer, names: list[str]) -> None:
        scaler = trainer.scaler
        if not names or self.non_finite == "ignore" or (scaler is not None and scaler.get_scale() >= 1):
            return  # a gradient scaler that seeks its scale goes too far on purpose
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        message = (
            f"The gradients of {', '.join(names[:MAX_NAMES])}{more} are NaN or infinite in step {trainer.global_step} (epoch"
            f" {trainer.current_epoch}). To fix: lower the learning rate, or look at the batch; Trainer(detect_anomaly=True)"
            " names the operation, and the plugin `nan_guard` skips such steps."
        )
        if self.non_finite == "raise":
            raise GradientAlarm(message, names)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _owner(trainer: Trainer, optimizer: Optimizer) -> str:
    """What tells an optimizer's norms from those of others: nothing where there is one, else its class and number."""
    if len(trainer.optimizers) < 2:
        return ""
    alike = [one for one in trainer.optimizers if type(one) is type(optimizer)]
    number = next(index for index, one in enumerate(alike) if one is optimizer)
    return f"{type(optimizer).__name__}{f'-{number}' if number else ''}/"
