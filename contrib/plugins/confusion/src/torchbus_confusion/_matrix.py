"""The counting and the text. Nothing here knows of torchbus.

Shapes: N samples, C classes. ``counts[t, p]`` is how often the class ``t`` was taken for ``p``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Confusion", "count", "most_confused", "render"]

WIDEST = 20
"""More classes than this make no readable matrix: then only the pairs are listed."""


class Confusion(NamedTuple):
    """One kind of mistake: ``times`` out of ``total`` samples of the class ``target`` were taken for ``pred``."""

    target: int
    pred: int
    times: int
    total: int


def count(counts: Tensor, preds: Tensor, target: Tensor) -> Tensor:
    """Add samples to ``counts``, which grows with the classes seen.

    Args:
        counts: shape ``(C, C)``, whole numbers, on the CPU.
        preds: predicted classes, shape ``(N,)``, or a score for each class, shape ``(N, C)``.
        target: true classes, shape ``(N,)``.

    Raises:
        ValueError: the shapes do not fit together, or a class is negative.
    """
    if preds.ndim == target.ndim + 1:
        preds = preds.argmax(-1)
    preds, target = preds.reshape(-1).long().cpu(), target.reshape(-1).long().cpu()
    if preds.shape != target.shape:
        raise ValueError(f"{len(preds)} predictions and {len(target)} targets; there must be one of each for a sample")
    if not len(target):
        return counts
    if min(int(preds.min()), int(target.min())) < 0:
        raise ValueError("a class is negative; classes are numbered from 0")
    size = max(len(counts), int(preds.max()) + 1, int(target.max()) + 1)
    grown = counts.new_zeros(size, size)
    grown[: len(counts), : len(counts)] = counts
    return grown + torch.bincount(target * size + preds, minlength=size * size).reshape(size, size)


def most_confused(counts: Tensor, worst: int) -> list[Confusion]:
    """The most frequent mistakes, the worst first, at most ``worst`` of them."""
    wrong = counts.clone().fill_diagonal_(0)
    order = wrong.flatten().sort(descending=True, stable=True).indices[:worst].tolist()
    cells = [divmod(cell, len(counts)) for cell in order]
    return [Confusion(t, p, int(wrong[t, p]), int(counts[t].sum())) for t, p in cells if wrong[t, p]]


def render(counts: Tensor, names: Sequence[str], worst: int) -> str:
    """The matrix (rows are true classes, columns predicted ones, a dot is zero) and the most confused pairs."""
    total, right = int(counts.sum()), int(counts.trace())
    names = [*names, *map(str, range(len(names), len(counts)))]
    lines = [f"{right} of {total} right ({right / max(total, 1):.1%}); rows: true class, columns: predicted"]
    if len(counts) <= WIDEST:
        width = max(2, *(len(name) for name in names), len(str(int(counts.max()))))
        lines.append("  ".join(name.rjust(width) for name in ["", *names]))
        for name, row in zip(names, counts.tolist(), strict=True):
            lines.append("  ".join(cell.rjust(width) for cell in [name, *(str(n) if n else "." for n in row)]))
    for one in most_confused(counts, worst):
        lines.append(f"{names[one.target]} taken for {names[one.pred]}: {one.times} of {one.total}")
    return "\n".join(lines)
