"""For authors of plugins: small modules and data, a recorder of events, plugins without an install, and contracts.

    from torchbus.testing import CallbackContract

    class TestPatience(CallbackContract):
        plugin = Patience
        settings = {"monitor": "val_loss"}

Each ``test_`` method of a contract is a promise that torchbus relies on. pytest finds the fixtures ``run_fit``,
``event_recorder`` and ``virtual_plugin`` by itself once torchbus-core is installed.

Names are imported when they are first used: pytest loads the fixtures of whoever is installed, and must stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._contracts import AcceleratorContract as AcceleratorContract
    from ._contracts import CallbackContract as CallbackContract
    from ._contracts import HooksContract as HooksContract
    from ._contracts import LoggerContract as LoggerContract
    from ._contracts import StrategyContract as StrategyContract
    from ._recorder import EventRecorder as EventRecorder
    from ._toys import TinyDataModule as TinyDataModule
    from ._toys import TinyModule as TinyModule
    from ._toys import quiet_trainer as quiet_trainer
    from ._toys import tiny_loader as tiny_loader
    from ._virtual import virtual_plugin as virtual_plugin

_HOMES = {
    "AcceleratorContract": "._contracts",
    "CallbackContract": "._contracts",
    "EventRecorder": "._recorder",
    "HooksContract": "._contracts",
    "LoggerContract": "._contracts",
    "StrategyContract": "._contracts",
    "TinyDataModule": "._toys",
    "TinyModule": "._toys",
    "quiet_trainer": "._toys",
    "tiny_loader": "._toys",
    "virtual_plugin": "._virtual",
}

__all__ = [
    "AcceleratorContract",
    "CallbackContract",
    "EventRecorder",
    "HooksContract",
    "LoggerContract",
    "StrategyContract",
    "TinyDataModule",
    "TinyModule",
    "quiet_trainer",
    "tiny_loader",
    "virtual_plugin",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
