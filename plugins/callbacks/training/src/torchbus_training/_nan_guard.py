"""The callback ``nan_guard``: what happens to a step whose loss or gradients are NaN or infinite."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torchbus_hookspecs import Callback, MisconfigurationException, TorchbusError, hookimpl
from torchbus_hookspecs.settings import validated

from ._finite_watch import FiniteWatch, Place, largest

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["NanFoundError", "NanGuard"]

FILE_NAME = "nan_guard.ckpt"
MAX_NAMES = 5
_log = logging.getLogger("torchbus.nan_guard")


class NanFoundError(TorchbusError, ValueError):
    """A loss or a gradient is NaN or infinite.

    Attributes:
        step: the optimizer step it was to go into, from 0.
        epoch: the epoch, from 0.
        batch_idx: the batch in its epoch, from 0.
        names: parameters whose gradients are not finite at the moment.
        last_good_step: the last step, from 0, that was taken with finite values; ``None`` if there was none.
    """

    def __init__(self, message: str, place: Place, names: list[str], last_good_step: int | None) -> None:
        super().__init__(message)
        self.step, self.epoch, self.batch_idx = place.step, place.epoch, place.batch_idx
        self.names = names
        self.last_good_step = last_good_step


class _StepSkipped(BaseException):  # no Exception: it is no failure, and no `except Exception` on its way is meant
    """On its way from inside the optimizer's closure to the guard's ``optimizer_step``: nothing is to be stepped."""


@validated
class NanGuard(Callback):
    """Keep NaN and infinity out of the weights: end the run, skip the step, or save and stop.

    The guard looks when a step's gradients are complete, right before the optimizer, so neither weights nor the optimizer's
    state have seen anything yet. With accumulated gradients the whole window is one step.

    A skipped step leaves weights, momenta and step counts of the optimizer as they were, weight decay included. It counts
    in ``trainer.global_step``, and learning rate schedulers go on, as with the steps that a gradient scaler skips.

    Attributes:
        skipped: steps skipped so far, those before a resume included.
        skipped_in_a_row: those since the last good one.
        last_good_step: the last step with finite values, from 0; ``None`` before there is one.

    Raises:
        MisconfigurationException: a setting is wrong, or the step cannot be skipped in this kind of training.
        NanFoundError: a value is not finite, and ``action`` is ``"raise"`` or too many steps were skipped in a row.

    Source: torchbus's own.
    """

    def __init__(
        self,
        action: Annotated[
            Literal["raise", "skip", "stop"],
            Field(description="End the run with an error, skip the step, or skip it, save a checkpoint and stop."),
        ] = "raise",
        gradients: Annotated[bool, Field(description="Look at the gradients too, not only at the loss.")] = False,
        max_skips: Annotated[
            int, Field(ge=1, description="Steps in a row that may be skipped; one more is an error.")
        ] = 10,
        every_n_steps: Annotated[
            int, Field(ge=1, description="Steps after which to look; more than 1 with `raise` only.")
        ] = 1,
        dirpath: Annotated[
            str | Path | None,
            Field(description=f"Folder for `{FILE_NAME}`, saved by `stop`. Default: the trainer's `default_root_dir`."),
        ] = None,
    ) -> None:
        super().__init__()
        if every_n_steps > 1 and action != "raise":
            raise MisconfigurationException(
                f"NanGuard(action={action!r}, every_n_steps={every_n_steps}): a step that was not looked at cannot be"
                " skipped any more. To fix: leave `every_n_steps` out, or use action='raise'.",
                plugin="nan_guard",
            )
        self.action = action
        self.gradients = gradients
        self.max_skips = max_skips
        self.every_n_steps = every_n_steps
        self.dirpath = dirpath
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.last_good_step: int | None = None
        self._watch = FiniteWatch()
        self._steps_unseen = 0
        self._wants_to_stop = self._has_stopped = False

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to promise what cannot be kept, and begin with nothing seen."""
        self._watch, self._steps_unseen = FiniteWatch(), 0
        self._wants_to_stop = self._has_stopped = False
        if self.action == "raise":
            return
        problem = ""
        if not pl_module.automatic_optimization:
            problem = "in manual optimization the module steps by itself"
        elif any(isinstance(one, LBFGS) for one in trainer.optimizers):
            problem = "LBFGS moves the weights several times within one step"
        if problem:
            raise MisconfigurationException(
                f"NanGuard(action={self.action!r}) cannot skip steps here: {problem}. To fix: use action='raise'.",
                plugin="nan_guard",
            )

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Note whether the loss is finite; scaled or divided, it is so all the same."""
        self._watch.show("loss", loss.detach(), self._place(trainer))

    @hookimpl(tryfirst=True)  # nobody needs to look at gradients that will not be used
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """The last moment before weights change: look, and act."""
        if self.gradients:
            params = (one for group in optimizer.param_groups for one in group["params"])
            for value in largest(one.grad for one in params if one.grad is not None):
                self._watch.show("gradients", value, self._place(trainer))
        self._steps_unseen += 1
        if self._steps_unseen >= self.every_n_steps:
            self._look(trainer, pl_module, trainer.global_step)

    @hookimpl(wrapper=True)
    def optimizer_step(self, trainer: Trainer, optimizer: Any) -> Generator[None, Any, Any]:
        """Let a skipped step end here, whoever makes the steps: the module, another plugin or the trainer."""
        try:
            return (yield)
        except _StepSkipped:
            has_gradients = any(one.grad is not None for group in optimizer.param_groups for one in group["params"])
            if trainer.scaler is not None and has_gradients:
                trainer.scaler.update()  # they were unscaled: without this they could not be at the next step
            return True

    @hookimpl(trylast=True)
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, if that is wanted: now the batch is done, and a resumed run begins with the next one."""
        if not self._wants_to_stop:
            return
        self._wants_to_stop = False
        trainer.should_stop = True
        if not self._has_stopped:  # until the trainer's minimum is reached, training goes on
            self._has_stopped = True
            path = str(Path(self.dirpath or trainer.default_root_dir) / FILE_NAME)
            trainer.save_checkpoint(path)
            _log.warning("training stops; the state before the bad step is in %s", path)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what was not looked at yet."""
        if self._steps_unseen:
            self._look(trainer, pl_module, trainer.global_step - 1)

    # ---- the work ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _place(trainer: Trainer) -> Place:
        return Place(trainer.global_step, trainer.current_epoch, trainer.fit_loop.progress.batches_ready - 1)

    def _look(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        self._steps_unseen = 0
        found = self._watch.look()
        if "loss" not in found and "gradients" in found and _is_seeking_scale(trainer):
            found = {}
        # all ranks do the same: one alone would leave the others waiting
        if not trainer.strategy.reduce_boolean_decision(bool(found), all=False):
            self.skipped_in_a_row, self.last_good_step = 0, step
            return
        kind, place = min(found.items(), key=lambda one: one[1].step) if found else ("", self._place(trainer))
        if self.action == "raise":
            raise self._error(kind, place, pl_module)
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > self.max_skips:
            raise self._error(kind, place, pl_module)
        self._wants_to_stop = self.action == "stop"
        _log.warning("%s Step %d is skipped.", _what(kind, place), place.step)
        raise _StepSkipped

    def _error(self, kind: str, place: Place, pl_module: LightningModule) -> NanFoundError:
        last_good = self.last_good_step
        if place.step and self.every_n_steps > 1:
            last_good = place.step - 1  # the steps between the last look and this one were good
        named = pl_module.named_parameters()
        names = [name for name, one in named if one.grad is not None and not torch.isfinite(one.grad).all()]
        parts = [_what(kind, place)]
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            parts.append(f"Not finite are the gradients of: {', '.join(names[:MAX_NAMES])}{more}.")
        parts.append("No step was good before." if last_good is None else f"The last good step was {last_good}.")
        if self.skipped_in_a_row:
            parts.append(f"Steps in a row that are bad: {self.skipped_in_a_row}; `max_skips` is {self.max_skips}.")
        hint = (
            "To fix: look at the data of that batch, lower the learning rate, or clip gradients; with"
            " Trainer(detect_anomaly=True) torch names the operation."
        )
        return NanFoundError(f"{' '.join(parts)}\n{hint}", place, names, last_good)

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "last_good_step": self.last_good_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on."""
        self.skipped = state_dict["skipped"]
        self.skipped_in_a_row = state_dict["skipped_in_a_row"]
        self.last_good_step = state_dict["last_good_step"]


def _is_seeking_scale(trainer: Trainer) -> bool:
    """Whether infinite gradients are a gradient scaler's own business: it skips the step and lowers its scale."""
    scaler = trainer.scaler
    return scaler is not None and bool(scaler.get_scale() >= 1)


def _what(kind: str, place: Place) -> str:
    subject = {"loss": "The loss is", "gradients": "Gradients are", "": "On another rank the loss or a gradient is"}[
        kind
    ]
    return f"{subject} NaN or infinite in step {place.step} (epoch {place.epoch}, batch {place.batch_idx})."
