"""The TensorBoard logger, its event files read back by TensorBoard itself."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torchbus_hookspecs import Logger, MisconfigurationException
from torchbus_tensorboard import TensorBoardLogger


@pytest.fixture(autouse=True)
def _single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def events(folder: str | Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"scalars": 0, "tensors": 0}).Reload()


def scalars(folder: str | Path) -> dict[str, list[tuple[int, float]]]:
    read = events(folder)
    return {tag: [(one.step, one.value) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def shown_hparams(folder: str | Path) -> dict[str, Any]:
    content = events(folder).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def test_metrics_can_be_read_back_by_tensorboard(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="experiment")
    logger.log_metrics({"epoch": 0, "train_loss": 0.5}, 0)
    logger.log_metrics({"epoch": 0, "train_loss": torch.tensor(0.25)}, 1)
    logger.log_metrics({"val_loss": torch.tensor([2.0])}, 1)
    logger.save()
    logger.finalize("success")
    assert scalars(tmp_path / "experiment/version_0") == {
        "epoch": [(0, 0), (1, 0)],
        "train_loss": [(0, 0.5), (1, 0.25)],
        "val_loss": [(1, 2)],
    }
    assert isinstance(logger, Logger)


def test_a_dict_of_metrics_becomes_several_curves_in_one_chart(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"acc": {"train": 0.5, "val": torch.tensor(0.25)}}, 3)  # type: ignore[dict-item]
    logger.finalize("success")
    assert scalars(Path(logger.log_dir) / "acc_train") == {"acc": [(3, 0.5)]}
    assert scalars(Path(logger.log_dir) / "acc_val") == {"acc": [(3, 0.25)]}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("high", ValueError, r"metric `x` is 'high' \(str\)\. TensorBoard takes numbers"),
        (None, ValueError, r"metric `x` is None \(NoneType\)"),
        (torch.ones(2), TypeError, "TensorBoardLogger: the metric `x` is not one number"),
        ({"y": "high"}, ValueError, r"metric `x/y` is 'high'"),
    ],
)
def test_what_is_no_number_is_refused_by_name(tmp_path: Path, value: Any, error: type[Exception], message: str) -> None:
    logger = TensorBoardLogger(tmp_path)
    with pytest.raises(error, match=message):
        logger.log_metrics({"x": value}, 0)
    logger.finalize("failed")


def test_the_prefix_is_joined_with_a_dash(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, prefix="fold1")
    logger.log_metrics({"loss": 1.0}, 5)
    logger.finalize("success")
    assert scalars(logger.log_dir) == {"fold1-loss": [(5, 1)]}


def test_logging_goes_on_after_finalize(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.finalize("success")
    logger.log_metrics({"a": 2.0}, 1)
    logger.finalize("success")
    assert len(list(Path(logger.log_dir).glob("events*"))) == 2
    assert sorted(step for path in Path(logger.log_dir).glob("events*") for step, _ in scalars(path)["a"]) == [0, 1]


# ---- folders and the writer -----------------------------------------------------------------------------------------


def test_folders_are_save_dir_name_version_and_sub_dir(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, version="best", sub_dir=Path("a/b"))
    assert (logger.save_dir, logger.name, logger.version) == (str(tmp_path), "torchbus_logs", "best")
    assert logger.root_dir == str(tmp_path / "torchbus_logs")
    assert logger.sub_dir == "a/b"
    assert logger.log_dir == str(tmp_path / "torchbus_logs/best/a/b")
    plain = TensorBoardLogger(tmp_path)
    assert plain.sub_dir is None
    assert plain.log_dir == str(tmp_path / "torchbus_logs/version_0")


def test_nothing_is_created_and_no_tensorboard_imported_before_something_is_written(tmp_path: Path) -> None:
    script = (
        "import sys, torchbus_tensorboard as t; logger = t.TensorBoardLogger(sys.argv[1]); logger.log_dir\n"
        "logger.save(); logger.finalize('success'); assert 'tensorboard' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "runs")], check=True)
    assert not (tmp_path / "runs").exists()


def test_runs_get_one_version_after_the_other(tmp_path: Path) -> None:
    for number in range(2):
        logger = TensorBoardLogger(tmp_path)
        logger.log_metrics({"a": float(number)}, 0)
        logger.finalize("success")
        assert logger.version == number
    assert scalars(tmp_path / "torchbus_logs/version_1") == {"a": [(0, 1)]}


def test_experiment_is_the_summary_writer_with_the_settings_given(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, flush_secs=5, filename_suffix=".mine")
    assert logger.experiment is logger.experiment
    logger.experiment.add_text("note", "hello")
    assert logger.experiment.flush_secs == 5
    logger.finalize("success")
    assert "note/text_summary" in events(logger.log_dir).Tags()["tensors"]
    assert any(one.name.endswith(".mine") for one in Path(logger.log_dir).iterdir())


def run_script(folder: Path, text: str) -> int:
    start = f"from torchbus.loggers import TensorBoardLogger\nlogger = TensorBoardLogger({str(folder)!r}, version=0)\n"
    return subprocess.run([sys.executable, "-c", start + text], check=False).returncode


def test_a_process_that_is_killed_has_written_what_is_older_than_a_moment(tmp_path: Path) -> None:
    logging = """
import os, signal, time
for step in range(25):
    logger.log_metrics({"a": step}, step)
time.sleep(0.2)
logger.log_metrics({"a": 25}, 25)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_script(tmp_path, logging) == -signal.SIGKILL
    assert scalars(tmp_path / "torchbus_logs/version_0")["a"] == [(step, step) for step in range(26)]


def test_a_process_that_ends_without_finalize_has_written_everything(tmp_path: Path) -> None:
    assert run_script(tmp_path, 'for step in range(3):\n    logger.log_metrics({"a": step}, step)') == 0
    assert scalars(tmp_path / "torchbus_logs/version_0")["a"] == [(0, 0), (1, 1), (2, 2)]


def test_numbers_and_what_experiment_writes_stay_in_order_and_take_no_thread(tmp_path: Path) -> None:
    threads = threading.active_count()
    logger = TensorBoardLogger(tmp_path)
    for step in range(40):
        logger.log_metrics({"ours": step}, step)
        logger.experiment.add_scalar("theirs", -step, step)
    assert threading.active_count() == threads
    logger.experiment.flush()
    (file,) = Path(logger.log_dir).glob("events*")
    found = [(one.step, value.tag) for one in LegacyEventFileLoader(str(file)).Load() for value in one.summary.value]
    assert found == [(step, tag) for step in range(40) for tag in ("ours", "theirs")]
    logger.finalize("success")


def test_steps_from_purge_step_on_are_forgotten(tmp_path: Path) -> None:
    for settings in ({}, {"purge_step": 2}):
        logger = TensorBoardLogger(tmp_path, version=0, **settings)
        for step in range(settings.get("purge_step", 0), 4):
            logger.log_metrics({"a": step + 10 * len(settings)}, step)
        logger.finalize("success")
        time.sleep(1)  # files are read in the order of their names, which begin with the second
    assert scalars(logger.log_dir)["a"] == [(0, 0), (1, 1), (2, 12), (3, 13)]


def test_save_writes_what_waits(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    for step in range(3):
        logger.log_metrics({"a": float(step)}, step)
    logger.save()
    assert scalars(logger.log_dir)["a"] == [(0, 0), (1, 1), (2, 2)]
    logger.finalize("success")


def test_what_could_not_be_written_is_written_when_it_can(tmp_path: Path) -> None:
    full_disk = """
import resource, torchbus
logger.log_metrics({"a": 0.0}, 0)
logger.save()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
(file,) = __import__("pathlib").Path(logger.log_dir).glob("events*")
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, hard))
try:
    logger.log_metrics({"a": 1.0}, 1)
    logger.save()
except torchbus.MisconfigurationException as error:
    assert "TensorBoardLogger: cannot use the folder" in str(error) and logger.log_dir in str(error), error
else:
    raise SystemExit("nothing was said")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
logger.log_metrics({"a": 2.0}, 2)
"""
    assert run_script(tmp_path, full_disk) == 0
    assert scalars(tmp_path / "torchbus_logs/version_0")["a"] == [(0, 0), (1, 1), (2, 2)]


def test_a_pickled_logger_writes_to_the_same_folder(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    copy = pickle.loads(pickle.dumps(logger))
    assert copy.log_dir == logger.log_dir
    copy.log_metrics({"b": 2.0}, 1)
    for one in (copy, logger):
        one.finalize("success")
    assert {tag for path in Path(logger.log_dir).glob("events*") for tag in scalars(path)} == {"a", "b"}


# ---- hyperparameters ------------------------------------------------------------------------------------------------


def test_hyperparameters_are_shown_flat_and_kept_nested(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    optim = {"name": "sgd", "lr": 0.5}
    logger.log_hyperparams({"optim": optim, "sizes": (1, 2), "path": Path("a"), "none": None, "t": torch.tensor(3)})
    logger.save()
    logger.finalize("success")
    shown = shown_hparams(logger.log_dir)
    assert shown == {"optim/name": "sgd", "optim/lr": 0.5, "sizes": "[1, 2]", "path": "a", "t": 3}
    assert scalars(logger.log_dir) == {"hp_metric": [(0, -1)]}
    kept = yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text())
    assert kept == {"optim": optim, "sizes": [1, 2], "path": "a", "none": None, "t": 3}


@pytest.mark.parametrize(
    ("metrics", "expected"), [({"acc": 0.5}, {"acc": [(7, 0.5)]}), (0.25, {"hp_metric": [(7, 0.25)]}), ({}, {})]
)
def test_metrics_may_be_given_beside_hyperparameters(tmp_path: Path, metrics: Any, expected: dict[str, Any]) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams({"lr": 1}, metrics, step=7)
    logger.finalize("success")
    assert scalars(logger.log_dir) == expected


def test_without_the_default_metric_only_the_file_is_written(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    logger.log_hyperparams({"lr": 1})
    logger.save()
    assert [path.name for path in Path(logger.log_dir).iterdir()] == ["hparams.yaml"]


def test_the_placeholder_does_not_hide_a_value_logged_since(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams({"lr": 1})
    logger.log_metrics({"hp_metric": 0.75}, 10)
    logger.finalize("success")
    logger.log_hyperparams({"lr": 1})  # the next stage of the same trainer
    logger.finalize("success")
    assert len(list(Path(logger.log_dir).glob("events*"))) == 1
    assert scalars(logger.log_dir)["hp_metric"] == [(0, -1), (10, 0.75)]


# ---- the graph ------------------------------------------------------------------------------------------------------


class Frozen(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2).eval()
        self.example_input_array: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        result: torch.Tensor = self.norm(self.layer(x))
        return result


# torch.jit warns of its own end, and so does what it uses
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("by_model", [False, True])
def test_the_graph_is_traced_once_and_leaves_the_modes_as_they_were(tmp_path: Path, by_model: bool) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    model = Frozen()
    model.example_input_array = torch.ones(1, 3) if by_model else None
    for _ in range(2):
        logger.log_graph(model, None if by_model else torch.ones(1, 3))
    logger.finalize("success")
    assert any("layer" in node.name for node in events(logger.log_dir).Graph().node)
    assert (model.training, model.norm.training) == (True, False)


def test_a_graph_without_an_example_input_warns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="The `model.example_input_array` of Frozen .* was not given.*To fix"):
        TensorBoardLogger(tmp_path, log_graph=True).log_graph(Frozen())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("example", [{"x": torch.ones(1, 3)}, "text", 5, (torch.ones(1, 3), None)])
def test_a_graph_with_an_input_that_cannot_be_traced_warns(tmp_path: Path, example: Any) -> None:
    model = Frozen()
    model.example_input_array = example
    with pytest.warns(UserWarning, match="type .* can't be traced by TensorBoard.*a tuple"):
        TensorBoardLogger(tmp_path, log_graph=True).log_graph(model)
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_graph_of_a_module_that_no_trainer_runs_can_be_traced(tmp_path: Path) -> None:
    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(x)
            return result

    logger = TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_graph(Module(), torch.ones(1, 3))
    logger.finalize("success")
    assert any("layer" in node.name for node in events(logger.log_dir).Graph().node)


def test_hparams_yaml_lies_beside_the_events_be_there_hyperparameters_or_none(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.save()
    assert not any(tmp_path.iterdir())
    logger.log_metrics({"x": 1.0}, 0)
    logger.save()
    assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text()) == {}


def test_no_graph_unless_asked_for(tmp_path: Path) -> None:
    TensorBoardLogger(tmp_path).log_graph(Frozen(), torch.ones(1, 3))
    assert not any(tmp_path.iterdir())


# ---- ranks, settings and errors --------------------------------------------------------------------------------------


def test_other_ranks_than_zero_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_graph(Frozen(), torch.ones(1, 3))
    logger.experiment.add_image("by_hand", torch.ones(3, 2, 2))
    pickle.loads(pickle.dumps(logger)).save()
    logger.save()
    logger.finalize("success")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_named_with_logger_and_cause(tmp_path: Path) -> None:
    (tmp_path / "torchbus_logs").write_text("a file")
    with pytest.raises(MisconfigurationException, match=r"TensorBoardLogger: cannot use the folder .*torchbus_logs"):
        TensorBoardLogger(tmp_path, version=0).log_metrics({"a": 1.0}, 0)


def test_wrong_settings_are_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"`flush_sec` is a setting neither .* Did you mean `flush_secs`"):
        TensorBoardLogger(tmp_path, flush_sec=3)
    with pytest.raises(TypeError, match="`log_dir` is a setting neither"):
        TensorBoardLogger(tmp_path, log_dir="elsewhere")
    with pytest.raises(MisconfigurationException, match="`default_hp_metric` is 'perhaps'"):
        TensorBoardLogger(tmp_path, default_hp_metric="perhaps")  # type: ignore[arg-type]
