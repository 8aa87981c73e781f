"""Hyperparameters as plain values, and the file ``hparams.yaml``."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

__all__ = ["HPARAMS_FILE", "as_mapping", "plain", "write_hparams"]

HPARAMS_FILE = "hparams.yaml"


def as_mapping(params: Any) -> dict[str, Any]:
    """Hyperparameters given as a mapping, a namespace, a dataclass object or ``None``, as a dict by name."""
    if params is None:
        return {}
    if isinstance(params, Namespace):
        return vars(params)
    if is_dataclass(params) and not isinstance(params, type):
        return {field.name: getattr(params, field.name) for field in fields(params)}
    return {str(name): value for name, value in params.items()}


def plain(value: Any) -> Any:
    """A value made of dicts, lists, text, numbers, booleans and ``None`` only; anything else as its ``str``."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)  # of a subclass, such as numpy's float, YAML would not know how to write it
    if isinstance(value, Mapping | Namespace) or (is_dataclass(value) and not isinstance(value, type)):
        return {name: plain(one) for name, one in as_mapping(value).items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(one) for one in value), key=str)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item())
    return str(value)


def write_hparams(folder: str, params: Mapping[str, Any]) -> None:
    """Write ``hparams.yaml`` in an existing folder, whole or not at all. Needs pyyaml."""
    # here: the contract itself has no use for it. types-PyYAML may or may not be there: both are fine
    import yaml  # type: ignore[import-untyped,unused-ignore]

    path = os.path.join(folder, HPARAMS_FILE)
    beside = f"{path}.tmp"
    with open(beside, "w", encoding="utf-8") as file:
        yaml.safe_dump(plain(params), file, default_flow_style=False, allow_unicode=True)
    os.replace(beside, path)
