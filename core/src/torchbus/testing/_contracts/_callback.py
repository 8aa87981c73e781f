"""The promises of a callback."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torchbus_hookspecs import Callback, Checkpoint, ProgressBar

from ..._bus import CALLBACK_SHAPE, Bus
from ..._state import TrainerStatus
from ..._trainer import Trainer
from .._toys import TinyDataModule, TinyModule, quiet_trainer
from ._base import PluginContract, nothing_left_open

__all__ = ["CallbackContract"]


class Interruption(Exception):
    """What the contract lets a run end with."""


class _Interrupt(Callback):
    """Ends a fit in the middle of its second epoch."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise Interruption


class CallbackContract(PluginContract):
    """What torchbus relies on in a callback. Set ``plugin``, and ``settings`` where it needs some.

    Attributes:
        trainer_options: arguments that the callback needs a trainer to have, such as ``{"logger": "csv"}``.
        module: the class of the module it is run with.
    """

    trainer_options: ClassVar[dict[str, Any]] = {}
    module: ClassVar[type[Any]] = TinyModule

    def trainer(self, folder: Path, *callbacks: Any, **options: Any) -> Trainer:
        """A quiet trainer with these callbacks."""
        switches: dict[str, Any] = {}
        if any(isinstance(one, Checkpoint) for one in callbacks):
            switches["enable_checkpointing"] = None  # "off" would contradict the callback
        if any(isinstance(one, ProgressBar) for one in callbacks):
            switches["enable_progress_bar"] = None
        return quiet_trainer(folder, callbacks=list(callbacks), **{**switches, **self.trainer_options, **options})

    # ---- what it is ----------------------------------------------------------------------------------------------------

    def test_is_a_callback(self) -> None:
        """Enabled by name as a callback, it must be one."""
        assert isinstance(self.make(), Callback)

    def test_its_hooks_fit_the_contract(self) -> None:
        """Registering it finds no misspelt hook and no argument that does not fit."""
        bus = Bus()
        name = bus.register(self.make(), "under_test", shape=CALLBACK_SHAPE)
        assert bus.hooks_of(name) or "state_dict" in dir(type(self.make())), "it implements no hook"

    def test_pickles(self) -> None:
        """Trainers are sent to other processes with their callbacks."""
        one = self.make()
        other = pickle.loads(pickle.dumps(one))  # noqa: S301  # just made
        assert type(other) is type(one)
        assert other.state_dict().keys() == one.state_dict().keys()

    # ---- what it lives through -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("entry", ["fit", "validate", "test", "predict"])
    def test_survives(self, entry: str, tmp_path: Path) -> None:
        """Each entry point runs with it: the fit with its sanity check and validations."""
        trainer = self.trainer(tmp_path, self.make())
        getattr(trainer, entry)(self.module(), datamodule=TinyDataModule())
        assert trainer.state.status == TrainerStatus.FINISHED

    def test_survives_entry_points_in_turn(self, tmp_path: Path) -> None:
        """One instance serves several entry points of one trainer, and a second fit."""
        trainer, module = self.trainer(tmp_path, self.make()), self.module()
        for entry in ("validate", "fit", "test", "predict", "fit"):
            getattr(trainer, entry)(module, datamodule=TinyDataModule())
        assert trainer.state.status == TrainerStatus.FINISHED

    def test_lets_an_exception_through(self, tmp_path: Path) -> None:
        """An error elsewhere ends the run as itself, not as an error of this callback; another run can follow."""
        one = self.make()
        with pytest.raises(Interruption):
            self.trainer(tmp_path, one, _Interrupt()).fit(self.module(), datamodule=TinyDataModule())
        self.trainer(tmp_path, self.make(), max_epochs=1).fit(self.module(), datamodule=TinyDataModule())

    def test_leaves_nothing_open(self, tmp_path: Path) -> None:
        """After a run its files are closed and its threads ended."""
        self.trainer(tmp_path, self.make()).fit(self.module(), datamodule=TinyDataModule())  # what libraries keep open
        with nothing_left_open():
            self.trainer(tmp_path, self.make()).fit(self.module(), datamodule=TinyDataModule())

    # ---- what it keeps -------------------------------------------------------------------------------------------------

    def test_state_is_plain(self, tmp_path: Path) -> None:
        """Its state can be read back with ``weights_only=True``: a checkpoint with it is safe to load."""
        one, file = self.make(), tmp_path / "state.pt"
        self.trainer(tmp_path, one).fit(self.module(), datamodule=TinyDataModule())
        torch.save(one.state_dict(), file)
        torch.load(file, weights_only=True)

    def test_state_comes_back(self, tmp_path: Path) -> None:
        """A new instance that loads the state has the same state."""
        one, other, file, module = self.make(), self.make(), tmp_path / "state.pt", self.module()
        trainer = self.trainer(tmp_path, one)
        trainer.fit(module, datamodule=TinyDataModule())
        torch.save(one.state_dict(), file)
        other.setup(trainer, module, stage="fit")  # a checkpoint is read after it
        other.load_state_dict(torch.load(file, weights_only=True))
        assert_equal_state(other.state_dict(), one.state_dict())

    def test_a_run_with_it_is_resumed(self, tmp_path: Path) -> None:
        """A fit that goes on from a checkpoint ends with the counters of one that was never interrupted."""
        first = self.trainer(tmp_path, self.make(), max_epochs=1)
        first.fit(self.module(), datamodule=TinyDataModule())
        first.save_checkpoint(tmp_path / "first.ckpt")
        second = self.trainer(tmp_path, self.make())
        second.fit(self.module(), datamodule=TinyDataModule(), ckpt_path=tmp_path / "first.ckpt")
        assert second.state.status == TrainerStatus.FINISHED and second.current_epoch >= first.current_epoch


def assert_equal_state(found: Any, expected: Any, path: str = "state") -> None:
    """Compare nested plain values and tensors."""
    if isinstance(expected, dict):
        assert isinstance(found, dict) and found.keys() == expected.keys(), f"{path}: {found!r} is not {expected!r}"
        for key in expected:
            assert_equal_state(found[key], expected[key], f"{path}[{key!r}]")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(torch.as_tensor(found), expected), f"{path}: {found!r} is not {expected!r}"
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), f"{path}: {found!r} is not {expected!r}"
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal_state(one, other, f"{path}[{index}]")
    else:
        assert found == expected or found != found, f"{path}: {found!r} is not {expected!r}"  # NaN is no failure
