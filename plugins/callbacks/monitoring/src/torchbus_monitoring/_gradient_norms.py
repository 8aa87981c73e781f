"""Norms of gradients: each by itself, and of groups of them. Knows nothing of torchbus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["GradientNorms"]


class GradientNorms:
    """The norm of every gradient, computed on the device, and brought to the host in one go.

    Args:
        gradients: gradients by name.
        norm_type: which norm; infinity is the largest absolute value.
    """

    def __init__(self, gradients: Mapping[str, Tensor], norm_type: float) -> None:
        self.norm_type = norm_type
        some = {name: one for name, one in gradients.items() if one.numel()}
        self.names = list(some)
        self._norms = _norms(list(some.values()), norm_type)

    def read(self, groups: Mapping[str, Iterable[str]]) -> dict[str, float]:
        """The norms of all gradients by name, then those of groups of names taken together. Waits for the device once."""
        if not self.names:
            return {}
        place = {name: index for index, name in enumerate(self.names)}
        parts = [self._norms]
        for members in groups.values():
            chosen = self._norms[[place[name] for name in members if name in place]]
            norm = torch.linalg.vector_norm(chosen, self.norm_type) if chosen.numel() else chosen.new_zeros(())
            parts.append(norm.reshape(1))
        values: list[float] = torch.cat(parts).tolist()
        return dict(zip([*self.names, *groups], values, strict=True))


def _norms(gradients: list[Tensor], norm_type: float) -> Tensor:
    """One norm for each gradient, shape ``(len(gradients),)``, in 32 bits or more."""
    if not gradients:
        return torch.empty(0)
    # in 32 bits: a sum of squares of 16-bit numbers overflows early
    dense = [one.coalesce().values() if one.is_sparse else one for one in gradients]
    wide = [one.float() if one.dtype in (torch.float16, torch.bfloat16) else one for one in dense]
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, one in enumerate(wide):
        alike.setdefault((one.device, one.dtype), []).append(index)
    norms: dict[int, Tensor] = {}
    for indices in alike.values():
        found = torch._foreach_norm([wide[index] for index in indices], norm_type)
        norms.update(zip(indices, found, strict=True))
    first = norms[0]
    return torch.stack([norms[index].to(first) for index in range(len(wide))])
