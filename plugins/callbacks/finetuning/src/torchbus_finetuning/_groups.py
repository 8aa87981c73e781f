"""Parameter groups: add some to a running optimizer, tell its schedulers, write them down and build them again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

__all__ = [
    "add_group",
    "build_groups",
    "describe_groups",
    "filter_on_optimizer",
    "tell_schedulers",
    "with_inner",
    "without_present",
]


def without_present(optimizer: Optimizer, params: Iterable[Parameter]) -> list[Parameter]:
    """Those of ``params`` that the optimizer does not have yet."""
    present = {id(one) for group in optimizer.param_groups for one in group["params"]}
    return [one for one in params if id(one) not in present]


def filter_on_optimizer(optimizer: Optimizer, params: Iterable[Parameter]) -> list[Parameter]:
    """Those of ``params`` that the optimizer does not have yet, with a warning if it has some."""
    given = list(params)
    missing = without_present(optimizer, given)
    if len(missing) < len(given):
        warnings.warn(
            f"{len(given) - len(missing)} of {len(given)} parameters to be added are in the optimizer already and stay in"
            " their group, at its rate. To give them their own, leave them out in configure_optimizers:"
            " filter(lambda one: one.requires_grad, self.parameters()).",
            UserWarning,
            stacklevel=3,
        )
    return missing


def add_group(optimizer: Optimizer, params: list[Parameter], lr: float) -> None:
    """Add a group of parameters at a rate, if there are any."""
    if params:
        optimizer.add_param_group({"params": params, "lr": lr})


def with_inner(schedulers: Iterable[Any]) -> Iterator[Any]:
    """Schedulers, and before each those that it is made of (``SequentialLR``, ``ChainedScheduler``)."""
    for one in schedulers:
        yield from with_inner(getattr(one, "_schedulers", ()))
        yield one


def tell_schedulers(optimizer: Optimizer, schedulers: Iterable[Any]) -> None:
    """Extend what schedulers keep for each group to the groups added since.

    A new group follows the curve of the first one, from its own present rate. Without this, schedulers that compute
    rates from the initial ones skip new groups or fail, and ``ReduceLROnPlateau`` fails at its first reduction.
    """
    groups = optimizer.param_groups
    for one in with_inner(schedulers):
        if getattr(one, "optimizer", None) is not optimizer:
            continue
        if isinstance(one, LRScheduler) and getattr(one, "base_lrs", None):
            for group in groups[len(one.base_lrs) :]:
                first = groups[0]["lr"]
                group["initial_lr"] = group["lr"] * one.base_lrs[0] / first if first else group["lr"]
                one.base_lrs.append(group["initial_lr"])
        for name in ("lr_lambdas", "min_lrs"):
            values = getattr(one, name, None)
            if values and len(values) < len(groups):
                setattr(one, name, [*values, *[values[0]] * (len(groups) - len(values))])


def describe_groups(optimizer: Optimizer, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The groups of an optimizer with the names of their parameters, as plain values.

    Args:
        optimizer: the optimizer.
        names: the names of the module's parameters by ``id``.
    """
    return [
        {**group, "params": [names[id(one)] for one in group["params"] if id(one) in names]}
        for group in optimizer.param_groups
    ]


def build_groups(described: Iterable[Mapping[str, Any]], parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """The groups that ``describe_groups`` described, with the parameters of a module.

    Raises:
        KeyError: the module has no parameter of a name.
    """
    return [{**group, "params": [parameters[name] for name in group["params"]]} for group in described]
