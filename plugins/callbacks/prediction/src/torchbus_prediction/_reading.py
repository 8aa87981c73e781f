"""Read back what ``prediction_saver`` has written, in the order of the samples. Knows nothing of trainers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ._formats import FORMATS, Format, Record

__all__ = ["Place", "SavedPredictions", "find_files", "joined", "read_predictions"]

NAME = re.compile(r"predictions-loader(\d+)(?:-batch(\d+))?-rank(\d+)\.(pt|npy|csv)")


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """What a file's name says.

    Attributes:
        dataloader_idx: the loader, from 0.
        batch_idx: the batch in that loader, from 0; -1 for a file of all batches.
        rank: the process that predicted it.
    """

    dataloader_idx: int
    batch_idx: int
    rank: int

    def file_name(self, file_format: Format) -> str:
        """The name of the file."""
        batch = "" if self.batch_idx < 0 else f"-batch{self.batch_idx:06d}"
        return f"predictions-loader{self.dataloader_idx}{batch}-rank{self.rank}.{file_format}"


@dataclass(frozen=True, slots=True)
class SavedPredictions:
    """Predictions of one loader, of all ranks together.

    Attributes:
        values: predictions sample by sample: tensors are joined along their first dimension, lists one after the other,
            dictionaries and tuples by their parts. Where that cannot be done (predictions not one per
            sample, or of different widths): a list of what
            was saved for each batch.
        indices: the numbers of the samples in the dataset, ascending, each once; for a list of batches, a list of them
            for each. ``None`` where the loader does not choose by number: then the order is that of the batches.
    """

    values: Any
    indices: list[Any] | None


def find_files(folder: Path) -> dict[Place, Path]:
    """The files of predictions in a folder, in the order of loaders, batches and ranks."""
    matches = ((path, NAME.fullmatch(path.name)) for path in folder.iterdir()) if folder.is_dir() else ()
    found = {
        Place(int(match[1]), -1 if match[2] is None else int(match[2]), int(match[3])): path
        for path, match in matches
        if match
    }
    return dict(sorted(found.items()))


def read_predictions(dirpath: str | Path, dataloader_idx: int = 0) -> SavedPredictions:
    """The predictions that ``prediction_saver`` has written to a folder, of all batches and ranks.

    Samples that a distributed sampler handed out twice, to give each rank as many, come once.

    Args:
        dirpath: the folder.
        dataloader_idx: of which loader.

    Raises:
        FileNotFoundError: there are none.
    """
    files = find_files(Path(dirpath))
    chosen = [(place, path) for place, path in files.items() if place.dataloader_idx == dataloader_idx]
    if not chosen:
        there = sorted({place.dataloader_idx for place in files})
        raise FileNotFoundError(
            f"There are no predictions of loader {dataloader_idx} in {dirpath}; there are some of"
            f" {f'loaders {there}' if there else 'no loader'}."
        )
    records = [FORMATS[cast("Format", path.suffix[1:])][1](path) for _, path in chosen]
    whole = joined(records)
    numbers = [one.indices or [] for one in records]
    known = all(one.indices is not None for one in records)
    if whole is None or (known and [len(one) for one in numbers] != [_length(one.values) for one in records]):
        return SavedPredictions([one.values for one in records], numbers if known else None)
    if whole.indices is None:
        return SavedPredictions(whole.values, None)
    position = {number: place for place, number in enumerate(whole.indices)}
    order = sorted(position)
    return SavedPredictions(_picked(whole.values, [position[one] for one in order]), order)


def joined(records: Sequence[Record]) -> Record | None:
    """Several records as one, or ``None`` if their predictions are not one per sample, or do not fit together."""
    if not records or any(_length(one.values) is None for one in records):
        return None
    try:
        values = _join([one.values for one in records])
    except (RuntimeError, LookupError, TypeError, ValueError):  # batches of different forms, or of different widths
        return None
    numbers = [number for one in records for number in one.indices or ()]
    return Record(values, numbers if all(one.indices is not None for one in records) else None)


def _join(values: Sequence[Any]) -> Any:
    """The predictions of several batches as those of one."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Mapping):
        return {key: _join([one[key] for one in values]) for key in first}
    if isinstance(first, tuple):
        return tuple(_join(parts) for parts in zip(*values, strict=True))
    return [one for some in values for one in some]


def _length(values: Any) -> int | None:
    """How many samples these are predictions of; ``None`` if their parts do not agree on it."""
    if isinstance(values, Tensor):
        return len(values) if values.dim() else None
    if isinstance(values, list):
        return len(values)
    parts = list(values.values()) if isinstance(values, Mapping) else list(values) if isinstance(values, tuple) else []
    lengths = {_length(one) for one in parts}
    return lengths.pop() if len(lengths) == 1 else None


def _picked(values: Any, places: list[int]) -> Any:
    if isinstance(values, Tensor):
        return values[places]
    if isinstance(values, Mapping):
        return {key: _picked(one, places) for key, one in values.items()}
    if isinstance(values, tuple):
        return tuple(_picked(one, places) for one in values)
    return [values[place] for place in places]
