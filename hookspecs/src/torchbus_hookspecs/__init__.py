"""The contract between torchbus and its plugins: all that a plugin author imports.

- ``hookimpl`` marks a function of a module or a method of an object as the implementation of a hook.
- ``Callback``, ``Logger``, ``Accelerator``, ``Strategy``, ``Profiler`` are base classes a plugin may extend.
- ``validated`` makes a class's typed ``__init__`` the one declaration of its settings.
- ``torchbus_hookspecs.specs`` documents every hook, ``torchbus_hookspecs.events`` has its typed event.

Importing this package imports neither torch nor pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .accelerator import Accelerator
from .callback import Callback, Checkpoint, FailurePolicy
from .errors import EndRun, MisconfigurationException, TorchbusError
from .logger import Logger
from .markers import HookKind, hookimpl, hookspec, kind_of
from .profiler import PassThroughProfiler, Profiler
from .progress_bar import ProgressBar
from .strategy import Strategy

if TYPE_CHECKING:
    from .settings import validated

__all__ = [
    "CONTRACT_VERSION",
    "Accelerator",
    "Callback",
    "Checkpoint",
    "EndRun",
    "FailurePolicy",
    "HookKind",
    "Logger",
    "MisconfigurationException",
    "PassThroughProfiler",
    "Profiler",
    "ProgressBar",
    "Strategy",
    "TorchbusError",
    "hookimpl",
    "hookspec",
    "kind_of",
    "validated",
]

CONTRACT_VERSION = "1.0.0"


def __getattr__(name: str) -> object:
    # settings.py brings pydantic: pay for it only when a class declares settings
    if name == "validated":
        from .settings import validated

        return validated
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
