"""Notice values that are not finite without waiting for the device. Knows nothing of torchbus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FiniteWatch", "Place", "largest"]

NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run a value was seen.

    Attributes:
        step: optimizer steps taken before it.
        epoch: the epoch, from 0.
        batch_idx: the batch within its epoch, from 0.
    """

    step: int
    epoch: int
    batch_idx: int


class FiniteWatch:
    """Notes which of the values shown to it was the first that is not finite.

    The note is kept on the device of the values: ``show`` starts a few small kernels and waits for nothing, ``look``
    waits once.
    """

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._first: dict[str, Tensor] = {}  # by kind: an index of the places, or NEVER

    def show(self, kind: str, value: Tensor, place: Place) -> None:
        """Note whether all of a value, of any shape, is finite."""
        if not self._places or self._places[-1] != place:
            self._places.append(place)
        now = torch.where(torch.isfinite(value).all(), NEVER, len(self._places) - 1)
        before = self._first.get(kind)
        self._first[kind] = now if before is None else torch.minimum(before, now)

    def look(self) -> dict[str, Place]:
        """The first place of each kind where a value was not finite, of those shown since the last look."""
        places, first = self._places, self._first
        self._places, self._first = [], {}
        if not first:
            return {}
        device = next(iter(first.values())).device
        indices: list[int] = torch.stack([one.to(device) for one in first.values()]).tolist()
        return {kind: places[index] for kind, index in zip(first, indices, strict=True) if index != NEVER}


def largest(gradients: Iterable[Tensor]) -> list[Tensor]:
    """The largest absolute values among gradients: one scalar for each number format and device there is.

    In contrast to a norm, they are finite wherever the gradients are: a sum of squares may overflow by itself.
    """
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for one in gradients:
        values = one.coalesce().values() if one.is_sparse else one
        if values.numel():
            alike.setdefault((values.device, values.dtype), []).append(values)
    return [torch.stack(torch._foreach_norm(some, float("inf"))).max() for some in alike.values()]
