"""What the bus itself tells: plugins that fail, processes asked to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markers import broadcast

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["on_plugin_failed", "on_preempted"]


@broadcast
def on_plugin_failed(plugin: str, hook: str, exception: BaseException, quarantined: bool) -> None:
    """A plugin's implementation of a hook raised an exception.

    Called: at once, in the process where it happened, for each failure. What comes next is the plugin's policy: with
    ``"raise"`` the exception goes on and ends the run; with ``"quarantine"`` the run goes on. Never called for failures
    in this very hook, nor for what the module or datamodule raises; the plugin that failed does not hear of itself.
    Kind: broadcast.

    Args:
        plugin: the instance name of the plugin.
        hook: the name of the hook it failed in.
        exception: what it raised, with its traceback and a note naming plugin and hook.
        quarantined: whether this was one failure too many, and the plugin is unregistered now.

    Source: torchbus.
    """


@broadcast
def on_preempted(trainer: Trainer, pl_module: LightningModule, signum: int) -> None:
    """The process was asked to go, and the loop has come to a point where a checkpoint is whole: save now.

    Called: once, after SIGTERM, when the loop that is running reaches its next commit point. The process exits with 143
    afterwards. Not called for other signals, nor when the process is killed outright.
    Kind: broadcast.

    Args:
        signum: the number of the signal, 15 for SIGTERM.

    Source: torchbus.
    """
