"""What is written of a value: something small that JSON can hold. Of a tensor never its values: reading them would wait for
the device. Knows nothing of torchbus.
"""

from __future__ import annotations

import math
import os
import sys
from collections import UserDict
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

import torch

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "MAX_PARTS", "MAX_TEXT", "summary"]

MAX_TEXT = 200
"""Characters of a text."""
MAX_ITEMS = 16
"""Items of one collection."""
MAX_DEPTH = 4
"""Collections inside of collections."""
MAX_PARTS = 64
"""Values in all."""


def summary(value: object) -> Any:
    """What JSON can hold of a value, whatever it is.

    Numbers and texts are themselves, collections and dataclasses their items, tensors and arrays their dtype, shape and
    device, exceptions their class and message. Of anything else there is the name of its class: ``"<SGD>"``.
    """
    return _Summary().of(value, 0)


class _Summary:
    """One summary under way."""

    __slots__ = ("_parts_left",)

    def __init__(self) -> None:
        self._parts_left = MAX_PARTS

    def of(self, value: object, depth: int) -> Any:
        self._parts_left -= 1
        try:
            return self._read(value, depth)
        except Exception:  # a stranger's property, a tensor that has no shape: anything may raise, and nothing is lost
            return _class_of(value)

    def _read(self, value: object, depth: int) -> Any:
        match value:
            case None | bool():
                return value
            case int():  # a longer one may be refused when it is made text
                return int(value) if -(2**63) <= value < 2**64 else _class_of(value)
            case float():  # JSON has no NaN
                return float(value) if math.isfinite(value) else str(float(value))
            case str():
                return _short(str(value))
            case torch.Tensor():
                dtype = str(value.dtype).removeprefix("torch.")
                return {"dtype": dtype, "shape": list(value.shape), "device": str(value.device)}
            case torch.device() | torch.dtype():
                return str(value).removeprefix("torch.")
            case BaseException():
                return {"exception": type(value).__name__, "message": _short(str(value))}
            case os.PathLike():
                return _short(os.fsdecode(value))
        if _is_array(value):
            return {"dtype": str(value.dtype), "shape": list(value.shape)}  # type: ignore[attr-defined]  # numpy's
        return self._items(value, depth)

    def _items(self, value: object, depth: int) -> Any:
        """A collection, read by the methods of its builtin class: those of a subclass may do anything."""
        match value:
            case UserDict():
                return self._items(value.data, depth)
            case dict():
                return self._mapping(dict.items(value), dict.__len__(value), value, depth)
            case list():
                return self._sequence(list.__iter__(value), list.__len__(value), value, depth)
            case tuple():
                return self._sequence(tuple.__iter__(value), tuple.__len__(value), value, depth)
        if is_dataclass(value) and not isinstance(value, type):
            names = [one.name for one in fields(value)]
            return self._mapping(((name, getattr(value, name)) for name in names), len(names), value, depth)
        return _class_of(value)

    def _mapping(self, items: Iterable[tuple[Any, Any]], length: int, value: object, depth: int) -> Any:
        if not self._has_room(depth):
            return f"<{type(value).__name__} of {length}>"
        found = {_key(key): self.of(one, depth + 1) for key, one in islice(items, MAX_ITEMS) if self._parts_left > 0}
        return found if len(found) == length else {**found, "...": f"{length - len(found)} more"}

    def _sequence(self, items: Iterator[Any], length: int, value: object, depth: int) -> Any:
        if not self._has_room(depth):
            return f"<{type(value).__name__} of {length}>"
        found = [self.of(one, depth + 1) for one in islice(items, MAX_ITEMS) if self._parts_left > 0]
        return found if len(found) == length else [*found, f"... {length - len(found)} more"]

    def _has_room(self, depth: int) -> bool:
        return depth < MAX_DEPTH and self._parts_left > 0


def _class_of(value: object) -> str:
    return f"<{type(value).__name__}>"


def _key(key: object) -> str:
    return _short(str(key)) if isinstance(key, str | int | float | None) else _class_of(key)


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def _is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")  # who has an array has imported it
    return numpy is not None and isinstance(value, numpy.ndarray)
