"""Freeze and unfreeze parts of a model. Nothing here knows of a trainer or an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from torch import nn
from torch.nn import Module, Parameter
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Modules", "filter_params", "flatten_modules", "freeze", "freeze_module", "make_trainable", "switch"]

Modules: TypeAlias = "Module | Iterable[Modules]"
"""A module, or modules in any nesting of lists."""


def flatten_modules(modules: Modules) -> list[Module]:
    """All modules in ``modules`` that hold parameters themselves or have no children, each once."""
    if isinstance(modules, nn.ModuleDict):
        modules = modules.values()
    if isinstance(modules, Module):
        found = modules.modules()
    else:
        found = (one for each in modules for one in flatten_modules(each))
    # a module may be reached on two ways; a dictionary keeps the order
    return list(dict.fromkeys(one for one in found if one._parameters or next(one.children(), None) is None))


def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[Parameter]:
    """The parameters in ``modules`` that are trainable (or, with ``requires_grad=False``, frozen).

    Args:
        modules: where to look.
        train_bn: whether those of batch normalization count.
        requires_grad: which ones.
    """
    for one in flatten_modules(modules):
        if isinstance(one, _BatchNorm) and not train_bn:
            continue
        yield from (each for each in one.parameters(recurse=False) if each.requires_grad == requires_grad)


def freeze_module(module: Module) -> None:
    """Freeze the parameters that a module itself holds; batch normalization stops tracking its statistics too."""
    switch(module, trainable=False)


def freeze(modules: Modules, train_bn: bool = True) -> None:
    """Freeze modules.

    Args:
        modules: which ones.
        train_bn: leave batch normalization trainable.
    """
    for one in flatten_modules(modules):
        switch(one, trainable=isinstance(one, _BatchNorm) and train_bn)


def make_trainable(modules: Modules) -> None:
    """Unfreeze modules; batch normalization tracks its statistics again."""
    for one in flatten_modules(modules):
        switch(one, trainable=True)


def switch(module: Module, trainable: bool) -> None:
    """Freeze or unfreeze the parameters that a module itself holds."""
    if isinstance(module, _BatchNorm):
        module.track_running_stats = trainable
    for parameter in module.parameters(recurse=False):
        # whole numbers, as in quantized layers, have no gradient to switch on
        parameter.requires_grad = trainable and (parameter.is_floating_point() or parameter.is_complex())
