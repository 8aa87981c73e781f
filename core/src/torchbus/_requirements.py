"""What an entry point needs of what it is given, and what it says when that is missing."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

from ._adapters import overridden_methods
from ._compile import unwrapped
from ._datamodule import LightningDataModule
from ._errors import MisconfigurationException
from ._module import LightningModule
from ._state import TrainerFn

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["check_entry", "check_model", "refuse_optimizer_index", "split_data"]


def check_model(model: Any, method: str) -> LightningModule:
    """The module to run: as given, or out of what ``torch.compile`` made of it.

    Raises:
        TypeError: it is no module.
    """
    module = unwrapped(model)
    if not isinstance(module, LightningModule):
        if model is None and method != "fit":
            raise TypeError(
                f"`Trainer.{method}()` requires a `LightningModule`: none was passed to it, and there was no run before whose"
                " module it could take. To fix: pass one."
            )
        found = "nothing" if model is None else f"{type(model).__module__}.{type(model).__qualname__}"
        if isinstance(model, type):
            found = f"the class {model.__qualname__} in place of an object, {model.__qualname__}(...)"
        raise TypeError(
            f"Trainer.{method}(): what it runs must be a `LightningModule`, and it was given {found}. To fix: pass one, or"
            " derive the class from torchbus.LightningModule."
        )
    return module


def split_data(method: str, loaders: Any, datamodule: Any, *more: Any) -> tuple[Any, LightningDataModule | None]:
    """Tell loaders and a datamodule apart.

    Raises:
        MisconfigurationException: both were given.
        TypeError: what was given as a datamodule is none.
    """
    if isinstance(loaders, LightningDataModule):
        loaders, datamodule = None, loaders
    if datamodule is not None and (loaders is not None or any(one is not None for one in more)):
        raise MisconfigurationException(
            f"Trainer.{method}() was given both loaders and a datamodule. To fix: pass one of them."
        )
    if datamodule is not None and not isinstance(datamodule, LightningDataModule):
        raise TypeError(
            f"Trainer.{method}(datamodule={datamodule!r}): it must be derived from torchbus.LightningDataModule."
        )
    return loaders, datamodule


def refuse_optimizer_index(module: LightningModule) -> None:
    """A ``training_step`` of Lightning 1's automatic optimization of several optimizers, which there is no more.

    Raises:
        RuntimeError: so it is.
    """
    if "optimizer_idx" in inspect.signature(module.training_step).parameters:
        raise RuntimeError(
            f"{type(module).__name__}.training_step takes `optimizer_idx`, and training with multiple optimizers is only"
            " supported with manual optimization. To fix: Remove the `optimizer_idx` argument from `training_step`, set"
            " self.automatic_optimization = False, and step self.optimizers() there."
        )


def check_entry(trainer: Trainer) -> None:
    """Refuse a module that lacks what the entry point needs.

    Raises:
        MisconfigurationException: so it is; the message says what to define.
    """
    module, fn = trainer.lightning_module, trainer.state.fn
    _refuse_removed_hooks(module)
    if fn == TrainerFn.FITTING:
        _require(trainer, "training_step")
        _require(trainer, "configure_optimizers")
        _check_validation(trainer)
        if trainer.accumulate_grad_batches == 0:
            raise ZeroDivisionError("Trainer(accumulate_grad_batches=0): a step of no batches. To fix: use at least 1.")
        if not module.automatic_optimization:
            _check_manual(trainer)
    elif fn == TrainerFn.VALIDATING:
        _require(trainer, "validation_step")
    elif fn == TrainerFn.TESTING:
        _require(trainer, "test_step")
    elif not trainer.bus.is_provided("predict_step") and not _has_forward(trainer):
        raise MisconfigurationException(
            f"{type(module).__name__} has neither `predict_step` nor `forward`, and predict() needs one of them."
        )


def _has_forward(trainer: Trainer) -> bool:
    # a module's own is called by torch, not by the bus
    own = overridden_methods(trainer.lightning_module, LightningModule, ["forward"])
    return bool(own) or trainer.bus.is_provided("forward")


def _require(trainer: Trainer, name: str) -> None:
    module, fn = trainer.lightning_module, trainer.state.fn
    if not trainer.bus.is_provided(name):
        arguments = ", ".join(("self", *_HINTED.get(name, ())))
        raise MisconfigurationException(
            f"{type(module).__name__} has no `{name}`, which {fn.value if fn else 'this'}() needs."
            f" To fix: define `def {name}({arguments})` in the module."
        )


_HINTED = dict.fromkeys(("training_step", "validation_step", "test_step"), ("batch", "batch_idx"))


def _refuse_removed_hooks(module: LightningModule) -> None:
    """Hooks of Lightning 1, which nobody calls: what is computed there would be missing without a word."""
    for name in ("training_epoch_end", "validation_epoch_end", "test_epoch_end"):
        if callable(getattr(module, name, None)):
            instead = f"on_{name.replace('training', 'train')}"
            raise NotImplementedError(
                f"{type(module).__name__}.{name} is a hook of Lightning 1 that was removed in version 2, and would never be"
                f" called. To fix: define `{instead}(self)`, and keep the outputs of the steps in an attribute."
            )


def _check_validation(trainer: Trainer) -> None:
    has_step = trainer.bus.is_provided("validation_step")
    has_loader = trainer.has_validation_loader
    if has_loader and not has_step:
        warnings.warn("There is a validation loader and no `validation_step`: validation is skipped.", stacklevel=3)
    if has_step and not has_loader:
        warnings.warn("There is a `validation_step` and no validation loader: validation is skipped.", stacklevel=3)


def _check_manual(trainer: Trainer) -> None:
    for name, value, instead in (
        ("gradient_clip_val", trainer.gradient_clip_val, "self.clip_gradients(optimizer, ...)"),
        ("accumulate_grad_batches", trainer.accumulate_grad_batches != 1, "step the optimizer every n-th batch"),
    ):
        if value:
            raise MisconfigurationException(
                f"Trainer({name}=...) is not supported for manual optimization, and {type(trainer.lightning_module).__name__}"
                f" optimizes by itself. To fix: leave it out, and do it in training_step: {instead}."
            )
