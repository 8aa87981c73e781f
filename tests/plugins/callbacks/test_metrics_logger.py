"""The history of metrics: its rows, its file, and both over a resume and on a disk that does not play along."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from torchbus.callbacks import MetricsLogger
from torchbus.testing import CallbackContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_monitoring import read_history
from torchbus_monitoring._history_file import HistoryFile

from .small_fits import Failing, Line, loader, trainer

NAN = float("nan")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:history.jsonl was there already")
class TestContract(CallbackContract):
    plugin = MetricsLogger
    settings = {"path": "history.jsonl"}


class Logging(Line):
    """Logs in each stage, and once more at the very end of an epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    def on_train_epoch_end(self) -> None:
        self.log("epochs", float(self.current_epoch))


def fit(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    given = {"max_epochs": 2, **options}
    ckpt_path = given.pop("ckpt_path", None)
    run = trainer(tmp_path, *callbacks, **given)
    run.fit(Logging(), loader(), loader(), ckpt_path=ckpt_path)
    return run


def test_a_row_for_each_validation_and_epoch_and_test(tmp_path: Path) -> None:
    metrics = MetricsLogger()
    run = fit(tmp_path, metrics)
    run.test(run.lightning_module, loader(), verbose=False)
    places = [(row["stage"], row["epoch"], row["step"]) for row in metrics.history]
    assert places == [("validate", 0, 4), ("train", 0, 4), ("validate", 1, 8), ("train", 1, 8), ("test", 2, 8)]
    names = [set(row) - {"stage", "epoch", "step"} for row in metrics.history]
    assert names == [{"val_loss"}, {"val_loss", "loss", "epochs"}] + [{"val_loss", "loss", "epochs"}] * 2 + [
        {"test_loss"}
    ]
    assert [row["epochs"] for row in metrics.history if row["stage"] == "train"] == [0.0, 1.0]
    assert all(type(value) in (str, int, float) for row in metrics.history for value in row.values())


def test_only_the_stages_that_were_asked_for(tmp_path: Path) -> None:
    run = fit(tmp_path, plugins={"metrics_logger": {"stages": ["train"]}})
    metrics = next(one for one in run.callbacks if isinstance(one, MetricsLogger))
    assert [row["stage"] for row in metrics.history] == ["train", "train"]


def test_the_file_has_the_history_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    metrics = MetricsLogger(path)
    with pytest.raises(ValueError, match="enough"):
        fit(tmp_path, metrics, Failing(4, ValueError("enough")))
    assert len(metrics.history) == 2
    assert read_history(path) == metrics.history
    assert [path.name for path in path.parent.iterdir()] == ["history.jsonl"]


def test_what_json_cannot_say_is_null_and_read_as_nan(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    HistoryFile(path).update([{"stage": "train", "loss": NAN, "norm": math.inf, "acc": 0.5}])
    assert json.loads(path.read_text()) == {"stage": "train", "loss": None, "norm": None, "acc": 0.5}
    (row,) = read_history(path)
    assert math.isnan(row["loss"]) and row["acc"] == 0.5


def test_a_resumed_run_goes_on_with_history_and_file(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first = MetricsLogger(path)
    run = fit(tmp_path, first, max_epochs=1)
    run.save_checkpoint(tmp_path / "one.ckpt")
    fit(tmp_path, MetricsLogger(path), ckpt_path=tmp_path / "one.ckpt")  # whose last epoch is then given up
    again = MetricsLogger(path)
    fit(tmp_path, again, max_epochs=3, ckpt_path=tmp_path / "one.ckpt")
    assert [row["epoch"] for row in again.history] == [0, 0, 1, 1, 2, 2]
    assert read_history(path) == again.history
    assert [one.name for one in tmp_path.glob("*.jsonl")] == ["history.jsonl"]


def test_a_file_of_another_run_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 7}\n')
    metrics = MetricsLogger(path)
    with pytest.warns(UserWarning, match="history.1.jsonl"):
        fit(tmp_path, metrics)
    assert read_history(tmp_path / "history.1.jsonl") == [{"epoch": 7}]
    assert read_history(path) == metrics.history


def test_half_a_line_on_a_full_disk_is_mended_at_the_next_row(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    rows = [{"epoch": 0}, {"epoch": 1}]
    HistoryFile(path).update(rows)
    path.write_text('{"epoch": 0}\n{"ep')
    HistoryFile(path).update([*rows, {"epoch": 2}])
    assert read_history(path) == [*rows, {"epoch": 2}]


def test_a_folder_that_cannot_be_written_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    metrics = MetricsLogger(tmp_path / "file" / "history.jsonl")
    with pytest.warns(RuntimeWarning) as warned:
        run = fit(tmp_path, metrics)
    text = str(warned[0].message)
    assert "MetricsLogger: cannot use the file" in text and "history.jsonl" in text and "set `path` to another" in text
    assert run.global_step == 8
    assert [plugin.name for plugin in run.bus.quarantined] == ["metrics_logger"]


def test_settings_are_checked_and_described() -> None:
    with pytest.raises(MisconfigurationException, match="stages"):
        MetricsLogger(stages=("predict",))  # type: ignore[arg-type]
    assert all(setting.description for setting in describe_settings(MetricsLogger))
