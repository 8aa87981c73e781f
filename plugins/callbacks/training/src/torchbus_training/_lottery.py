"""The lottery ticket: what is not pruned goes back to the values it had before training. It knows of no trainer."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ._masks import Place, is_pruned

__all__ = ["Lottery"]


class Lottery:
    """Keeps first values of parameters, and puts pruned ones back to them.

    Args:
        places: the parameters.
        resample: whether to put them to fresh random values instead.
        each_time: whether to do so at each pruning, or at the first one only.
    """

    def __init__(self, places: Sequence[Place], resample: bool, each_time: bool) -> None:
        self.places = places
        self.each_time = each_time
        self.resample = resample
        self.has_rewound = False
        self.first = [getattr(module, name).detach().clone() for module, name in places]
        # copied now, since PyTorch cannot copy a pruned module
        unpruned = {id(module): module for module, name in places if not is_pruned((module, name))}
        self._modules = {key: copy.deepcopy(one) for key, one in unpruned.items()} if resample else {}

    def rewind(self) -> None:
        """Put back every parameter that has a mask, and leave the mask."""
        if self.has_rewound and not (self.each_time or self.resample):
            return
        self.has_rewound = True
        for (module, name), values in zip(self.places, self._values(), strict=True):
            if not is_pruned((module, name)):
                continue
            under = getattr(module, f"{name}_orig")
            with torch.no_grad():
                under.copy_(values)
            setattr(module, name, under * getattr(module, f"{name}_mask"))

    def _values(self) -> list[Tensor]:
        if not self.resample:
            return self.first
        fresh = {key: copy.deepcopy(one) for key, one in self._modules.items()}
        for one in fresh.values():
            _reset(one)
        return [
            getattr(fresh[id(module)], name).detach() if id(module) in fresh else first
            for (module, name), first in zip(self.places, self.first, strict=True)
        ]

    def restore(self, names: Sequence[str], first: Mapping[str, Tensor], has_rewound: bool) -> None:
        """Go on where another run was: its first values count, not those of this one."""
        self.has_rewound = has_rewound
        self.first = [first.get(name, values) for name, values in zip(names, self.first, strict=True)]


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
