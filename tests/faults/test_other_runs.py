"""A plugin that raises in hooks that an ordinary run does not ask plugins for: what a module leaves out, and other kinds of run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchbus as L
from torch.nn.functional import mse_loss
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer, tiny_loader
from torchbus_hookspecs import hookimpl

from .runs import Wrong, note_of, plugin

POLICIES = ["raise", "quarantine"]


def fail() -> None:
    raise Wrong("no luck")


# ---- what a module leaves to plugins ----------------------------------------------------------------------------------


class Empty(L.LightningModule):
    """A module with parameters and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)


def loss_of(pl_module: Any, batch: Any) -> torch.Tensor:
    return mse_loss(pl_module(batch[0]), batch[1])


class Everything:
    """Provides all that the module lacks."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    @hookimpl
    def forward(self, pl_module, args):
        self.asked.add("forward")
        return pl_module.layer(*args)

    @hookimpl
    def configure_optimizers(self, pl_module):
        self.asked.add("configure_optimizers")
        return torch.optim.SGD(pl_module.parameters(), lr=0.1)

    @hookimpl
    def training_step(self, pl_module, batch):
        self.asked.add("training_step")
        return loss_of(pl_module, batch)

    @hookimpl
    def validation_step(self, pl_module, batch):
        self.asked.add("validation_step")
        return loss_of(pl_module, batch)

    @hookimpl
    def test_step(self, pl_module, batch):
        self.asked.add("test_step")
        return loss_of(pl_module, batch)

    @hookimpl
    def predict_step(self, pl_module, batch):
        self.asked.add("predict_step")
        return pl_module(batch[0])

    @hookimpl
    def train_dataloader(self):
        self.asked.add("train_dataloader")
        return tiny_loader(8, 2)

    @hookimpl
    def val_dataloader(self):
        self.asked.add("val_dataloader")
        return tiny_loader(4, 2)

    @hookimpl
    def test_dataloader(self):
        self.asked.add("test_dataloader")
        return tiny_loader(4, 2)

    @hookimpl
    def predict_dataloader(self):
        self.asked.add("predict_dataloader")
        return tiny_loader(4, 2)


PROVIDED = sorted(name for name in vars(Everything) if not name.startswith("_"))


def live_on_plugins(folder: Path, *plugins: Any) -> Everything:
    everything, module = Everything(), Empty()
    trainer = quiet_trainer(folder, plugins=[*plugins, {"everything": everything}])
    trainer.fit(module)
    trainer.test(module, verbose=False)
    predictions = trainer.predict(module)
    assert trainer.global_step == 8 and predictions is not None and len(predictions) == 2
    return everything


def test_plugins_can_be_all_that_a_module_is_not(tmp_path: Path) -> None:
    assert live_on_plugins(tmp_path).asked == set(PROVIDED)


@pytest.mark.parametrize("hook", PROVIDED)
def test_one_that_fails_to_provide_ends_the_run_or_is_passed_over(hook: str, tmp_path: Path) -> None:
    with pytest.raises(Wrong) as caught:
        live_on_plugins(tmp_path, {"failing": plugin([hook], fail)})
    assert caught.value.__notes__ == [note_of(hook)]
    with pytest.warns(RuntimeWarning, match=f"`failing` failed in `{hook}`: Wrong: no luck"):
        live_on_plugins(tmp_path, {"failing": plugin([hook], fail, on_failure="quarantine")})


# ---- manual optimization, and modes that a module sets ----------------------------------------------------------------


class Manual(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        with self.toggled_optimizer(optimizer):
            self.manual_backward(self._loss(batch, "train_loss"))
        optimizer.step()
        optimizer.zero_grad()

    def on_validation_model_train(self) -> None:
        super().on_validation_model_train()

    def on_test_model_train(self) -> None:
        super().on_test_model_train()


MANUAL = [
    "manual_backward", "toggle_optimizer", "toggled_optimizer", "untoggle_optimizer", "on_validation_model_train",
    "on_test_model_train",
]  # fmt: skip


def live_manually(folder: Path, *plugins: Any) -> None:
    trainer, module = quiet_trainer(folder, plugins=list(plugins), max_epochs=1), Manual()
    trainer.fit(module, datamodule=TinyDataModule())
    trainer.test(module, datamodule=TinyDataModule(), verbose=False)
    assert trainer.global_step == 4


@pytest.mark.parametrize("hook", MANUAL)
def test_one_that_fails_in_what_a_module_calls_ends_the_run_or_is_passed_over(hook: str, tmp_path: Path) -> None:
    with pytest.raises(Wrong) as caught:
        live_manually(tmp_path, {"failing": plugin([hook], fail)})
    assert caught.value.__notes__ == [note_of(hook)]
    with pytest.warns(RuntimeWarning, match=f"`failing` failed in `{hook}`: Wrong: no luck"):
        live_manually(tmp_path, {"failing": plugin([hook], fail, on_failure="quarantine")})


# ---- a process that is asked to go ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_fails_while_the_process_is_asked_to_go(policy: str, tmp_path: Path) -> None:
    class Asked(TinyModule):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.trainer.received_sigterm = True

    failing = SimpleNamespace(on_preempted=hookimpl(lambda: fail()), on_failure=policy)
    trainer = quiet_trainer(tmp_path, plugins={"failing": failing})
    if policy == "raise":
        with pytest.raises(Wrong) as caught:
            trainer.fit(Asked(), datamodule=TinyDataModule())
        assert caught.value.__notes__ == [note_of("on_preempted")]
    else:
        with (
            pytest.warns(RuntimeWarning, match="`failing` failed in `on_preempted`"),
            pytest.raises(SystemExit) as left,
        ):
            trainer.fit(Asked(), datamodule=TinyDataModule())
        assert left.value.code == 143
    assert (tmp_path / "preempted.ckpt").is_file()
