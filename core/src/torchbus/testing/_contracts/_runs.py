"""The promises of every plugin that takes part in runs: what it lives through, and what it leaves behind."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torchbus_hookspecs import Callback, Checkpoint, ProgressBar

from ..._state import TrainerStatus
from ..._trainer import Trainer
from .._toys import TinyDataModule, TinyModule, quiet_trainer
from ._base import PluginContract, nothing_left_open

__all__ = ["Interrupt", "Interruption", "RunContract", "assert_finished"]

MOMENTS = {
    "fit": "on_train_batch_start", "sanity": "on_validation_batch_start", "validate": "on_validation_batch_start",
    "test": "on_test_batch_start", "predict": "on_predict_batch_start",
}  # fmt: skip
"""The hook in which the contract ends each kind of run; a fit in its second epoch."""


class Interruption(Exception):
    """What the contract lets a run end with."""


class Interrupt(Callback):
    """Ends a run before it is done."""

    def __init__(self, stage: str) -> None:
        # the second batch of the second epoch; others may have one batch only
        self.place = (1, 1) if stage == "fit" else (0, 0)
        setattr(self, MOMENTS[stage], self._end)

    def _end(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, *rest: Any) -> None:
        if (trainer.current_epoch, batch_idx) == self.place:
            raise Interruption


class RunContract(PluginContract):
    """Inherit one of the contracts of a kind, not this.

    Attributes:
        trainer_options: arguments that the plugin needs a trainer to have, such as ``{"logger": "csv"}``.
        module: the class of the module it is run with.
    """

    trainer_options: ClassVar[dict[str, Any]] = {}
    module: ClassVar[type[Any]] = TinyModule

    def trainer(self, folder: Path, *plugins: Any, **options: Any) -> Trainer:
        """A quiet trainer with these plugins."""
        switches: dict[str, Any] = {}
        if any(isinstance(one, Checkpoint) for one in plugins):
            switches["enable_checkpointing"] = None  # "off" would contradict the callback
        if any(isinstance(one, ProgressBar) for one in plugins):
            switches["enable_progress_bar"] = None
        return quiet_trainer(folder, plugins=list(plugins), **{**switches, **self.trainer_options, **options})

    def test_pickles(self) -> None:
        """Trainers are sent to other processes with their plugins."""
        one = self.make()
        assert type(pickle.loads(pickle.dumps(one))) is type(one)  # noqa: S301  # just made

    def test_pickles_after_a_run(self, tmp_path: Path) -> None:
        """So are trainers that have run; what comes out takes part in another run."""
        one = self.make()
        self.trainer(tmp_path, one).fit(self.module(), datamodule=TinyDataModule())
        other = pickle.loads(pickle.dumps(one))  # noqa: S301  # just made
        trainer = self.trainer(tmp_path, other)
        trainer.fit(self.module(), datamodule=TinyDataModule())
        assert_finished(trainer)

    @pytest.mark.parametrize("entry", ["fit", "validate", "test", "predict"])
    def test_survives(self, entry: str, tmp_path: Path) -> None:
        """Each entry point runs with it: the fit with its sanity check and validations."""
        trainer = self.trainer(tmp_path, self.make())
        getattr(trainer, entry)(self.module(), datamodule=TinyDataModule())
        assert_finished(trainer)

    def test_survives_entry_points_in_turn(self, tmp_path: Path) -> None:
        """One instance serves several entry points of one trainer, and a second fit."""
        trainer, module = self.trainer(tmp_path, self.make()), self.module()
        for entry in ("validate", "fit", "test", "predict", "fit"):
            getattr(trainer, entry)(module, datamodule=TinyDataModule())
        assert_finished(trainer)

    @pytest.mark.parametrize("stage", MOMENTS)
    def test_lets_an_exception_through(self, stage: str, tmp_path: Path) -> None:
        """An error elsewhere ends the run as itself, not as an error of this plugin; another run can follow."""
        trainer, module = self.trainer(tmp_path, self.make(), Interrupt(stage)), self.module()
        with pytest.raises(Interruption):
            getattr(trainer, "fit" if stage == "sanity" else stage)(module, datamodule=TinyDataModule())
        self.trainer(tmp_path, self.make(), max_epochs=1).fit(self.module(), datamodule=TinyDataModule())

    def test_leaves_nothing_open(self, tmp_path: Path) -> None:
        """After a run its files are closed and its threads ended."""
        self.trainer(tmp_path, self.make()).fit(self.module(), datamodule=TinyDataModule())  # what libraries keep open
        with nothing_left_open():
            self.trainer(tmp_path, self.make()).fit(self.module(), datamodule=TinyDataModule())

    def test_leaves_nothing_open_when_a_run_fails(self, tmp_path: Path) -> None:
        """Nor does it while the exception is on its way."""
        self.trainer(tmp_path, self.make()).fit(self.module(), datamodule=TinyDataModule())  # what libraries keep open
        with nothing_left_open(), pytest.raises(Interruption):
            self.trainer(tmp_path, self.make(), Interrupt("fit")).fit(self.module(), datamodule=TinyDataModule())

    def test_a_run_with_it_is_resumed(self, tmp_path: Path) -> None:
        """A fit that goes on from a checkpoint ends with the counters of one that was never interrupted."""
        first = self.trainer(tmp_path, self.make(), max_epochs=1)
        first.fit(self.module(), datamodule=TinyDataModule())
        first.save_checkpoint(tmp_path / "first.ckpt")
        second = self.trainer(tmp_path, self.make())
        second.fit(self.module(), datamodule=TinyDataModule(), ckpt_path=tmp_path / "first.ckpt")
        assert_finished(second)
        assert second.current_epoch >= first.current_epoch


def assert_finished(trainer: Trainer) -> None:
    """The run went to its end, and no plugin failed in it: those that only look on fail without ending it."""
    assert trainer.state.status == TrainerStatus.FINISHED
    failed = {
        one.name: one.last_failure for one in (*trainer.bus.plugins.values(), *trainer.bus.quarantined) if one.strikes
    }
    assert not failed, f"failed: {failed}"
