"""The callback ``gradient_accumulation_scheduler``: another accumulation window from given epochs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["GradientAccumulationScheduler"]


def _checked(scheduling: dict[int, int]) -> dict[int, int]:
    for epoch, batches in scheduling.items():
        if epoch < 0 or batches < 1:
            raise ValueError(f"epoch {epoch} has {batches} batches, and epochs count from 0, batches from 1")
    return scheduling


@validated
class GradientAccumulationScheduler(Callback):
    """Change over how many batches gradients accumulate, by epoch.

    ``{0: 8, 4: 4, 8: 1}`` means 8 batches for each step in the epochs 0 to 3, then 4, and from epoch 8 on every batch.
    ``trainer.estimated_stepping_batches`` does not know of it. After the fit the trainer is as it was.

    Attributes:
        scheduling: batches by the first epoch they hold for; epochs before the first one given have 1.

    Raises:
        TypeError: the schedule is empty.
        MisconfigurationException: an epoch is negative, or a number of batches less than 1 or not whole.
        ValueError: the trainer has an ``accumulate_grad_batches`` of its own.
        RuntimeError: the module optimizes by itself.

    Source: Lightning ``GradientAccumulationScheduler``. In contrast to it, a run that is resumed inside an epoch has
    that epoch's window, and the same trainer can fit again.
    """

    def __init__(
        self,
        scheduling: Annotated[
            dict[int, int],
            AfterValidator(_checked),
            Field(description="Batches for each optimizer step, by the epoch they begin with."),
        ],
    ) -> None:
        super().__init__()
        if not scheduling:
            raise TypeError(
                "GradientAccumulationScheduler: `scheduling` is empty; give it epochs and batches, such as {0: 4, 5: 1}."
            )
        self.scheduling: dict[int, int] = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)
        self._changed_trainer = False

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch takes more than one batch for a step."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Batches for each optimizer step in that epoch, counted from 0."""
        return self.scheduling[max(first for first in self.epochs if first <= epoch)]

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what cannot work, and set the window: an epoch that was interrupted goes on without its start hook."""
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                f"{type(self).__name__}: {type(pl_module).__name__} optimizes by itself, so gradients accumulate as its"
                " training_step says. To fix: leave the callback out, and read `self.current_epoch` there."
            )
        if trainer.accumulate_grad_batches != 1:
            raise ValueError(
                f"{type(self).__name__} and Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) exclude"
                " each other. To fix: set one of them; the first epochs' number is `scheduling={0: ...}`."
            )
        self._changed_trainer = True
        self._apply(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the window of the coming epoch."""
        self._apply(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the trainer as it was."""
        self._restore(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same after a run that failed."""
        self._restore(trainer)

    def _apply(self, trainer: Trainer) -> None:
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)

    def _restore(self, trainer: Trainer) -> None:
        if self._changed_trainer:
            trainer.accumulate_grad_batches = 1
            self._changed_trainer = False
