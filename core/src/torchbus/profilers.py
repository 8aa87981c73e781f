"""The classes of all installed profiler plugins, the profiler that measures nothing, and the base to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import PassThroughProfiler as PassThroughProfiler
from torchbus_hookspecs import Profiler as Profiler

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_profilers import AdvancedProfiler as AdvancedProfiler
    from torchbus_profilers import PluginProfiler as PluginProfiler
    from torchbus_profilers import PyTorchProfiler as PyTorchProfiler
    from torchbus_profilers import RegisterRecordFunction as RegisterRecordFunction
    from torchbus_profilers import SimpleProfiler as SimpleProfiler

_get, _names = lazy_classes(
    __name__, "profilers", ["PassThroughProfiler", "Profiler"], {"RegisterRecordFunction": "pytorch"}
)


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return _names()
