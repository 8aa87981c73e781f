"""What the bus itself tells: plugins that fail, processes asked to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markers import broadcast

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["on_plugin_failed", "on_preempted"]


@broadcast
def on_plugin_failed(plugin: str, hook: str, exception: BaseException, quarantined: bool) -> None:
    """PluginFailed."""


@broadcast
def on_preempted(trainer: Trainer, pl_module: LightningModule, signum: int) -> None:
    """Preempted."""
