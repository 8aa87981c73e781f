"""The callback ``model_checkpoint``: its settings, and the moments at which it looks. ``_saving.py`` does the rest."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torchbus_hookspecs import MisconfigurationException, hookimpl
from torchbus_hookspecs.monitor import look_early, not_logged
from torchbus_hookspecs.settings import Duration, validated

from ._files import absolute_folder, default_folder, obstacle, unwritable
from ._retention import Mode
from ._saving import Saving
from ._triggers import Triggers, saves_after_training, validation_follows_last_batch

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ModelCheckpoint"]


@validated
class ModelCheckpoint(Saving):
    """Save checkpoints while a model trains: the best ones by a metric, or the newest.

    Without any setting it keeps the newest checkpoint, one per epoch, below the logger's folder or
    ``default_root_dir/checkpoints``. Class attributes (``CHECKPOINT_JOIN_CHAR``, ...) say how file names are built.

    Attributes:
        dirpath: the folder, absolute; ``None`` until the first run chooses it.
        best_model_path: file with the best score, or the newest one without ``monitor``; empty before the first.
        best_model_score: its score, shape ``()``.
        best_k_models: score of each file that is kept for its score.
        kth_best_model_path: the worst of them once there are ``save_top_k``; the next to go.
        kth_value: its score.
        current_score: the score of the last file that was saved for its score.
        last_model_path: file of ``save_last``.

    Raises:
        MisconfigurationException: a setting is wrong, the folder cannot be written to, or the monitored metric is
            missing after a validation.

    Source: Lightning ``ModelCheckpoint``.
    """

    def __init__(
        self,
        dirpath: Annotated[
            str | Path | None,
            Field(description="Folder of the checkpoints. Default: below the logger's folder or `default_root_dir`."),
        ] = None,
        filename: Annotated[
            str | None,
            Field(description="Name of the files, with metrics in braces. Default: `{epoch}-{step}`."),
        ] = None,
        monitor: Annotated[
            str | None, Field(description="Metric that ranks checkpoints. Default: none, the newest is the best.")
        ] = None,
        verbose: Annotated[bool, Field(description="Log what is saved.")] = False,
        save_last: Annotated[
            bool | Literal["link"] | None,
            Field(description="Whether the newest is also kept as `last.ckpt`: a copy, or a link to it (`link`)."),
        ] = None,
        save_top_k: Annotated[
            int, Field(ge=-1, description="How many to keep; -1: all, 0: none. More than 1 needs `monitor`.")
        ] = 1,
        save_on_exception: Annotated[bool, Field(description="Save when training ends with an exception.")] = False,
        save_weights_only: Annotated[bool, Field(description="Leave out what only a resumed run needs.")] = False,
        mode: Annotated[Mode, Field(description="Whether low or high values of the metric are good.")] = "min",
        auto_insert_metric_name: Annotated[
            bool, Field(description="Write `name=value` into file names, not only the value.")
        ] = True,
        every_n_train_steps: Annotated[
            int | None, Field(ge=0, description="Optimizer steps from one checkpoint to the next; 0: never by steps.")
        ] = None,
        train_time_interval: Annotated[
            Duration | None, Field(ge=timedelta(0), description="Time from one checkpoint to the next, such as `30m`.")
        ] = None,
        every_n_epochs: Annotated[
            int | None,
            Field(
                ge=0, description="Epochs from one checkpoint to the next; 0: never. Default: 1, if no other is set."
            ),
        ] = None,
        save_on_train_epoch_end: Annotated[
            bool | None,
            Field(
                description="Save at the end of training epochs (true) or of validations (false). Default: of training"
                " epochs when there is one validation for each, or none at all."
            ),
        ] = None,
        enable_version_counter: Annotated[
            bool, Field(description="Add `-v1`, `-v2`, ... to a name that is taken, instead of overwriting.")
        ] = True,
    ) -> None:
        owner = type(self).__name__
        if monitor is None and save_top_k > 1:
            raise MisconfigurationException(
                f"{owner}: `save_top_k={save_top_k}` needs a metric that says which checkpoints are the best.\n"
                "To fix: set `monitor`, or keep all (-1), the newest (1) or none (0).",
                plugin=owner,
            )
        super().__init__(mode)
        self.dirpath = None if dirpath is None else absolute_folder(dirpath, owner)
        self.filename = filename
        self.monitor = monitor
        self.verbose = verbose
        self.save_last: bool | Literal["link"] | None = save_last
        self.save_top_k = save_top_k
        self.save_on_exception = save_on_exception
        self.save_weights_only = save_weights_only
        self.auto_insert_metric_name = auto_insert_metric_name
        self.enable_version_counter = enable_version_counter
        self._triggers = Triggers.chosen(every_n_train_steps, every_n_epochs, train_time_interval, owner)
        self._save_on_train_epoch_end = save_on_train_epoch_end
        self._looked_early = monitor is None
        self._deferred = self._missed = self._told_of_absence = False
        self._has_validated = self._has_finished_an_epoch = False
        self._last_step_seen = 0
        self._last_time_saved = time.monotonic()

    @property
    def every_n_epochs(self) -> int | None:
        """Epochs from one checkpoint to the next; 0: never by epochs."""
        return self._triggers.every_n_epochs

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint: the class with what tells several of them in one run apart."""
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._triggers.every_n_train_steps,
            every_n_epochs=self._triggers.every_n_epochs,
            train_time_interval=self._triggers.train_time_interval,
        )

    def find_last(self, trainer: Trainer) -> list[str]:
        """Also the files of earlier runs: those in the folder whose names begin as those of ``save_last`` do."""
        known = super().find_last(trainer)
        folder = Path(self.dirpath if self.dirpath is not None else default_folder(trainer))
        beginning = self.CHECKPOINT_NAME_LAST.partition("{")[0]
        if not beginning:  # any file might be one
            return known
        earlier = [path for path in folder.glob(f"*{self.FILE_EXTENSION}") if path.name.startswith(beginning)]
        return sorted({*known, *(str(path) for path in earlier if path.exists())})

    # ---- hooks -------------------------------------------------------------------------------------------------------

    @property
    def idle_hooks(self) -> Collection[str]:
        """Where only epochs count, batches need not be looked at."""
        return () if self._triggers.act_inside_epochs else ("on_train_batch_end",)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder; before a fit, make sure that it can be written to."""
        folder = self.dirpath if self.dirpath is not None else default_folder(trainer)
        self.dirpath = trainer.strategy.broadcast(folder)
        if stage != "fit":
            return
        self._looked_early = self.monitor is None
        self._deferred = self._missed = self._told_of_absence = False
        self._has_validated = self._has_finished_an_epoch = False
        self._refuse_unwritable_folder(trainer, self.dirpath)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; the step that a resumed run begins with has been looked at before."""
        self._last_time_saved = time.monotonic()
        self._last_step_seen = trainer.global_step
        if not self._looked_early:
            trainer.before_batch(functools.partial(self._look_early, trainer), skip=1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when the number of steps or the time since the last checkpoint says so."""
        if self._is_due_inside_epoch(trainer):
            self._deferred = self._should_wait_for_validation(trainer)
            if not self._deferred:
                self._save_all(trainer, at_step=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a validation, if that is the moment for it, or if a save has been waiting for its metric."""
        if trainer.sanity_checking:
            if not self._looked_early:
                # all that validation logs is known now, and is cleared before on_sanity_check_end
                self._look_early(trainer)
            return
        self._has_validated = True
        if self._may_save(trainer) and not self._saves_after_training(trainer):
            if self._deferred:
                self._deferred = False
                self._save_all(trainer, at_step=True)
            elif self._triggers.due_at_epoch(trainer.current_epoch):
                self._save_all(trainer)

    @hookimpl(trylast=True)
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of a training epoch, if that is the moment for it."""
        self._has_finished_an_epoch = True
        is_due = self._triggers.due_at_epoch(trainer.current_epoch)
        if is_due and self._may_save(trainer) and self._saves_after_training(trainer):
            self._save_all(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what is still waiting, and keep ``save_last``'s promise in a run that had no other occasion."""
        is_there = self.monitor in trainer.callback_metrics
        if self._missed and not is_there:
            self._warn_of_absence(trainer)
        if self._deferred and is_there and self._may_save(trainer):
            self._save_all(trainer, at_step=True)
        if self.save_last and self._last_global_step_saved == 0 and self._may_save(trainer):
            self._remove(trainer, self._save_last(trainer, self._candidates(trainer)))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what has been reached, if ``save_on_exception`` says so."""
        if not (self.save_on_exception and self._may_save(trainer)):
            return
        try:
            self._save_rescue(trainer)
        except Exception as error:  # whatever goes wrong here must not hide what ended the run
            exception.add_note(f"{type(self).__name__} could not save a checkpoint of this: {error!r}")

    # ---- moments -----------------------------------------------------------------------------------------------------

    def _refuse_unwritable_folder(self, trainer: Trainer, folder: str) -> None:
        if trainer.fast_dev_run or not (self.save_top_k or self.save_last or self.save_on_exception):
            return
        # only rank zero writes, but all ranks must end
        problem = trainer.strategy.broadcast(obstacle(folder) if trainer.is_global_zero else None)
        if problem is not None:
            raise unwritable(folder, problem, type(self).__name__)

    def _may_save(self, trainer: Trainer) -> bool:
        return bool(
            trainer.state.fn == "fit"
            and not trainer.sanity_checking
            and not trainer.fast_dev_run
            and self._last_global_step_saved != trainer.global_step
        )

    def _saves_after_training(self, trainer: Trainer) -> bool:
        return saves_after_training(
            self._save_on_train_epoch_end,
            enable_validation=trainer.enable_validation,
            num_val_batches=trainer.num_val_batches,
            val_check_interval=trainer.val_check_interval,
            check_val_every_n_epoch=trainer.check_val_every_n_epoch,
        )

    def _is_due_inside_epoch(self, trainer: Trainer) -> bool:
        if not self._may_save(trainer):
            return False
        step = trainer.global_step
        # batches that only accumulate gradients do not make the same step due again
        is_new, self._last_step_seen = step != self._last_step_seen, step
        if is_new and self._triggers.due_at_step(step):
            return True
        if self._triggers.train_time_interval is None:
            return False
        now = time.monotonic()
        # clocks differ between ranks, the decision may not
        due = trainer.strategy.broadcast(self._triggers.due_after(now - self._last_time_saved))
        if due:
            self._last_time_saved = now
        return due

    def _should_wait_for_validation(self, trainer: Trainer) -> bool:
        """Whether a save that steps or time made due had better wait: for the metric to come, or to be renewed."""
        if self.monitor is None or self.save_top_k == 0 or self._saves_after_training(trainer):
            return False
        if self.monitor not in trainer.callback_metrics:
            self._missed = True
            return not (self._has_validated and self._has_finished_an_epoch)
        return bool(
            trainer.is_last_batch
            and validation_follows_last_batch(
                trainer.current_epoch, trainer.val_check_interval, trainer.check_val_every_n_epoch
            )
        )

    # ---- a metric that is missing ------------------------------------------------------------------------------------

    def _look_early(self, trainer: Trainer) -> None:
        self._looked_early = self.monitor is None or look_early(type(self).__name__, self.monitor, trainer)

    def _meet_absence(self, trainer: Trainer, *, at_step: bool) -> None:
        # it proves nothing while what logs the metric may not have run yet; then on_train_end looks again
        self._missed = True
        if at_step and not self._has_finished_an_epoch:
            return
        if self._has_validated:
            raise MisconfigurationException(self._absence(trainer), plugin=type(self).__name__)
        if not trainer.enable_validation:
            self._warn_of_absence(trainer)

    def _warn_of_absence(self, trainer: Trainer) -> None:
        if not self._told_of_absence and trainer.is_global_zero:
            self._told_of_absence = True
            warnings.warn(f"{self._absence(trainer)}\nNo checkpoint is saved without it.", stacklevel=2)

    def _absence(self, trainer: Trainer) -> str:
        remedy = "leave `monitor` out to keep the newest checkpoint"
        return not_logged(type(self).__name__, str(self.monitor), trainer.callback_metrics, remedy)
