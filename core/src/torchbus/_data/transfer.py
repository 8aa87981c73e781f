"""Move batches to a device, and convert their numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["convert_floats", "map_tensors", "move_data_to_device"]

T = TypeVar("T")


def map_tensors(data: Any, change: Callable[[Any], Any], leaf: Callable[[Any], bool] = torch.is_tensor) -> Any:
    """Rebuild nested lists, tuples, mappings and dataclasses with ``change`` applied to each ``leaf``.

    Args:
        data: the nested data; values that are neither container nor leaf are kept as they are.
        change: what to do with a leaf.
        leaf: tells what a leaf is; default: a tensor.
    """
    if leaf(data):
        return change(data)
    kind = type(data)
    if kind is list:
        return [map_tensors(item, change, leaf) for item in data]
    if isinstance(data, tuple):
        items = [map_tensors(item, change, leaf) for item in data]
        return kind(*items) if hasattr(data, "_fields") else kind(items)
    if isinstance(data, Mapping):
        changed = {key: map_tensors(value, change, leaf) for key, value in data.items()}
        if kind is dict:
            return changed
        if hasattr(data, "default_factory"):
            return kind(data.default_factory, changed)
        return kind(changed)
    if isinstance(data, list):
        return kind([map_tensors(item, change, leaf) for item in data])
    if is_dataclass(data) and not isinstance(data, type):
        changed_data = copy.copy(data)  # by the constructor, fields that it does not take would be lost
        for name in (one.name for one in fields(data) if hasattr(data, one.name)):
            object.__setattr__(changed_data, name, map_tensors(getattr(data, name), change, leaf))  # frozen ones too
        return changed_data
    return data


def move_data_to_device(batch: T, device: torch.device) -> T:
    """A batch on ``device``: its tensors, and whatever else in it has a ``to`` method.

    Copies from pinned memory to a GPU do not wait.
    """
    non_blocking = device.type not in ("cpu", "mps")

    def move(one: Any) -> Any:
        moved = one.to(device, non_blocking=True) if non_blocking and isinstance(one, Tensor) else one.to(device)
        # some libraries move in place and return nothing
        return one if moved is None else moved

    moved: T = map_tensors(batch, move, leaf=_is_movable)
    return moved


def _is_movable(one: Any) -> bool:
    return isinstance(one, Tensor) or callable(getattr(one, "to", None))


def convert_floats(batch: T, dtype: torch.dtype) -> T:
    """A batch with its floating point tensors in ``dtype``."""

    def convert(one: Tensor) -> Tensor:
        return one.to(dtype) if one.is_floating_point() else one

    converted: T = map_tensors(batch, convert)
    return converted
