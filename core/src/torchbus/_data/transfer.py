"""Move batches to a device, and convert their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

__all__ = ["convert_floats", "map_tensors", "move_data_to_device"]

T = TypeVar("T")


@runtime_checkable
class _Movable(Protocol):
    def to(self, *args: Any, **kwargs: Any) -> Any: ...


def map_tensors(data: Any, change: Callable[[Any], Any], leaf: type | tuple[type, ...] = Tensor) -> Any:
    """Rebuild nested lists, tuples, mappings and dataclasses with ``change`` applied to every ``leaf``.

    Containers without a leaf keep their identity; other values are kept as they are.
    """
    if isinstance(data, leaf):
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
        return kind(changed)  # type: ignore[call-arg]  # a mapping's own constructor
    if isinstance(data, list):
        return kind([map_tensors(item, change, leaf) for item in data])
    if is_dataclass(data) and not isinstance(data, type):
        return replace(
            data, **{f.name: map_tensors(getattr(data, f.name), change, leaf) for f in fields(data) if f.init}
        )
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

    moved: T = map_tensors(batch, move, leaf=(Tensor, _Movable))
    return moved


def convert_floats(batch: T, dtype: torch.dtype) -> T:
    """A batch with its floating point tensors in ``dtype``."""

    def convert(one: Tensor) -> Tensor:
        return one.to(dtype) if one.is_floating_point() else one

    converted: T = map_tensors(batch, convert)
    return converted
