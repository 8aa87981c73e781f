"""What torchbus does where neither the user nor a plugin says otherwise: the last implementation of each provider.

Each function is the default of the hook of its name; see ``torchbus_hookspecs.specs``. ``trainer`` is ``None`` when a
method of a module is called outside of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torchbus_hookspecs import hookimpl

from ._data.transfer import move_data_to_device
from ._errors import MisconfigurationException

if TYPE_CHECKING:
    import torch

default = hookimpl(trylast=True)


# ---- data -------------------------------------------------------------------------------------------------------------


@default
def transfer_batch_to_device(
    trainer: Any, pl_module: Any, batch: Any, device: torch.device, dataloader_idx: int
) -> Any:
    """Everything in the batch that has a ``to`` method moves."""
    return move_data_to_device(batch, device)


def _no_loader(trainer: Any, pl_module: Any) -> None:
    """There is no default loader: whoever asks for one says what is missing."""


train_dataloader = val_dataloader = test_dataloader = predict_dataloader = _no_loader


# ---- steps ------------------------------------------------------------------------------------------------------------


@default
def predict_step(trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
    """Call the module on the whole batch."""
    return pl_module(batch)


def _missing(name: str) -> Callable[..., Any]:
    def missing(trainer: Any, pl_module: Any, *values: Any) -> None:
        raise MisconfigurationException(
            f"{type(pl_module).__name__} has no `{name}`. To fix: define `def {name}(self, ...)` in the module."
        )

    return missing


training_step = _missing("training_step")
validation_step = _missing("validation_step")
test_step = _missing("test_step")
configure_optimizers = _missing("configure_optimizers")


# ---- modes ------------------------------------------------------------------------------------------------------------


@default
def on_validation_model_eval(trainer: Any, pl_module: Any) -> bool:
    """Evaluation mode for every submodule."""
    pl_module.eval()
    return True


@default
def on_validation_model_train(trainer: Any, pl_module: Any) -> bool:
    """Training mode for every submodule; without an override the loop restores each one's own mode instead."""
    pl_module.train()
    return True


@default
def on_validation_model_zero_grad(trainer: Any, pl_module: Any) -> bool:
    """Free the gradients, which validation does not need."""
    pl_module.zero_grad()
    return True


on_test_model_eval = default(lambda trainer, pl_module: on_validation_model_eval(trainer, pl_module))
on_test_model_train = default(lambda trainer, pl_module: on_validation_model_train(trainer, pl_module))
on_predict_model_eval = default(lambda trainer, pl_module: on_validation_model_eval(trainer, pl_module))


# ---- optimization -----------------------------------------------------------------------------------------------------


@default
def optimizer_step(
    trainer: Any,
    pl_module: Any,
    epoch: int,
    batch_idx: int,
    optimizer: Any,
    optimizer_closure: Callable[[], Any] | None,
) -> bool:
    """Step, letting the optimizer call the closure."""
    optimizer.step(optimizer_closure)
    return True


@default
def optimizer_zero_grad(trainer: Any, pl_module: Any, epoch: int, batch_idx: int, optimizer: Optimizer) -> bool:
    """Gradients are dropped, not filled with zeros."""
    optimizer.zero_grad()
    return True


@default
def backward(trainer: Any, pl_module: Any, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Call ``loss.backward()``.

    Raises:
        RuntimeError: the loss is no scalar, or depends on no parameter.
    """
    try:
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch's own
    except RuntimeError as error:
        explain_failure(loss, error)
        raise
    return True


def explain_failure(loss: Tensor, error: RuntimeError) -> None:
    """Say why a backward pass failed, where that is known; else leave the error to the caller.

    Raises:
        RuntimeError: the loss is no scalar, or depends on no parameter.
    """
    if loss.numel() != 1:
        raise RuntimeError(
            f"The loss has shape {tuple(loss.shape)}; only a scalar has gradients."
            " To fix: reduce it in training_step, for example with loss.mean()."
        ) from error
    if not loss.requires_grad:
        raise RuntimeError(
            "The loss depends on no parameter that needs gradients (requires_grad is False): was it detached, computed"
            " under no_grad, or is every parameter frozen? To fix: return the loss as the model computed it."
        ) from error


@default
def configure_gradient_clipping(
    trainer: Any,
    pl_module: Any,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> bool:
    """Clip as ``Trainer(gradient_clip_val=..., gradient_clip_algorithm=...)`` says."""
    if gradient_clip_val is not None:
        pl_module.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
    return True


@default
def clip_gradients(
    trainer: Any,
    pl_module: Any,
    optimizer: Optimizer,
    gradient_clip_val: float | None,
    gradient_clip_algorithm: str | None,
) -> bool:
    """By norm (of all gradients together) or by value (of each element).

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013, for the norm.
    """
    if gradient_clip_val is not None and gradient_clip_val > 0:
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        if gradient_clip_algorithm == "value":
            clip_grad_value_(parameters, gradient_clip_val)
        else:
            clip_grad_norm_(parameters, gradient_clip_val)
    return True


@default
def lr_scheduler_step(trainer: Any, pl_module: Any, scheduler: Any, metric: Any) -> bool:
    """Step, with the metric for a scheduler that wants one."""
    if metric is None:
        scheduler.step()
    else:
        scheduler.step(metric)
    return True
