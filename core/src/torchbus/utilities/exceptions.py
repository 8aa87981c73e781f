"""The errors that scripts catch."""

from __future__ import annotations

from .._errors import CheckpointError, MisconfigurationException, TorchbusError

__all__ = ["CheckpointError", "MisconfigurationException", "TorchbusError"]
