"""Summaries of modules outside of a fit, of the plugin ``torchbus-progress``: ``print(ModelSummary(model, max_depth=2))``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_progress import LayerSummary as LayerSummary
    from torchbus_progress import ModuleSummary as ModelSummary
    from torchbus_progress import summarize as summarize

__all__ = ["LayerSummary", "ModelSummary", "summarize"]

_AS_IN_PLUGIN = {"LayerSummary": "LayerSummary", "ModelSummary": "ModuleSummary", "summarize": "summarize"}
_get, _ = lazy_classes(__name__, "callbacks", __all__, dict.fromkeys(_AS_IN_PLUGIN.values(), "model_summary"))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _get(_AS_IN_PLUGIN[name])


def __dir__() -> list[str]:
    return __all__
