"""Events of the bus itself: one for each hook of ``specs/faults.py``."""

from __future__ import annotations

from ._base import Event, RunEvent, event

__all__ = ["PluginFailed", "Preempted"]


@event("on_plugin_failed")
class PluginFailed(Event):
    """A plugin's implementation of a hook raised: ``on_plugin_failed`` fires."""

    plugin: str
    hook: str
    exception: BaseException
    quarantined: bool


@event("on_preempted")
class Preempted(RunEvent):
    """After SIGTERM the loop has reached its next commit point: ``on_preempted`` fires."""

    signum: int
