"""The base class of progress bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .callback import Callback, FailurePolicy

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """The role of a callback that shows how far a run is; a trainer has one at most. Implement ``enable``, ``disable``.

    Progress bars observe: one that raises is quarantined after three failures, and the run goes on.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    # on the class, so that a subclass may leave out `super().__init__()`
    _trainer: Trainer | None = None
    _current_eval_dataloader_idx: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_trainer"}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember the trainer; on all ranks but zero, call ``disable``."""
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def disable(self) -> None:
        """Show nothing from now on. Called on all ranks but zero."""
        raise NotImplementedError(f"{type(self).__name__} must implement `disable`.")

    def enable(self) -> None:
        """Show progress again after ``disable``."""
        raise NotImplementedError(f"{type(self).__name__} must implement `enable`.")

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print without harm to the bar. Override it where the bar and ``print`` would get in each other's way."""
        print(*args, **kwargs)  # noqa: T201  # what the user asked for

    @property
    def trainer(self) -> Trainer:
        """The trainer of the current run, or of the last one.

        Raises:
            RuntimeError: there was no run yet.
        """
        if self._trainer is None:
            raise RuntimeError(f"{type(self).__name__} has no trainer yet: give it to a Trainer and start a run.")
        return self._trainer

    @property
    def sanity_check_description(self) -> str:
        """What the bar calls the sanity check."""
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        """What the bar calls training."""
        return "Training"

    @property
    def validation_description(self) -> str:
        """What the bar calls validation."""
        return "Validation"

    @property
    def test_description(self) -> str:
        """What the bar calls testing."""
        return "Testing"

    @property
    def predict_description(self) -> str:
        """What the bar calls prediction."""
        return "Predicting"

    @property
    def total_train_batches(self) -> int | float:
        """Training batches of one epoch; ``inf`` while unknown."""
        total: int | float = self.trainer.num_training_batches
        return total

    @property
    def total_val_batches(self) -> int | float:
        """Validation batches of all loaders after this training epoch; 0 if no validation is due in this epoch."""
        every = self.trainer.check_val_every_n_epoch
        is_due = every is None or (self.trainer.current_epoch + 1) % every == 0
        return sum(self.trainer.num_val_batches) if is_due else 0

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """Validation batches (in the sanity check: its batches) of the loader that is being read."""
        trainer = self.trainer
        return self._of_current_dataloader(
            trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        )

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """Test batches of the loader that is being read."""
        return self._of_current_dataloader(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """Prediction batches of the loader that is being read."""
        return self._of_current_dataloader(self.trainer.num_predict_batches)

    def _of_current_dataloader(self, totals: Sequence[int | float]) -> int | float:
        if self._current_eval_dataloader_idx is None:
            raise RuntimeError(
                "No dataloader is being read as far as this bar knows: call `has_dataloader_changed` with its index."
            )
        return totals[self._current_eval_dataloader_idx]

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Whether the index differs from that of the last call; it is remembered for the next."""
        changed = self._current_eval_dataloader_idx != dataloader_idx
        self._current_eval_dataloader_idx = dataloader_idx
        return changed

    def reset_dataloader_idx_tracker(self) -> None:
        """Forget which dataloader was being read."""
        self._current_eval_dataloader_idx = None

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What the bar shows by name: what was logged with ``prog_bar=True``, and the loggers' version as ``v_num``.

        Override it to show more or less.
        """
        return {**_version(trainer), **trainer.progress_bar_metrics}


def _version(trainer: Trainer) -> dict[str, int | str]:
    found = (logger.version for logger in trainer.loggers)
    versions = list(dict.fromkeys(version for version in found if version not in (None, "")))
    if not versions:
        return {}
    version = versions[0] if len(versions) == 1 else "_".join(map(str, versions))
    # the end of a long version, such as a random run id, tells runs apart and leaves room for metrics
    return {"v_num": version[-4:] if isinstance(version, str) else version}
