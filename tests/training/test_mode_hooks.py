"""Hooks that a module or a plugin rarely takes over: building the model under the old name, modes, gradients, loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn
from torchbus import hookimpl
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer


class Late(TinyModule):
    """Builds its head when it is told to, under the old name of the hook."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.heard = None, []

    def configure_sharded_model(self) -> None:
        self.heard.append("configure_sharded_model")
        self.head = self.head or nn.Linear(4, 1)

    def configure_model(self) -> None:
        self.heard.append("configure_model" if self.head else "too early")


def test_a_model_may_be_built_in_configure_sharded_model(tmp_path: Path) -> None:
    module = Late()
    quiet_trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(module, datamodule=TinyDataModule())
    assert module.heard == ["configure_sharded_model", "configure_model"]
    assert module.head.weight.grad is not None, "it was trained"


class Watching(TinyModule):
    """Notes the mode of each step that is no training, and whether gradients are there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bool, bool]] = []

    def _note(self, stage: str) -> None:
        self.seen.append((stage, self.head.training, self.head.weight.grad is not None))

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self._note("validation")
        return super().validation_step(batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self._note("test")
        return super().test_step(batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        self._note("predict")
        return super().predict_step(batch, batch_idx)


class Stays:
    """Says that there is nothing left to do."""

    @hookimpl
    def on_validation_model_zero_grad(self) -> bool:
        return True

    @hookimpl
    def on_test_model_eval(self) -> bool:
        return True

    @hookimpl
    def on_predict_model_eval(self) -> bool:
        return True


@pytest.mark.parametrize("answered", [False, True])
def test_a_plugin_may_keep_gradients_through_validation(tmp_path: Path, answered: bool) -> None:
    module = Watching()
    plugins = [Stays()] if answered else []
    trainer = quiet_trainer(tmp_path, max_epochs=1, plugins=plugins, num_sanity_val_steps=0)
    trainer.fit(module, datamodule=TinyDataModule())
    assert set(module.seen) == {("validation", False, answered)}


@pytest.mark.parametrize("entry", ["test", "predict"])
@pytest.mark.parametrize("answered", [False, True])
def test_a_plugin_may_leave_the_module_in_training_mode(tmp_path: Path, entry: str, answered: bool) -> None:
    module = Watching()
    trainer = quiet_trainer(tmp_path, plugins=[Stays()] if answered else [])
    getattr(trainer, entry)(module, datamodule=TinyDataModule())
    assert set(module.seen) == {(entry, answered, False)}
    assert module.training, "as it was before"
