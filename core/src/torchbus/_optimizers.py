"""Read what ``configure_optimizers`` returned."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ._errors import MisconfigurationException, did_you_mean
from ._types import LRSchedulerConfig

__all__ = ["NoOptimizer", "read_optimizers"]

_CONFIG_KEYS = {one.name for one in fields(LRSchedulerConfig)}
_FORMS = (
    "an optimizer, a list of optimizers, a pair of lists (optimizers and schedulers),"
    ' a dictionary {"optimizer": ..., "lr_scheduler": ...}, or a list of such dictionaries'
)


class NoOptimizer(Optimizer):
    """Stands where ``configure_optimizers`` returned nothing: it computes gradients and changes no parameter."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {})

    def step(self, closure: Any = None) -> Any:
        """Only call the closure."""
        return closure() if closure is not None else None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """There is nothing to clear."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to take back."""


def read_optimizers(returned: Any, automatic: bool) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """The optimizers and schedulers in any of the forms that ``configure_optimizers`` may return.

    Raises:
        MisconfigurationException: the form, or a scheduler's configuration, is not one of them.
        KeyError: a dictionary without ``"optimizer"``.
        AttributeError: what should be a scheduler is none.
        RuntimeError: several optimizers in automatic optimization.
    """
    optimizers, schedulers, monitor = _split(returned)
    configs = [_read_scheduler(one, monitor, automatic) for one in schedulers]
    for config in configs:
        owner = getattr(config.scheduler, "optimizer", None)
        if owner is not None and not any(owner is one for one in optimizers):
            raise MisconfigurationException(
                f"configure_optimizers returned a {type(config.scheduler).__name__} whose optimizer it did not return too."
                " To fix: build the scheduler with one of the returned optimizers."
            )
    if automatic and len(optimizers) > 1:
        raise RuntimeError(
            f"configure_optimizers returned {len(optimizers)} optimizers, and automatic optimization steps only one."
            " To fix: set self.automatic_optimization = False and step them in training_step."
        )
    return optimizers, configs


def _split(returned: Any) -> tuple[list[Optimizer], list[Any], str | None]:
    """Optimizers, schedulers as given, and a monitor given beside them."""
    if isinstance(returned, Optimizer):
        return [returned], [], None
    if isinstance(returned, Mapping):
        return _from_mapping(returned)
    if isinstance(returned, Sequence) and not isinstance(returned, str):
        items = list(returned)
        if len(items) == 2 and all(isinstance(item, list) for item in items):
            optimizers, schedulers = items
            if all(isinstance(one, Optimizer) for one in optimizers):
                return optimizers, schedulers, None
        if items and all(isinstance(item, Mapping) for item in items):
            parts = [_from_mapping(item) for item in items]
            return [p[0][0] for p in parts], [one for p in parts for one in p[1]], None
        if items and all(isinstance(item, Optimizer) for item in items):
            return items, [], None
    raise MisconfigurationException(f"configure_optimizers returned {returned!r}; it must return {_FORMS}, or None.")


def _from_mapping(given: Mapping[str, Any]) -> tuple[list[Optimizer], list[Any], str | None]:
    if "optimizer" not in given:
        raise KeyError(f"configure_optimizers returned a dictionary without 'optimizer'; it has {list(given)}.")
    unknown = set(given) - {"optimizer", "lr_scheduler", "monitor"}
    if unknown:
        names = ", ".join(f"`{one}`" for one in sorted(unknown))
        hints = "".join(did_you_mean(one, ["lr_scheduler", "optimizer", "monitor"]) for one in sorted(unknown))
        warnings.warn(f"configure_optimizers: the keys {names} mean nothing here and are ignored.{hints}", stacklevel=2)
    scheduler = given.get("lr_scheduler")
    schedulers = [] if scheduler is None else [scheduler]
    monitor = given.get("monitor")
    if monitor is not None and not isinstance(scheduler, Mapping) and scheduler is not None:
        schedulers = [{"scheduler": scheduler, "monitor": monitor}]
    return [given["optimizer"]], schedulers, monitor


def _read_scheduler(given: Any, monitor: str | None, automatic: bool) -> LRSchedulerConfig:
    config = dict(given) if isinstance(given, Mapping) else {"scheduler": given}
    if "scheduler" not in config:
        raise MisconfigurationException(
            f"configure_optimizers: the scheduler's configuration {config} lacks the key `scheduler`, the scheduler itself."
        )
    unknown = set(config) - _CONFIG_KEYS
    if unknown:
        names = ", ".join(f"`{one}`" for one in sorted(unknown))
        hints = "".join(did_you_mean(one, _CONFIG_KEYS) for one in sorted(unknown))
        warnings.warn(f"configure_optimizers: a scheduler's keys {names} are unknown and ignored.{hints}", stacklevel=2)
    read = LRSchedulerConfig(**{key: value for key, value in config.items() if key in _CONFIG_KEYS})
    if not callable(getattr(read.scheduler, "step", None)):
        raise AttributeError(
            f"configure_optimizers: {read.scheduler!r} is no learning rate scheduler: it has no method `step`."
        )
    if read.interval not in ("epoch", "step"):
        raise MisconfigurationException(
            f"configure_optimizers: a scheduler's interval is {read.interval!r}; it must be 'epoch' or 'step'."
        )
    if isinstance(read.scheduler, ReduceLROnPlateau) and automatic:
        read.reduce_on_plateau = True
        read.monitor = read.monitor or monitor
        if read.monitor is None:
            raise MisconfigurationException(
                "configure_optimizers: ReduceLROnPlateau needs a metric to follow. To fix: return"
                ' {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}.'
            )
    elif isinstance(read.scheduler, ReduceLROnPlateau):
        read.reduce_on_plateau = True
    return read
