"""The callback ``early_stopping``: settings, the moments at which it looks, and its state."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torchbus_hookspecs import Callback, hookimpl
from torchbus_hookspecs.monitor import look_early, not_logged
from torchbus_hookspecs.settings import validated

from ._criterion import BETTER, SIGN, EarlyStoppingReason, Mode, Rules, judge, worst_score

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["EarlyStopping"]

_log = logging.getLogger("torchbus.early_stopping")


@validated
class EarlyStopping(Callback):
    """Stop training when a metric has stopped improving, is good enough, diverges, or is not finite.

    It looks after each validation, or at the end of the training epoch where that comes to one validation per epoch.
    The trainer still completes ``min_epochs`` and ``min_steps`` before it stops.

    Attributes:
        best_score: the best value of the metric so far, shape ``()``, on the CPU.
        wait_count: checks in a row that brought no improvement.
        stopped_epoch: the epoch of the last check that asked to stop; 0 if none did.
        stopping_reason: why it asked to stop, or ``NOT_STOPPED``.
        stopping_reason_message: the same in words, or ``None``.

    Raises:
        MisconfigurationException: a setting is wrong.
        RuntimeError: the metric is not there when it is needed, and ``strict`` is true.

    Source: Lightning ``EarlyStopping``. In contrast to it, a resumed run uses the ``patience`` that its script sets,
    not the one in the checkpoint, so that a run that stopped too early can be continued with more.
    """

    mode_dict: ClassVar[dict[str, Callable[..., Tensor]]] = BETTER
    order_dict: ClassVar[dict[str, str]] = SIGN

    def __init__(
        self,
        monitor: Annotated[str, Field(min_length=1, description="Name of the metric to watch, as it was logged.")],
        min_delta: Annotated[
            float, Field(allow_inf_nan=False, description="Smallest change that counts as an improvement.")
        ] = 0.0,
        patience: Annotated[int, Field(ge=0, description="Checks without improvement after which to stop.")] = 3,
        verbose: Annotated[bool, Field(description="Log every improvement too, not only the stop.")] = False,
        mode: Annotated[Mode, Field(description="Whether the metric should fall or rise.")] = "min",
        strict: Annotated[bool, Field(description="Whether a metric that is missing when needed is an error.")] = True,
        check_finite: Annotated[bool, Field(description="Stop when the metric is NaN or infinite.")] = True,
        stopping_threshold: Annotated[
            float | None, Field(description="Stop as soon as the metric is better than this.")
        ] = None,
        divergence_threshold: Annotated[
            float | None, Field(description="Stop as soon as the metric is worse than this.")
        ] = None,
        check_on_train_epoch_end: Annotated[
            bool | None,
            Field(
                description="Look at the end of training epochs (true) or of validations (false). Default: of training"
                " epochs when there is one validation for each, or none at all."
            ),
        ] = None,
        log_rank_zero_only: Annotated[bool, Field(description="Log on rank zero only, not on every rank.")] = False,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode: Mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.log_rank_zero_only = log_rank_zero_only
        self.wait_count = 0
        self.stopped_epoch = 0
        self.best_score = worst_score(mode)
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self._looked_early = False
        self._told_of_absence = False
        self._last_check: dict[str, Any] | None = None
        self._resumed_check: dict[str, Any] | None = None

    @property
    def monitor_op(self) -> Callable[..., Tensor]:
        """Whether the first of two values is better than the second: ``torch.lt`` or ``torch.gt``."""
        return self.mode_dict[self.mode]

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Another entry point begins: the names of metrics have yet to be looked at."""
        self._looked_early = self._told_of_absence = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the first batch, warn of a monitor that looks misspelt."""
        if not self._looked_early:
            trainer.before_batch(functools.partial(self._look_early, trainer), skip=1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check after a validation; after that of the sanity check, warn of a monitor that looks misspelt."""
        if trainer.sanity_checking:
            # all that validation logs is known now, and is cleared before on_sanity_check_end
            self._look_early(trainer)
        elif not self._checks_after_training(trainer):
            self._check(trainer)

    @hookimpl(trylast=True)
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check at the end of a training epoch, when the module has logged what it logs there."""
        if self._checks_after_training(trainer):
            self._check(trainer)

    # ---- the check ---------------------------------------------------------------------------------------------------

    def _look_early(self, trainer: Trainer) -> None:
        self._looked_early = look_early(type(self).__name__, self.monitor, trainer)

    def _checks_after_training(self, trainer: Trainer) -> bool:
        if self._check_on_train_epoch_end is not None:
            return self._check_on_train_epoch_end
        once_per_epoch = trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1
        return once_per_epoch or not trainer.enable_validation

    def _check(self, trainer: Trainer) -> None:
        if trainer.state.fn != "fit" or trainer.fast_dev_run:
            return
        score = self._score(trainer)
        if score is None:
            return
        self._last_check = self._before(trainer.global_step)
        verdict = judge(score, self._last_check["best_score"], self._last_check["wait_count"], self._rules())
        self.best_score, self.wait_count = verdict.best, verdict.wait
        # a metric may differ between ranks, the decision may not
        stops = trainer.strategy.reduce_boolean_decision(verdict.stops, all=False)
        trainer.should_stop = trainer.should_stop or stops
        if stops:
            self.stopped_epoch = trainer.current_epoch
        if verdict.stops:
            self.stopping_reason, self.stopping_reason_message = verdict.reason, verdict.message
        if verdict.message and (verdict.stops or self.verbose):
            self._tell(trainer, f"{verdict.message} Training is asked to stop." if verdict.stops else verdict.message)

    def _before(self, global_step: int) -> dict[str, Any]:
        """What the check at this step starts from. A run resumed after a validation makes that check a second time."""
        resumed, self._resumed_check = self._resumed_check, None
        if resumed is not None and resumed["global_step"] == global_step:
            return resumed
        return {"global_step": global_step, "best_score": self.best_score, "wait_count": self.wait_count}

    def _rules(self) -> Rules:
        return Rules(
            monitor=self.monitor,
            mode=self.mode,
            min_delta=self.min_delta,
            patience=self.patience,
            check_finite=self.check_finite,
            stopping_threshold=self.stopping_threshold,
            divergence_threshold=self.divergence_threshold,
        )

    def _score(self, trainer: Trainer) -> Tensor | None:
        logged = trainer.callback_metrics
        if self.monitor in logged:
            # cloned: the trainer may go on accumulating in the same tensor
            return torch.as_tensor(logged[self.monitor]).detach().cpu().squeeze().clone()
        message = not_logged(type(self).__name__, self.monitor, logged, "set `strict=False` to skip such checks")
        if self.strict:
            raise RuntimeError(message)
        if not self._told_of_absence and trainer.is_global_zero:
            self._told_of_absence = True
            warnings.warn(message, stacklevel=2)
        return None

    def _tell(self, trainer: Trainer, message: str) -> None:
        if self.log_rank_zero_only and not trainer.is_global_zero:
            return
        rank = f"[rank {trainer.global_rank}] " if trainer.world_size > 1 else ""
        _log.info("%s%s: %s", rank, type(self).__name__, message)

    # ---- state -------------------------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint: the class with the monitor and the mode."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        """The best score, how long it has been waiting, and whether it has asked to stop."""
        state = {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            # the number, as a checkpoint that loads with weights_only=True holds no enum
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }
        return state if self._last_check is None else {**state, "last_check": self._last_check}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state. ``patience`` stays as the script sets it."""
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict["stopped_epoch"]
        self.best_score = torch.as_tensor(state_dict["best_score"]).cpu()
        reason = state_dict.get("stopping_reason", 0)  # absent in files of Lightning before 2.6
        self.stopping_reason = EarlyStoppingReason(getattr(reason, "value", reason))
        self.stopping_reason_message = state_dict.get("stopping_reason_message")
        self._last_check = self._resumed_check = state_dict.get("last_check")
