"""Saved predictions: one record per file, in three formats. Knows nothing of trainers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["FORMATS", "Format", "Record", "UnsuitableError", "on_cpu"]

Format = Literal["pt", "npy", "csv"]
INDEX_COLUMN = "sample"


class UnsuitableError(ValueError):
    """Predictions of a kind that the format cannot hold."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one file holds.

    Attributes:
        values: the predictions: tensors on the CPU, in dictionaries, tuples and lists.
        indices: the numbers of their samples in the dataset, or ``None`` where they are not known.
    """

    values: Any
    indices: list[Any] | None


def on_cpu(value: Any) -> Any:
    """The same with all tensors on the CPU, detached and without what a view would drag along; arrays as tensors.

    Raises:
        UnsuitableError: there is something in it that no format can hold.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(value.copy())
    if isinstance(value, Tensor):
        moved = value.detach().cpu()
        # a slice of a large tensor would be saved with all of it
        return moved.clone() if moved.untyped_storage().nbytes() > moved.numel() * moved.element_size() else moved
    if isinstance(value, Mapping):
        return {key: on_cpu(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(on_cpu(one) for one in value)
    if isinstance(value, list):
        return [on_cpu(one) for one in value]
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return value
    raise UnsuitableError(f"predictions are made of tensors and plain values; {_kind(value)} cannot be read back")


# ---- pt ---------------------------------------------------------------------------------------------------------------


def _write_pt(record: Record, path: Path) -> None:
    torch.save({"values": record.values, "indices": record.indices}, path)


def _read_pt(path: Path) -> Record:
    content = torch.load(path, map_location="cpu", weights_only=True)
    return Record(content["values"], content["indices"])


# ---- npy --------------------------------------------------------------------------------------------------------------


def _write_npy(record: Record, path: Path) -> None:
    if not isinstance(record.values, Tensor):
        raise UnsuitableError(f"it holds one tensor per file, and predictions are {_kind(record.values)}")
    values = record.values.float() if record.values.dtype is torch.bfloat16 else record.values  # numpy has no bfloat16
    with path.open("wb") as file:  # the array first, so that np.load(path) gives it; then the numbers of the samples
        np.save(file, values.numpy(), allow_pickle=False)
        if record.indices is not None:
            np.save(file, np.asarray(record.indices), allow_pickle=False)


def _read_npy(path: Path) -> Record:
    size = path.stat().st_size
    with path.open("rb") as file:
        values = torch.from_numpy(np.load(file, allow_pickle=False))
        indices = np.load(file, allow_pickle=False).tolist() if file.tell() < size else None
    return Record(values, indices)


# ---- csv --------------------------------------------------------------------------------------------------------------


def _write_csv(record: Record, path: Path) -> None:
    columns = dict(_columns(record.values, ""))
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise UnsuitableError(f"it holds one row per sample, and predictions have lengths {sorted(lengths)}")
    if record.indices is not None and {len(record.indices)} != lengths:
        raise UnsuitableError(
            f"it holds one row per sample: {len(record.indices)} samples have {lengths.pop()} predictions"
        )
    if record.indices is not None:
        columns = {INDEX_COLUMN: record.indices, **columns}
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))


def _columns(values: Any, name: str) -> Iterator[tuple[str, Sequence[Any]]]:
    if isinstance(values, Mapping):
        for key, one in values.items():
            yield from _columns(one, f"{name}.{key}" if name else str(key))
    elif isinstance(values, Tensor) and values.dim() == 1:
        yield name or "prediction", values.tolist()
    elif isinstance(values, Tensor) and values.dim() == 2:
        for index, column in enumerate(values.T.tolist()):
            yield f"{name or 'prediction'}.{index}", column
    elif isinstance(values, list) and not any(isinstance(one, Tensor | Mapping | list | tuple) for one in values):
        yield name or "prediction", values
    else:
        raise UnsuitableError(
            "it holds tensors of one or two dimensions, lists of plain values, and dictionaries of these; "
            f"`{name or 'prediction'}` is {_kind(values)}"
        )


def _read_csv(path: Path) -> Record:
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.reader(file)
        names = next(table)
        rows = list(table)
    columns: dict[str, Any] = {name: _parsed([row[place] for row in rows]) for place, name in enumerate(names)}
    indices = columns.pop(INDEX_COLUMN, None)
    values = {name: torch.tensor(one) if _is_numeric(one) else one for name, one in columns.items()}
    return Record(_without_only_name(_gathered(values)), indices)


def _parsed(texts: list[str]) -> list[Any]:
    """The cells of a column as numbers, if all of them are."""
    for kind in (int, float, {"True": True, "False": False}.__getitem__):
        try:
            return [kind(text) for text in texts]
        except (ValueError, KeyError):
            continue
    return texts


def _is_numeric(column: list[Any]) -> bool:
    return not any(isinstance(one, str) for one in column)


def _gathered(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns ``x.0, x.1, …`` as one tensor of two dimensions."""
    gathered: dict[str, Any] = {}
    for name, column in columns.items():
        stem, _, number = name.rpartition(".")
        if stem and number.isdigit() and isinstance(column, Tensor):
            gathered.setdefault(stem, []).append(column)
        else:
            gathered[name] = column
    return {
        name: torch.stack(one, dim=1) if isinstance(one, list) and one and isinstance(one[0], Tensor) else one
        for name, one in gathered.items()
    }


def _without_only_name(values: dict[str, Any]) -> Any:
    return values["prediction"] if list(values) == ["prediction"] else values


def _kind(value: Any) -> str:
    return f"a tensor of {value.dim()} dimensions" if isinstance(value, Tensor) else f"a {type(value).__name__}"


FORMATS: dict[Format, tuple[Callable[[Record, Path], None], Callable[[Path], Record]]] = {
    "pt": (_write_pt, _read_pt),
    "npy": (_write_npy, _read_npy),
    "csv": (_write_csv, _read_csv),
}
"""For each format: how a record is written, and how it is read."""
