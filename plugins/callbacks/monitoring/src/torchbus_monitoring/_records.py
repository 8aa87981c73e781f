"""Hand a monitor's figures to the loggers, on the steps that the trainer logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.events import LogMetrics, LogRecord

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["batches_to_record", "current_step", "is_due", "is_train_step_due", "require_listener", "send"]


def require_listener(owner: str, trainer: Trainer) -> None:
    """Refuse a run whose figures nobody would record.

    Raises:
        MisconfigurationException: there is no logger, and no plugin that hears ``log_metrics`` or ``on_log_record``.
    """
    # fast_dev_run takes the loggers away itself: a script must not have to take its monitors out for it
    if trainer.loggers or trainer.fast_dev_run or _is_heard(trainer):
        return
    raise MisconfigurationException(
        f"{owner} has nobody to tell: the trainer has no logger.\n"
        f"To fix: give it one, such as `Trainer(logger='csv')`, or leave {owner} out.",
        plugin=owner,
    )


def _is_heard(trainer: Trainer) -> bool:
    return trainer.bus.is_heard(LogMetrics) or trainer.bus.is_heard(LogRecord)


def current_step(trainer: Trainer) -> int:
    """The place on the loggers' axis: batches that stepped an optimizer."""
    return trainer.fit_loop.progress.batches_stepped


def is_due(trainer: Trainer, batches: int) -> bool:
    """Whether the batch after this many is one that is logged."""
    every = trainer.log_every_n_steps
    return bool(every) and (batches + 1) % every == 0


def is_train_step_due(trainer: Trainer) -> bool:
    """Whether the training batch under way is one that is logged."""
    every, step = (
        trainer.log_every_n_steps,
        trainer.fit_loop.progress.batches_stepped,
    )  # asked in every batch: no more calls
    return bool(every and (step + 1) % every == 0) or trainer.should_stop or bool(trainer.fast_dev_run)


def batches_to_record(trainer: Trainer, step: int) -> int | None:
    """How many batches there are, at least, before the next step from this one on that is logged; ``None``: there is none."""
    every = trainer.log_every_n_steps
    if trainer.should_stop or trainer.fast_dev_run:  # each is
        return step - trainer.fit_loop.progress.batches_stepped
    return every - 1 - step % every + step - trainer.fit_loop.progress.batches_stepped if every else None


def send(trainer: Trainer, metrics: dict[str, float], step: int) -> None:
    """Give a record to all loggers. They write it with the next record of the trainer, or at the end."""
    if metrics:
        trainer.bus.emitter(LogRecord)(trainer, trainer.lightning_module, metrics, step)
        trainer.bus.emitter(LogMetrics)(metrics, step)
