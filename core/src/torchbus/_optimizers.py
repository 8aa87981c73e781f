"""Read what ``configure_optimizers`` returned."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from ._errors import MisconfigurationException, did_you_mean
from ._types import LRSchedulerConfig

__all__ = ["NoOptimizer", "read_optimizers"]

_KEYS = ("optimizer", "lr_scheduler", "monitor")
_CONFIG_KEYS = tuple(one.name for one in fields(LRSchedulerConfig))
_TRAINER_KEYS = ("reduce_on_plateau", "monitor", "strict")
"""What only matters to the trainer when it steps a scheduler."""
_PROTOCOL = ("param_groups", "defaults", "state", "step", "zero_grad", "state_dict", "load_state_dict")
"""What an optimizer has, derived from torch's class or not."""
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


def read_optimizers(
    returned: Any, automatic: bool, has_scheduler_step: bool
) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """The optimizers and schedulers in any of the forms that ``configure_optimizers`` may return.

    Args:
        returned: what it returned.
        automatic: whether the trainer optimizes.
        has_scheduler_step: whether the module or a plugin says how to step a scheduler.

    Raises:
        MisconfigurationException: the form, or a scheduler's configuration, is not one of them.
        KeyError: a dictionary without ``"optimizer"``.
        AttributeError: what should be a scheduler is none.
        TypeError: a scheduler without a state.
        RuntimeError: several optimizers in automatic optimization.
    """
    optimizers, schedulers = _split(returned)
    configs = [_read_scheduler(given, monitor, automatic) for given, monitor in schedulers]
    if automatic:
        _check_count(optimizers)
    for config in configs:
        _check_scheduler(config.scheduler, optimizers, any_step=has_scheduler_step or not automatic)
    return optimizers, configs


def _split(returned: Any) -> tuple[list[Optimizer], list[tuple[Any, str | None]]]:
    """Optimizers, and schedulers as given, each with the monitor that was given beside it."""
    if _is_optimizer(returned):
        return [returned], []
    if isinstance(returned, Mapping):
        return _from_mapping(returned)
    if isinstance(returned, list | tuple):
        if len(returned) == 2 and isinstance(returned[0], list) and all(map(_is_optimizer, returned[0])):
            optimizers, schedulers = returned
            return optimizers, [(one, None) for one in (schedulers if isinstance(schedulers, list) else [schedulers])]
        if returned and all(isinstance(one, Mapping) for one in returned):
            parts = [_from_mapping(one) for one in returned]
            return [one for part in parts for one in part[0]], [one for part in parts for one in part[1]]
        if all(map(_is_optimizer, returned)):
            return list(returned), []
    raise MisconfigurationException(
        f"Unknown configuration for model optimizers: configure_optimizers returned {returned!r}; it must return {_FORMS},"
        " or None."
    )


def _from_mapping(given: Mapping[str, Any]) -> tuple[list[Optimizer], list[tuple[Any, str | None]]]:
    if "optimizer" not in given:
        raise KeyError(f"configure_optimizers returned a dictionary without 'optimizer'; it has {list(given)}.")
    _warn_of_unknown("the optimizer configuration", given, _KEYS)
    scheduler = given.get("lr_scheduler")
    return [given["optimizer"]], [] if scheduler is None else [(scheduler, given.get("monitor"))]


def _is_optimizer(given: Any) -> bool:
    """Whether it is an optimizer: by its class, or by what it can do."""
    return isinstance(given, Optimizer) or all(hasattr(given, name) for name in _PROTOCOL)


def _read_scheduler(given: Any, monitor: str | None, automatic: bool) -> LRSchedulerConfig:
    config = dict(given) if isinstance(given, Mapping) else {"scheduler": given}
    _warn_of_unknown("the lr scheduler dict", config, _CONFIG_KEYS)
    config = {key: value for key, value in config.items() if key in _CONFIG_KEYS}
    if "scheduler" not in config:
        raise MisconfigurationException(
            f"configure_optimizers: {given} is no configuration of a scheduler. The lr scheduler dict must have the key"
            ' "scheduler", the scheduler itself.'
        )
    if config.get("interval", "epoch") not in ("epoch", "step"):
        raise MisconfigurationException(
            f'configure_optimizers: a scheduler has interval {config["interval"]!r}. The "interval" key in lr scheduler dict'
            " must be 'epoch' or 'step'."
        )
    return _for_trainer(config, monitor) if automatic else _for_user(config)


def _for_trainer(config: dict[str, Any], monitor: str | None) -> LRSchedulerConfig:
    """The configuration of a scheduler that the trainer steps."""
    is_plateau = isinstance(config["scheduler"], ReduceLROnPlateau)
    read = LRSchedulerConfig(**{"reduce_on_plateau": is_plateau, **config})
    if read.reduce_on_plateau and read.monitor is None:
        read.monitor = monitor
        if monitor is None:
            raise MisconfigurationException(
                "What is returned from `configure_optimizers` must include a monitor when a `ReduceLROnPlateau` scheduler is"
                " used: the metric to follow. To fix: return"
                ' {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}.'
            )
    if isinstance(read.scheduler, OneCycleLR) and read.interval == "epoch":
        warnings.warn(
            "configure_optimizers: a OneCycleLR steps once per epoch, and its cycle is usually one of steps. Are you sure you"
            " didn't mean 'interval': 'step'?",
            RuntimeWarning,
            stacklevel=2,
        )
    return read


def _for_user(config: dict[str, Any]) -> LRSchedulerConfig:
    """The configuration of a scheduler that the module steps by itself."""
    ignored = [key for key in config if key in _TRAINER_KEYS]
    if ignored:
        warnings.warn(
            f"configure_optimizers: a scheduler's configuration has {ignored}, but the keys will be ignored, since in manual"
            " optimization the trainer does not step schedulers. Call its step() where it is due.",
            RuntimeWarning,
            stacklevel=2,
        )
    return LRSchedulerConfig(**{key: value for key, value in config.items() if key not in _TRAINER_KEYS})


def _warn_of_unknown(where: str, given: Iterable[str], known: Sequence[str]) -> None:
    unknown = sorted({*given} - {*known})
    if unknown:
        hints = "".join(did_you_mean(one, known) for one in unknown)
        names = ", ".join(repr(one) for one in unknown)
        warnings.warn(
            f"Found unsupported keys in {where}: {{{names}}}. They are ignored.{hints}", RuntimeWarning, stacklevel=2
        )


# ---- checks -------------------------------------------------------------------------------------------------------------


def _check_count(optimizers: list[Optimizer]) -> None:
    if len(optimizers) > 1:
        raise RuntimeError(
            f"configure_optimizers returned {len(optimizers)} optimizers, and training with multiple optimizers is only"
            " supported with manual optimization. To fix: set self.automatic_optimization = False, and step them in"
            " training_step."
        )
    if not optimizers:
        raise MisconfigurationException(
            "configure_optimizers returned an empty list. To fix: return an optimizer, or None to train without one."
        )


def _check_scheduler(scheduler: Any, optimizers: list[Optimizer], any_step: bool) -> None:
    """See that a scheduler works on a returned optimizer, has a state for checkpoints and, if needed, torch's ``step``."""
    name = type(scheduler).__name__
    if not hasattr(scheduler, "optimizer"):
        raise AttributeError(
            f"configure_optimizers: {scheduler!r} is no learning rate scheduler: it has no attribute `optimizer`."
        )
    if not any(scheduler.optimizer is one for one in optimizers):
        raise MisconfigurationException(
            f"configure_optimizers returned a {name} that is attached with an optimizer that wasn't returned too."
            " To fix: build the scheduler with one of the returned optimizers."
        )
    if not (hasattr(scheduler, "state_dict") and hasattr(scheduler, "load_state_dict")):
        raise TypeError(
            f"The provided lr scheduler `{name}` is invalid: checkpoints need its methods `state_dict` and"
            " `load_state_dict`. To fix: define both."
        )
    if not any_step and not isinstance(scheduler, LRScheduler | ReduceLROnPlateau):
        raise MisconfigurationException(
            f"The provided lr scheduler `{name}` doesn't follow PyTorch's LRScheduler: it is not derived from it, so the"
            " trainer cannot know how it steps. To fix: define `def lr_scheduler_step(self, scheduler, metric)` in the module."
        )
