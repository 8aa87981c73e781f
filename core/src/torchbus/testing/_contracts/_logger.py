"""The promises of a logger."""

from __future__ import annotations

import pickle
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchbus_hookspecs import Logger
from torchbus_hookspecs.settings import describe_settings

from .._toys import TinyDataModule, TinyModule, quiet_trainer
from ._base import PluginContract, nothing_left_open

__all__ = ["LoggerContract"]


class LoggerContract(PluginContract):
    """What torchbus relies on in a logger. Set ``plugin``, and ``settings`` where it needs some.

    A setting ``save_dir`` that ``settings`` does not give is the test's own folder.
    """

    folder: Path = Path()

    @pytest.fixture(autouse=True)
    def own_folder(self, tmp_path: Path) -> None:
        """Each test writes into a folder of its own."""
        self.folder = tmp_path

    def given(self) -> dict[str, Any]:
        """The settings, with a folder if the logger takes one."""
        takes_folder = any(one.name == "save_dir" for one in describe_settings(type(self).plugin))
        return {**({"save_dir": str(self.folder)} if takes_folder else {}), **self.settings}

    def test_is_a_logger(self) -> None:
        """Enabled by name as a logger, it must be one."""
        assert isinstance(self.make(), Logger)

    def test_has_a_name_and_a_version(self) -> None:
        """Folders of checkpoints are made of them; reading them twice gives the same."""
        one = self.make()
        assert one.name is None or isinstance(one.name, str)
        assert one.version is None or isinstance(one.version, int | str)
        assert (one.name, one.version) == (one.name, one.version)

    def test_takes_metrics_with_and_without_step(self) -> None:
        """Also names with slashes, whole numbers, infinity and NaN."""
        one = self.make()
        one.log_metrics({"loss": 0.5, "val/accuracy": 1}, step=0)
        one.log_metrics({"loss": float("nan"), "other": float("inf")}, step=3)
        one.log_metrics({"loss": 0.25})
        one.save()
        one.finalize("success")

    def test_takes_hyperparameters(self) -> None:
        """As a dictionary, nested, or as a namespace, with values of any type."""
        one = self.make()
        one.log_hyperparams({"lr": 0.1, "layers": [1, 2], "nested": {"a": None, "b": torch.nn.ReLU()}})
        one.finalize("success")
        other = self.make()
        other.log_hyperparams(Namespace(lr=0.1, name="run"))
        other.finalize("success")

    def test_is_finalized_twice_and_after_a_failure(self) -> None:
        """A run that fails finalizes too; a second run of the same trainer goes on with the same logger."""
        one = self.make()
        one.log_metrics({"loss": 0.5}, step=0)
        one.finalize("failed")
        one.finalize("success")
        one.log_metrics({"loss": 0.4}, step=1)
        one.finalize("success")

    def test_serves_a_whole_run(self) -> None:
        """Fit, with hyperparameters and graph, then test, without a failure that would quarantine it."""
        one = self.make()
        trainer, module = quiet_trainer(self.folder, logger=one), TinyModule()
        trainer.fit(module, datamodule=TinyDataModule())
        trainer.test(module, datamodule=TinyDataModule(), verbose=False)
        registered = trainer.bus.plugins.get(trainer.bus.name_of(one) or "")
        assert registered is not None, "it was quarantined"
        assert registered.strikes == 0, f"it failed: {registered.last_failure}"

    def test_pickles_before_and_after_use(self) -> None:
        """Trainers are sent to other processes with their loggers."""
        one = self.make()
        assert type(pickle.loads(pickle.dumps(one))) is type(one)  # noqa: S301  # just made
        one.log_metrics({"loss": 0.5}, step=0)
        other = pickle.loads(pickle.dumps(one))  # noqa: S301  # just made
        other.log_metrics({"loss": 0.4}, step=1)
        for logger in (one, other):
            logger.finalize("success")

    def test_leaves_nothing_open(self) -> None:
        """After ``finalize`` its files are closed and its threads ended."""
        with nothing_left_open():
            one = self.make()
            one.log_metrics({"loss": 0.5}, step=0)
            one.save()
            one.finalize("success")
