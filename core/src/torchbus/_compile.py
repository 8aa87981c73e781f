"""Train with what ``torch.compile(module)`` returns.

torch wraps the module and compiles its ``forward`` alone, which no loop calls. So the module's own steps are compiled
instead, with the same backend and options, and the module itself is what the trainer works with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from ._adapters import overridden_methods
from ._module import LightningModule, as_written

__all__ = ["from_compiled", "to_uncompiled", "unwrapped"]

_COMPILED = ("forward", "training_step", "validation_step", "test_step", "predict_step")
_OUTSIDE = (
    "log", "print", "optimizers", "lr_schedulers", "manual_backward", "clip_gradients", "toggle_optimizer",
    "untoggle_optimizer",
)  # fmt: skip
"""Methods that steps call and that reach into the trainer: there is nothing in them to compile."""


def from_compiled(model: Any) -> LightningModule:
    """The module inside what ``torch.compile`` returned; from now on its ``forward`` and its steps run compiled.

    Raises:
        ValueError: it is not what ``torch.compile`` returns for a module.
    """
    if not _is_compiled(model):
        raise ValueError(f"from_compiled takes what torch.compile(module) returned, not {type(model).__qualname__}.")
    module = model._orig_mod
    if not isinstance(module, LightningModule):
        raise ValueError(
            f"from_compiled takes a compiled LightningModule; inside of this one is a {type(module).__qualname__}."
        )
    if module._compiler_ctx is None:
        methods = overridden_methods(module, LightningModule, _COMPILED)
        compiled = {name: model.dynamo_ctx(method) for name, method in methods.items()}
        compiled.update((name, _left_out(getattr(module, name))) for name in _OUTSIDE)
        own = {name: vars(module)[name] for name in compiled if name in vars(module)}
        module._compiler_ctx = {
            "compiler": "dynamo",
            "dynamo_ctx": model.dynamo_ctx,
            "names": list(compiled),
            "own": own,
        }
        vars(module).update(compiled)
    return module


def to_uncompiled(model: Any) -> LightningModule:
    """The module with its methods as they are written.

    Args:
        model: what ``torch.compile`` returned, or a module that was trained so.

    Raises:
        ValueError: it is not compiled.
    """
    module = model._orig_mod if _is_compiled(model) else model
    if not isinstance(module, LightningModule):
        raise ValueError(f"to_uncompiled takes a LightningModule, compiled or not, not {type(module).__qualname__}.")
    if module._compiler_ctx is not None:
        module.__dict__ = as_written(vars(module))
    elif module is model:
        raise ValueError(
            f"This {type(module).__qualname__} is required to be a compiled LightningModule, and it is not compiled."
        )
    return module


def unwrapped(model: Any) -> Any:
    """The module to train: out of its wrapper where it was compiled, else what was given."""
    if _is_compiled(model) and isinstance(model._orig_mod, LightningModule):
        return from_compiled(model)
    return model


def _left_out(method: Callable[..., Any]) -> Callable[..., Any]:
    left_out: Callable[..., Any] = torch.compiler.disable(method)  # type: ignore[no-untyped-call]  # torch's own
    return left_out


def _is_compiled(model: Any) -> bool:
    dynamo = sys.modules.get("torch._dynamo")  # seconds to import, and loaded where something was compiled
    return dynamo is not None and isinstance(model, dynamo.OptimizedModule)
