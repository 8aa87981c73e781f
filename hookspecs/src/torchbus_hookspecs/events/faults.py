"""Events of faults: one for each hook of ``specs/faults.py``."""

from __future__ import annotations

from ._base import Event, RunEvent, event

__all__ = ["PluginFailed", "Preempted"]


@event("on_plugin_failed")
class PluginFailed(Event):
    """``on_plugin_failed`` fires."""

    plugin: str
    hook: str
    exception: BaseException
    quarantined: bool


@event("on_preempted")
class Preempted(RunEvent):
    """``on_preempted`` fires."""

    signum: int
