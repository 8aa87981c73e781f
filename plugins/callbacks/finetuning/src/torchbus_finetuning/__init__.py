"""Callbacks for fine-tuning: ``Trainer(plugins={"backbone_finetuning": {"unfreeze_backbone_at_epoch": 5}})``."""

from __future__ import annotations

from ._backbone import BackboneFinetuning, multiplicative
from ._base import BaseFinetuning
from ._freeze_unfreeze import FreezeUnfreeze
from ._multi_stage import MultiStage

__all__ = ["BackboneFinetuning", "BaseFinetuning", "FreezeUnfreeze", "MultiStage", "multiplicative"]
