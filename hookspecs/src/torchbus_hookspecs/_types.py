"""Names for types that several hooks share. Imported for type checking only: the contract needs no torch at run time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

StepOutput: TypeAlias = "Tensor | Mapping[str, Any] | None"
"""What a training, validation or test step may return: a loss, a mapping (with ``"loss"`` in training), or nothing."""
