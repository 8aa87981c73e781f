"""Where a run's time goes: by action, by function, by operator, by plugin; and a watch for plugins that slow it down."""

from ._module_names import RegisterRecordFunction
from .advanced import AdvancedProfiler
from .plugins import PluginProfiler
from .pytorch import PyTorchProfiler
from .simple import SimpleProfiler
from .slow_plugins import SlowPlugins

__all__ = [
    "AdvancedProfiler",
    "PluginProfiler",
    "PyTorchProfiler",
    "RegisterRecordFunction",
    "SimpleProfiler",
    "SlowPlugins",
]
