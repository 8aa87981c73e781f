"""Events of checkpoints: one for each hook of ``specs/checkpointing.py``."""

from __future__ import annotations

from typing import Any

from ._base import Event, RunEvent, event

__all__ = ["CheckpointCommitted", "LoadCheckpoint", "LoadStateDict", "SaveCheckpoint", "StateDict"]


@event("state_dict")
class StateDict(Event):
    """A plugin is asked for the state that a checkpoint should keep: ``state_dict`` fires."""


@event("on_save_checkpoint")
class SaveCheckpoint(RunEvent):
    """A checkpoint is about to be written: ``on_save_checkpoint`` fires."""

    checkpoint: dict[str, Any]


@event("on_checkpoint_committed")
class CheckpointCommitted(RunEvent):
    """A checkpoint is whole and durable on disk: ``on_checkpoint_committed`` fires."""

    filepath: str
    weights_only: bool


@event("on_load_checkpoint")
class LoadCheckpoint(RunEvent):
    """A checkpoint has been read: ``on_load_checkpoint`` fires."""

    checkpoint: dict[str, Any]


@event("load_state_dict")
class LoadStateDict(Event):
    """A plugin gets its state back: ``load_state_dict`` fires."""

    state_dict: dict[str, Any]
