"""Summaries outside of a fit, with the names that scripts know from Lightning: ``torchbus.utilities.model_summary``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import nn

from ._summary import Layer, Summary, layer_of, note_sizes, summarize_module

__all__ = ["LayerSummary", "ModuleSummary", "summarize"]


class ModuleSummary(Summary):
    """The layers of a module and its totals: ``print(ModuleSummary(model, max_depth=2))``.

    Args:
        model: the module; its ``example_input_array``, where there is one, goes through it once.
        max_depth: levels of submodules to list; -1 for all, 0 for none.

    Raises:
        ValueError: ``max_depth`` is less than -1, or no whole number.
        Exception: what ``forward`` raises.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1) -> None:
        if not isinstance(max_depth, int) or max_depth < -1:  # type: ignore[redundant-expr]  # untyped callers
            raise ValueError(f"summarize: `max_depth` can be -1, 0 or > 0, got {max_depth!r}.")
        found = summarize_module(model, max_depth, getattr(model, "example_input_array", None))
        super().__init__(**{one.name: getattr(found, one.name) for one in fields(found)})
        self._model = model

    def __repr__(self) -> str:
        return str(self)

    @property
    def named_modules(self) -> list[tuple[str, nn.Module]]:
        """The listed submodules by name."""
        return [(name, self._model.get_submodule(name)) for name in self.layer_names]

    def summarize(self) -> dict[str, Layer]:
        """The layers by name."""
        return {layer.name: layer for layer in self.layers}


class LayerSummary(Layer):
    """One layer by itself, whose sizes are noted when it is next called.

    Args:
        module: the layer.
    """

    def __init__(self, module: nn.Module) -> None:
        found = layer_of("", module)
        super().__init__(**{one.name: getattr(found, one.name) for one in fields(found)})
        self._hook = module.register_forward_hook(self._note)

    def _note(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        note_sizes(self, inputs, output)

    def detach_hook(self) -> None:
        """Note nothing any more."""
        self._hook.remove()


def summarize(lightning_module: nn.Module, max_depth: int = 1) -> ModuleSummary:
    """Look at a module outside of a fit: ``print(summarize(model, max_depth=2))``; see ``ModuleSummary``."""
    return ModuleSummary(lightning_module, max_depth)
