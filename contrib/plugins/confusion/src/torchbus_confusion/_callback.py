"""The callback ``confusion``: when to count and when to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torchbus_hookspecs import Callback, MisconfigurationException

from ._matrix import Confusion, count, most_confused, render

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ConfusionMatrix"]


class ConfusionMatrix(Callback):
    """Show which classes are taken for which, at the end of each test or validation epoch.

    The step must return ``{"preds": ..., "target": ...}``: predicted classes, or a score for each, and true classes.

    Args:
        stage: look at ``"test"`` or at ``"validation"``.
        classes: names of the classes, in order; default: their numbers.
        worst: how many of the most confused pairs to list.

    Attributes:
        counts: how often each true class (row) was predicted as each class (column), shape ``(C, C)``, on the CPU.
    """

    on_failure = "quarantine"  # it only looks on: better a run without it than no run

    def __init__(
        self, stage: Literal["test", "validation"] = "test", classes: Sequence[str] = (), worst: int = 3
    ) -> None:
        self.stage = stage
        self.classes = tuple(classes)
        self.worst = worst
        self.counts = torch.zeros(0, 0, dtype=torch.long)

    def most_confused(self) -> list[Confusion]:
        """The most frequent mistakes of the last epoch, the worst first."""
        return most_confused(self.counts, self.worst)

    # ---- test ----

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start("test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._collect("test", outputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show("test", trainer)

    # ---- validation ----

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start("validation")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._collect("validation", outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._show("validation", trainer)

    # ---- both ----

    def _start(self, stage: str) -> None:
        if stage == self.stage:
            self.counts = torch.zeros(0, 0, dtype=torch.long)

    def _collect(self, stage: str, outputs: Any) -> None:
        if stage != self.stage:
            return
        if not (isinstance(outputs, Mapping) and {"preds", "target"} <= set(outputs)):
            raise MisconfigurationException(
                f"torchbus-confusion: {stage}_step returned {_describe(outputs)}. To fix: return a dictionary with"
                ' "preds" and "target", or switch `confusion` off.'
            )
        self.counts = count(self.counts, outputs["preds"], outputs["target"])

    def _show(self, stage: str, trainer: Trainer) -> None:
        if stage == self.stage and len(self.counts):
            trainer.print(render(self.counts, self.classes, self.worst))


def _describe(outputs: Any) -> str:
    if isinstance(outputs, Mapping):
        return f"a dictionary with {', '.join(map(repr, outputs)) or 'nothing in it'}"
    return "nothing" if outputs is None else f"a {type(outputs).__name__}"
