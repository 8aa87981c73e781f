"""The classes of all installed logger plugins, and the base to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Logger as Logger

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_csv import CSVLogger as CSVLogger
    from torchbus_tensorboard import TensorBoardLogger as TensorBoardLogger

_get, _names = lazy_classes(__name__, "loggers", ["Logger"], {})


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return _names()
