"""When to save: after how many steps, epochs or hours, and on which side of the epoch's end. It knows of no trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from torchbus_hookspecs import MisconfigurationException

__all__ = ["Triggers", "saves_after_training", "validation_follows_last_batch"]


@dataclass(frozen=True, slots=True)
class Triggers:
    """What makes a checkpoint due. At most one of the three is set.

    Attributes:
        every_n_train_steps: optimizer steps from one save to the next; 0: never by steps.
        every_n_epochs: epochs from one save to the next; 0: never by epochs.
        train_time_interval: time from one save to the next; ``None``: never by time.
    """

    every_n_train_steps: int
    every_n_epochs: int
    train_time_interval: timedelta | None

    @classmethod
    def chosen(cls, steps: int | None, epochs: int | None, interval: timedelta | None, owner: str) -> Triggers:
        """The triggers that these settings mean; without any, every epoch.

        Raises:
            MisconfigurationException: more than one is set.
        """
        # a count of zero switches its trigger off, while an interval of zero means after every batch
        given = {
            "every_n_train_steps": steps or None,
            "every_n_epochs": epochs or None,
            "train_time_interval": interval,
        }
        active = [f"`{name}={value}`" for name, value in given.items() if value is not None]
        if len(active) > 1:
            raise MisconfigurationException(
                f"{owner}: {' and '.join(active)} exclude each other.\n"
                f"To fix: keep one of them, and use a second {owner} for the other.",
                plugin=owner,
            )
        if steps is None and epochs is None and interval is None:
            epochs = 1
        return cls(steps or 0, epochs or 0, interval)

    @property
    def act_inside_epochs(self) -> bool:
        """Whether a checkpoint may be due after any batch."""
        return self.every_n_train_steps > 0 or self.train_time_interval is not None

    def due_at_step(self, global_step: int) -> bool:
        """Whether one is due once this many optimizer steps are done."""
        return self.every_n_train_steps > 0 and global_step % self.every_n_train_steps == 0

    def due_after(self, seconds: float) -> bool:
        """Whether one is due this many seconds after the last."""
        return self.train_time_interval is not None and seconds >= self.train_time_interval.total_seconds()

    def due_at_epoch(self, epoch: int) -> bool:
        """Whether one is due at the end of this epoch, counted from 0."""
        return self.every_n_epochs > 0 and (epoch + 1) % self.every_n_epochs == 0


def saves_after_training(
    choice: bool | None,
    *,
    enable_validation: bool,
    num_val_batches: Sequence[float],
    val_check_interval: float | timedelta,
    check_val_every_n_epoch: int | None,
) -> bool:
    """Whether an epoch's checkpoint is saved at the end of its training, rather than after each validation.

    Args:
        choice: the setting ``save_on_train_epoch_end``; ``None``: at the end of training if there is one validation for
            each epoch, or none at all.
        enable_validation: whether the run validates at all.
        num_val_batches: batches of each validation loader, as far as they are known.
        val_check_interval: part of an epoch (or batches, or time) from one validation to the next.
        check_val_every_n_epoch: epochs from one validation to the next.
    """
    if choice is not None:
        return choice
    if not enable_validation:
        return True
    if check_val_every_n_epoch != 1:
        return False
    return sum(num_val_batches) == 0 or val_check_interval == 1.0


def validation_follows_last_batch(
    epoch: int, val_check_interval: float | timedelta, check_val_every_n_epoch: int | None
) -> bool:
    """Whether the epoch is sure to be validated right after its last batch."""
    return bool(val_check_interval == 1.0 and check_val_every_n_epoch and (epoch + 1) % check_val_every_n_epoch == 0)
