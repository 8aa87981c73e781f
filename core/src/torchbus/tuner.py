"""The tuner, of the plugin ``torchbus-tuning``: ``Tuner(trainer).lr_find(model)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_tuning import Tuner as Tuner

__all__ = ["Tuner"]

_get, _ = lazy_classes(__name__, "callbacks", __all__, {"Tuner": "learning_rate_finder"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _get(name)


def __dir__() -> list[str]:
    return __all__
