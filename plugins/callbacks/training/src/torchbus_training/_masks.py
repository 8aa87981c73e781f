"""Masks on parameters, by ``torch.nn.utils.prune``: set, read, written into plain weights. It knows of no trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle

__all__ = [
    "METHODS",
    "STRUCTURED",
    "Place",
    "accept_masked_state",
    "apply_mask",
    "full_names",
    "is_pruned",
    "plain_state",
    "remove_mask",
    "sparsity",
]

Place = tuple[nn.Module, str]
"""A module and the name of one of its parameters."""

METHODS: dict[str, tuple[type[prune.BasePruningMethod], Callable[..., nn.Module]]] = {
    "l1_unstructured": (prune.L1Unstructured, prune.l1_unstructured),
    "random_unstructured": (prune.RandomUnstructured, prune.random_unstructured),
    "ln_structured": (prune.LnStructured, prune.ln_structured),
    "random_structured": (prune.RandomStructured, prune.random_structured),
}
"""PyTorch's pruning methods by name: the class for all parameters at once, and the function for one."""

STRUCTURED = ("ln_structured", "random_structured")
"""Those that remove whole channels, so need to know along which dimension."""


def is_pruned(place: Place) -> bool:
    """Whether the parameter has a mask."""
    module, name = place
    return hasattr(module, f"{name}_mask")


def full_names(root: nn.Module, places: Sequence[Place]) -> list[str]:
    """The parameters' names within ``root``; for one that is not in it, its number."""
    prefixes = {id(module): name for name, module in root.named_modules()}
    names = [(prefixes.get(id(module), str(index)), name) for index, (module, name) in enumerate(places)]
    return [f"{prefix}.{name}" if prefix else name for prefix, name in names]


def plain_state(state: dict[str, Any]) -> dict[str, Any]:
    """A state dictionary with pruned weights in place of masks and the values under them."""
    plain = {}
    for key, value in state.items():
        if key.endswith("_mask") and f"{key.removesuffix('_mask')}_orig" in state:
            continue
        stem = key.removesuffix("_orig")
        mask = state.get(f"{stem}_mask") if stem != key else None
        plain[key if mask is None else stem] = value if mask is None else value * mask.to(value.dtype)
    return plain


def apply_mask(place: Place, mask: Tensor, original: Tensor) -> None:
    """Give a parameter without mask the mask and the values under it."""
    module, name = place
    parameter = getattr(module, name)
    with torch.no_grad():
        parameter.copy_(original)
    prune.custom_from_mask(module, name, mask.to(parameter.device))  # type: ignore[no-untyped-call]  # torch's


def remove_mask(place: Place) -> None:
    """Multiply the mask into the parameter."""
    prune.remove(*place)  # type: ignore[no-untyped-call]  # torch's


def accept_masked_state(place: Place) -> RemovableHandle:
    """Let a parameter without mask load a state that has one. Returns what ends it."""
    module, name = place

    def prepare(state: dict[str, Any], prefix: str, *_: Any) -> None:
        under, mask = f"{prefix}{name}_orig", f"{prefix}{name}_mask"
        if under in state and mask in state and not is_pruned(place):
            state[f"{prefix}{name}"] = state.pop(under) * state.pop(mask)

    # without underscore from torch 2.5 on
    handle: RemovableHandle = module._register_load_state_dict_pre_hook(prepare)  # type: ignore[no-untyped-call]  # torch's
    return handle


def sparsity(place: Place) -> tuple[int, int]:
    """How many values of a parameter are masked, and how many it has."""
    module, name = place
    mask = getattr(module, f"{name}_mask", None)
    if mask is None:
        return 0, getattr(module, name).numel()
    return int((mask == 0).sum()), mask.numel()
