"""Find the parameters to prune, or check those that were given. It knows of no trainer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn import Parameter
from torchbus_hookspecs import MisconfigurationException

from ._masks import Place

__all__ = ["collect_places"]


def collect_places(root: nn.Module, given: Sequence[Place], names: Sequence[str]) -> Sequence[Place]:
    """The given parameters, checked; or all parameters of these names below ``root``.

    Raises:
        MisconfigurationException: one is no parameter of a module in ``root``, or there is none at all.
    """
    if given:
        known = {id(module) for module in root.modules()}
        for place in given:
            _check(place, known, root)
        return given
    found = [
        (module, name)
        for name in names  # in this order, which is Lightning's: random methods draw in it
        for module in root.modules()
        # a pruned one has its parameter under another name, and its value in the place
        if isinstance(getattr(module, name, None), Parameter) or hasattr(module, f"{name}_mask")
    ]
    if not found:
        raise MisconfigurationException(
            f"ModelPruning: no module in {type(root).__name__} has a parameter called {' or '.join(names)}."
            " To fix: name others in `parameter_names`, give `parameters_to_prune`, or make the layers before `setup`.",
            plugin="ModelPruning",
        )
    return found


def _check(place: Place, known: set[int], root: nn.Module) -> None:
    module, name = place
    where = f"ModelPruning: `parameters_to_prune` has ({type(module).__name__}, {name!r}),"
    if id(module) not in known:
        raise MisconfigurationException(
            f"{where} which is not part of {type(root).__name__}. To fix: take it from the module that is trained.",
            plugin="ModelPruning",
        )
    if not isinstance(getattr(module, name, None), Parameter) and not hasattr(module, f"{name}_mask"):
        known_names = ", ".join(dict(module.named_parameters(recurse=False))) or "none"
        raise MisconfigurationException(
            f"{where} and that is no parameter of it. It has: {known_names}.", plugin="ModelPruning"
        )
