"""The classes of all installed logger plugins, and the base to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Logger

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_csv import CSVLogger as CSVLogger
    from torchbus_tensorboard import TensorBoardLogger as TensorBoardLogger

__all__ = ["Logger"]

_get, _names = lazy_classes(__name__, "loggers", {})


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_names()})
