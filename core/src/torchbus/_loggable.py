"""What may be logged: numbers, tensors of one element, and metrics of torchmetrics, which core knows by their looks only."""

from __future__ import annotations

import builtins
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ._data.transfer import map_tensors, move_data_to_device
from ._errors import MisconfigurationException, did_you_mean

__all__ = [
    "as_tensor",
    "computed",
    "default_float",
    "is_metric",
    "metric_items",
    "metric_path",
    "metric_state",
    "number",
    "reduction",
    "refuse_shape",
    "restored_metric",
    "scalar",
]

_REDUCTIONS: dict[Any, str] = {
    "mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max",
    torch.mean: "mean", torch.sum: "sum", torch.min: "min", torch.max: "max",
    builtins.sum: "sum", builtins.min: "min", builtins.max: "max",
}  # fmt: skip

_HALF = (torch.float16, torch.bfloat16)


def reduction(name: str, given: Any) -> str:
    """The reduction that is meant: ``"mean"``, ``"sum"``, ``"min"`` or ``"max"``.

    Raises:
        MisconfigurationException: none of them.
    """
    key = given.lower() if isinstance(given, str) else given
    try:
        found = _REDUCTIONS.get(key)
    except TypeError:  # something unhashable
        found = None
    if found is None:
        hint = did_you_mean(key, [one for one in _REDUCTIONS if isinstance(one, str)]) if isinstance(key, str) else ""
        raise MisconfigurationException(
            f"`self.log({name}, ..., reduce_fx={given!r})`: only `self.log(..., reduce_fx={{min,max,mean,sum}})` are"
            f" supported.{hint} For anything else log a metric of torchmetrics, or collect the values yourself and log the"
            " result at the epoch's end."
        )
    return found


# ---- numbers -----------------------------------------------------------------------------------------------------------


def number(name: str, value: Any) -> Tensor | float:
    """A value that is neither a plain tensor nor a float, as one of them.

    Raises:
        ValueError: it is not one number.
        TypeError: it is a complex number.
    """
    if isinstance(value, Tensor):
        plain: Tensor = value.detach().as_subclass(Tensor).clone()
        if plain.numel() != 1:
            refuse_shape(name, plain)
        return plain.reshape(())
    if isinstance(value, numbers.Number):
        return float(value)  # type: ignore[arg-type]  # complex numbers raise, as they should
    text = str(value)
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    raise ValueError(
        f"`self.log({name}, {shown})` was called, and a {type(value).__name__} cannot be logged under one name."
        " To fix: give a number, a tensor of one element, or a metric; for several values use self.log_dict."
    )


def refuse_shape(name: str, value: Tensor) -> NoReturn:
    """Say that a tensor is not one number.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        f"`self.log({name}, ...)`: the tensor must have a single element, and has shape {tuple(value.shape)}."
        " To fix: reduce it first, for example with .mean()."
    )


def default_float() -> torch.dtype:
    """The type that numbers are logged in: torch's default, and at least 32 bits."""
    dtype = torch.get_default_dtype()
    return torch.float32 if dtype in _HALF else dtype


def as_tensor(value: Any, dtype: torch.dtype) -> Tensor:
    """A logged value as a tensor of at least 32 bits; ``dtype`` is for what is no floating point tensor yet."""
    if not isinstance(value, Tensor):
        return torch.tensor(value, dtype=dtype)
    if not value.is_floating_point():
        return value.to(dtype)
    # half precision would lose what it adds up
    return value.float() if value.dtype in _HALF else value


def scalar(name: str, value: Tensor) -> float:
    """A metric as a number, for loggers, progress bars and return values. Waits for the device.

    Raises:
        ValueError: it has several elements, as the result of a metric object may.
    """
    if value.numel() != 1:
        raise ValueError(
            f"The metric `{name}` has shape {tuple(value.shape)}: it does not contain a single element, so that it can be"
            " handed to nobody as a number. To fix: log its elements one by one, or only for callbacks (logger=False)."
        )
    return value.item()


# ---- metrics of torchmetrics -------------------------------------------------------------------------------------------


def is_metric(value: Any) -> bool:
    """Whether this is a metric object: one that remembers what it computed for the last step."""
    return callable(value) and hasattr(value, "compute") and hasattr(value, "_forward_cache")


def metric_items(named: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The items of what ``log_dict`` was given: a dictionary, or a collection of metrics."""
    if getattr(named, "compute_groups", None):
        # metrics of one group share a state, which would be copied for each of them, at each step
        items: Iterable[tuple[str, Any]] = named.items(copy_state=False)  # type: ignore[call-arg]  # of torchmetrics
        return items
    return named.items()


def metric_path(name: str, metric: Any, module: nn.Module | None) -> str:
    """Where in the module a metric is.

    Raises:
        MisconfigurationException: nowhere. It may be another one at each step: nobody could tell the epoch's value.
    """
    named = () if module is None else module.named_modules()
    paths: dict[int, str] = {id(one): path for path, one in named if is_metric(one)}
    if id(metric) not in paths:
        known = f" (or pass `self.log({name}, ..., metric_attribute=name)` where `name` is one of {[*paths.values()]})"
        raise MisconfigurationException(
            f"`self.log({name}, ...)` was given a {type(metric).__name__} that the module does not hold. You can fix this by"
            f" setting an attribute for the metric in your `LightningModule`{known if paths else ''}."
        )
    return paths[id(metric)]


def computed(name: str, metric: Any, value: Any) -> Tensor | None:
    """What a metric computed, seen to be a tensor; ``None`` where it has nothing to say.

    Raises:
        ValueError: it is anything else.
    """
    if value is None or isinstance(value, Tensor):
        return value
    raise ValueError(
        f"The `compute()` return of {type(metric).__name__} logged as '{name}' must be a tensor, and is a"
        f" {type(value).__name__}. To fix: call compute() yourself at the epoch's end, and log its parts."
    )


def metric_state(metric: Any, module: nn.Module) -> dict[str, Any] | None:
    """What a metric object has seen, if it is part of the module."""
    paths = {id(one): path for path, one in module.named_modules()}
    values = getattr(metric, "metric_state", None)
    if values is None or id(metric) not in paths:
        return None
    seen = {"values": dict(values), "last": metric._forward_cache, "updates": metric._update_count}
    return {"path": paths[id(metric)], **map_tensors(seen, Tensor.detach)}


def restored_metric(state: Mapping[str, Any], module: nn.Module) -> Any:
    """The metric object that ``state`` is about, with what it had seen; ``None`` if the module has it no longer."""
    metric: Any = dict(module.named_modules()).get(state["path"])
    if hasattr(metric, "metric_state"):  # else the module was changed since
        for name, value in state["values"].items():
            setattr(metric, name, move_data_to_device(value, metric.device))
        metric._update_count, metric._forward_cache = state["updates"], state["last"]
        return metric
    return None
