"""The testing kit for authors of plugins: fixtures, the recorder of events, plugins without an install."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus.testing import EventRecorder, TinyDataModule, TinyModule, quiet_trainer, tiny_loader
from torchbus_hookspecs import Callback
from torchbus_hookspecs.events import FitStart, TrainBatchEnd, TrainBatchStart, TrainEnd, TrainStart


class Steps(Callback):
    """Counts steps."""

    def __init__(self, limit: int = 100) -> None:
        self.limit, self.count = limit, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.count += 1
        trainer.should_stop = self.count >= self.limit


def test_run_fit_trains_a_tiny_module_with_nothing_else_on(run_fit: Callable[..., L.Trainer]) -> None:
    steps = Steps()
    trainer = run_fit(steps)
    assert trainer.global_step == steps.count == 8
    assert trainer.callbacks == [steps] and trainer.loggers == []
    assert {"train_loss", "val_loss"} <= set(trainer.callback_metrics)


def test_a_virtual_plugin_is_enabled_by_name_and_has_its_settings_checked(
    run_fit: Callable[..., L.Trainer], virtual_plugin: Callable[..., str]
) -> None:
    virtual_plugin("steps", Steps, distribution="torchbus-steps", version="2.1")
    trainer = run_fit({"steps": {"limit": 3}})
    assert trainer.global_step == 3
    assert "torchbus-steps 2.1" in str(trainer.bus.plugins["steps"])
    with pytest.raises(L.MisconfigurationException, match="limit"):
        run_fit({"steps": {"limit": "many"}})


def test_a_virtual_plugin_is_gone_afterwards(tmp_path: Path) -> None:
    from torchbus.testing import virtual_plugin

    path, modules = list(sys.path), set(sys.modules)
    with virtual_plugin("steps", Steps):
        quiet_trainer(tmp_path, plugins=["steps"])
    with pytest.raises(Exception, match="No installed distribution offers a plugin `steps`"):
        quiet_trainer(tmp_path, plugins=["steps"])
    assert sys.path == path and not {name for name in set(sys.modules) - modules if "virtual" in name}


def test_a_virtual_plugin_may_be_an_entry_point_of_text(tmp_path: Path, virtual_plugin: Callable[..., str]) -> None:
    virtual_plugin("quick", "torchbus.callbacks:EarlyStopping")
    trainer = quiet_trainer(tmp_path, plugins={"quick": {"monitor": "train_loss"}})
    assert trainer.early_stopping_callback is not None


def test_the_recorder_knows_order_and_counts(tmp_path: Path, event_recorder: Callable[..., EventRecorder]) -> None:
    trainer = quiet_trainer(tmp_path, max_epochs=1)
    recorder = event_recorder(trainer)
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    recorder.assert_order(FitStart, TrainStart, "TrainBatchStart", TrainBatchEnd, TrainBatchStart, TrainEnd)
    recorder.assert_counts(TrainBatchStart=4, TrainBatchEnd=4, TrainEnd=1)
    assert [event.batch_idx for event in recorder.of(TrainBatchEnd)] == [0, 1, 2, 3]
    with pytest.raises(AssertionError, match=r"TrainStart did not come after FitStart -> TrainEnd\. It came before"):
        recorder.assert_order(FitStart, TrainEnd, TrainStart)
    with pytest.raises(AssertionError, match="It never came"):
        recorder.assert_order("TrainBatchEnds")
    with pytest.raises(AssertionError, match="TrainEnd: 1 instead of 2"):
        recorder.assert_counts(TrainEnd=2)


def test_the_recorder_hears_only_what_it_is_asked_to_until_it_stops(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_epochs=1)
    recorder = EventRecorder(trainer, only=(TrainEnd,))
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    recorder.stop()
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    assert recorder.names == ["TrainEnd"]


def test_the_tiny_module_learns(tmp_path: Path) -> None:
    module = TinyModule()
    trainer = quiet_trainer(tmp_path, max_epochs=1)
    [before] = trainer.validate(module, tiny_loader(), verbose=False)
    trainer.fit(module, tiny_loader(), tiny_loader())
    [after] = trainer.validate(module, tiny_loader(), verbose=False)
    assert after["val_loss"] < before["val_loss"]


def test_pytest_finds_the_fixtures_and_torch_is_not_imported_for_them(tmp_path: Path) -> None:
    (tmp_path / "test_quick.py").write_text(
        "import sys\n\ndef test_torch_is_not_there():\n    assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--fixtures", "-p", "no:cacheprovider", str(tmp_path)]
    shown: Any = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"\n{name}" in shown for name in ("run_fit", "event_recorder", "virtual_plugin"))
    command.remove("--fixtures")
    subprocess.run(command, check=True)
