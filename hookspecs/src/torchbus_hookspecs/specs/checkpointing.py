"""What a checkpoint holds, and when it is written and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["state_dict", "on_save_checkpoint", "on_checkpoint_committed", "on_load_checkpoint", "load_state_dict"]


@broadcast
def state_dict() -> dict[str, Any] | None:
    """StateDict."""


@broadcast
def on_save_checkpoint(trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """SaveCheckpoint."""


@broadcast
def on_checkpoint_committed(trainer: Trainer, pl_module: LightningModule, filepath: str, weights_only: bool) -> None:
    """CheckpointCommitted."""


@broadcast
def on_load_checkpoint(trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """LoadCheckpoint."""


@broadcast
def load_state_dict(state_dict: dict[str, Any]) -> None:
    """LoadStateDict."""
