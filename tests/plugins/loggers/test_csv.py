"""The CSV logger, on real files."""

from __future__ import annotations

import csv
import pickle
import warnings
from argparse import Namespace
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus_csv
import yaml
from torchbus_csv import CSVLogger, CSVWriter
from torchbus_hookspecs import Logger, MisconfigurationException


@pytest.fixture(autouse=True)
def _single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_run_as_a_trainer_logs_it_gives_the_files_that_lightning_gives(tmp_path: Path) -> None:
    """The calls and values of the oracle's trace ``csv_logger_files``."""
    run = [
        ({"epoch": 0, "train_loss": 0.72608}, 0),
        ({"epoch": 0, "train_loss": 0.897849}, 1),
        ({"epoch": 0, "val_loss": 1.51816}, 1),
        ({"epoch": 1, "train_loss": 0.650448}, 2),
        ({"epoch": 1, "train_loss": 0.809477}, 3),
        ({"epoch": 1, "val_loss": 1.61629}, 3),
    ]
    for number in range(2):
        logger = CSVLogger(str(tmp_path), name="experiment")
        logger.log_hyperparams({"width": number})
        logger.save()
        for metrics, step in run:
            logger.log_metrics(metrics, step)
            logger.save()
        logger.finalize("success")
        assert (logger.name, logger.version) == ("experiment", number)
        assert logger.log_dir == str(tmp_path / "experiment" / f"version_{number}")

    assert lines(tmp_path / "experiment/version_0/metrics.csv") == [
        "epoch,step,train_loss,val_loss",
        "0,0,0.72608,",
        "0,1,0.897849,",
        "0,1,,1.51816",
        "1,2,0.650448,",
        "1,3,0.809477,",
        "1,3,,1.61629",
    ]
    assert (tmp_path / "experiment/version_1/hparams.yaml").read_text() == "width: 1\n"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "experiment/version_0/hparams.yaml",
        "experiment/version_0/metrics.csv",
        "experiment/version_1/hparams.yaml",
        "experiment/version_1/metrics.csv",
    ]


# ---- folders and versions -------------------------------------------------------------------------------------------


def test_folders_are_save_dir_name_version(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    assert logger.save_dir == str(tmp_path)
    assert logger.name == "torchbus_logs"
    assert logger.root_dir == str(tmp_path / "torchbus_logs")
    assert logger.log_dir == str(tmp_path / "torchbus_logs" / "version_0")
    assert isinstance(logger, Logger)


def test_nothing_is_created_before_something_is_written(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path / "runs")
    assert logger.version == 0
    assert logger.log_dir
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_hyperparams({})
    assert not (tmp_path / "runs").exists()
    logger.save()
    assert sorted(path.name for path in Path(logger.log_dir).iterdir()) == ["hparams.yaml", "metrics.csv"]
    assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text()) == {}


def test_hyperparameters_of_an_earlier_run_stay_while_there_are_no_others(tmp_path: Path) -> None:
    file = tmp_path / "torchbus_logs" / "version_0" / "hparams.yaml"
    for params, found in (({"a": 1}, {"a": 1}), ({}, {"a": 1}), ({"b": 2}, {"b": 2})):
        logger = CSVLogger(tmp_path, version=0)
        logger.log_hyperparams(params)
        logger.log_metrics({"x": 1.0}, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the metrics of the run before move aside
            logger.save()
        assert yaml.safe_load(file.read_text()) == found


def test_the_next_version_follows_the_highest_whatever_else_lies_there(tmp_path: Path) -> None:
    for name in ("version_2", "version_10", "version_abc", "version_", "version_11.bak", "old_version_99"):
        (tmp_path / "torchbus_logs" / name).mkdir(parents=True)
    (tmp_path / "torchbus_logs" / "version_12").write_text("a file, where no folder can be made")
    assert CSVLogger(tmp_path).version == 13


def test_the_version_is_decided_at_first_use_and_then_fixed(tmp_path: Path) -> None:
    early = CSVLogger(tmp_path)
    (tmp_path / "torchbus_logs" / "version_0").mkdir(parents=True)
    assert early.version == 1
    (tmp_path / "torchbus_logs" / "version_1").mkdir()
    assert early.version == 1


@pytest.mark.parametrize(("version", "folder"), [(7, "version_7"), ("best", "best"), ("7", "7")])
def test_a_given_version_is_a_number_or_the_name_of_the_folder(tmp_path: Path, version: Any, folder: str) -> None:
    logger = CSVLogger(tmp_path, version=version)
    assert logger.version == version
    assert Path(logger.log_dir).name == folder


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_versions_lie_in_save_dir(tmp_path: Path, name: str | None) -> None:
    logger = CSVLogger(tmp_path, name=name)
    assert logger.name == ""
    assert Path(logger.log_dir) == tmp_path / "version_0"


def test_home_and_variables_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS", str(tmp_path))
    assert CSVLogger("$RUNS/here").save_dir == str(tmp_path / "here")
    assert "~" not in CSVLogger("~/runs").save_dir


def test_a_version_used_again_keeps_the_earlier_rows_beside_and_warns_once(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        logger = CSVLogger(tmp_path, version=0)
        logger.log_metrics({"a": value}, 0)
        if value == 1.0:
            logger.save()
        else:
            with pytest.warns(UserWarning, match=r"metrics\.csv was there already.*Leave `version` out") as caught:
                logger.save()
                logger.log_metrics({"b": value}, 1)
                logger.save()
            assert len(caught) == 1
    folder = tmp_path / "torchbus_logs/version_0"
    assert [row["a"] for row in table(folder / "metrics.csv")] == ["3.0", ""]
    assert [row["a"] for row in table(folder / "metrics.1.csv")] == ["1.0"]
    assert [row["a"] for row in table(folder / "metrics.2.csv")] == ["2.0", ""]


# ---- rows and columns -----------------------------------------------------------------------------------------------


def test_a_metric_that_comes_later_is_a_new_last_column_and_no_row_is_lost(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    logger.log_metrics({"z": 1.0}, 0)
    logger.log_metrics({"z": 2.0, "a": 'with, comma and "quotes"'}, 1)  # type: ignore[dict-item]
    logger.log_metrics({"b": 3.0}, 2)
    logger.log_metrics({"z": 4.0}, 3)
    folder = Path(logger.log_dir)
    assert lines(folder / "metrics.csv")[0] == "step,z,a,b"
    assert [tuple(row.values()) for row in table(folder / "metrics.csv")] == [
        ("0", "1.0", "", ""),
        ("1", "2.0", 'with, comma and "quotes"', ""),
        ("2", "", "", "3.0"),
        ("3", "4.0", "", ""),
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["hparams.yaml", "metrics.csv"]


def test_a_rewrite_that_fails_leaves_the_file_as_it_was_and_keeps_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.save()
    path = Path(logger.log_dir) / "metrics.csv"
    before = path.read_text()
    logger.log_metrics({"b": 2.0}, 1)

    def no_room(*args: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", no_room)
        with pytest.raises(MisconfigurationException, match=r"CSVLogger: cannot use the folder .* No space left"):
            logger.save()
    assert path.read_text() == before
    logger.save()
    assert [row["b"] for row in table(path)] == ["", "2.0"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["hparams.yaml", "metrics.csv"]


def test_tensors_and_numpy_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    values = {"a": torch.tensor(0.5), "b": torch.tensor([3]), "c": torch.tensor(2.0).numpy()[()], "d": float("nan")}
    logger.log_metrics(values, 0)
    logger.save()
    assert table(Path(logger.log_dir) / "metrics.csv") == [{"a": "0.5", "b": "3", "c": "2.0", "d": "nan", "step": "0"}]


def test_a_tensor_of_several_elements_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"CSVLogger: the metric `weights` is not one number .* Log its mean"):
        CSVLogger(tmp_path).log_metrics({"weights": torch.ones(2)}, 0)  # type: ignore[dict-item]


def test_without_a_step_rows_are_counted(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    for _ in range(2):
        logger.log_metrics({"a": 1.0})
        logger.save()
    logger.log_metrics({"a": 1.0})
    logger.save()
    assert [row["step"] for row in table(Path(logger.log_dir) / "metrics.csv")] == ["0", "1", "2"]


def test_the_prefix_is_joined_with_a_dash_and_leaves_step_alone(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="fold1")
    logger.log_metrics({"loss": 1.0}, 5)
    logger.save()
    assert table(Path(logger.log_dir) / "metrics.csv") == [{"fold1-loss": "1.0", "step": "5"}]


def test_rows_are_saved_every_n_steps_and_are_not_kept_in_memory(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=3)
    path = Path(logger.log_dir) / "metrics.csv"
    written = []
    for step in range(7):
        logger.log_metrics({"a": 1.0}, step)
        written.append(len(table(path)) if path.exists() else 0)
        assert len(logger.experiment.metrics) < 3
    assert written == [0, 0, 3, 3, 3, 6, 6]
    logger.finalize("success")
    assert len(table(path)) == 7


def test_memory_is_bounded_where_the_steps_never_meet_the_interval(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=10)
    for step in range(0, 1000, 50):
        logger.log_metrics({"a": 1.0}, step)
        assert len(logger.experiment.metrics) < 10


def test_logging_goes_on_in_the_same_file_after_finalize(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.finalize("success")
    logger.log_metrics({"test": 2.0}, 1)
    logger.finalize("failed")
    assert [row["step"] for row in table(Path(logger.log_dir) / "metrics.csv")] == ["0", "1"]


def test_a_file_that_was_deleted_during_the_run_begins_again_with_its_header(tmp_path: Path) -> None:
    writer = CSVWriter(str(tmp_path))
    for step in range(2):
        writer.log_metrics({"a": 1.0}, step)
        writer.save()
        if step == 0:
            Path(writer.metrics_file_path).unlink()
    assert lines(Path(writer.metrics_file_path)) == ["a,step", "1.0,1"]


def test_a_pickled_logger_goes_on_in_the_same_file(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.save()
    copy = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 2.0}, 1)
    copy.save()
    assert [row["a"] for row in table(Path(logger.log_dir) / "metrics.csv")] == ["1.0", "2.0"]


# ---- hyperparameters ------------------------------------------------------------------------------------------------


class Size(Enum):
    SMALL = "s"


@dataclass
class Optim:
    lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.99)


def test_hyperparameters_of_any_kind_become_plain_yaml(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams(
        {
            "none": None,
            "flag": True,
            "path": Path("a/b"),
            "size": Size.SMALL,
            "optim": Optim(),
            "nested": {"inner": Namespace(x=1), 3: "three"},
            "tensor": torch.tensor(2.5),
            "numpy": torch.tensor(2.5, dtype=torch.float64).numpy()[()],
            "layers": {"b", "a"},
            "activation": torch.nn.ReLU,
            "text": "ä: 'quoted'",
        }
    )
    logger.save()
    assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text("utf-8")) == {
        "none": None,
        "flag": True,
        "path": "a/b",
        "size": "SMALL",
        "optim": {"lr": 1e-5, "betas": [0.9, 0.99]},
        "nested": {"inner": {"x": 1}, "3": "three"},
        "tensor": 2.5,
        "numpy": 2.5,
        "layers": ["a", "b"],
        "activation": "<class 'torch.nn.modules.activation.ReLU'>",
        "text": "ä: 'quoted'",
    }


def test_hyperparameters_of_several_calls_are_put_together(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"a": 1})
    logger.save()
    logger.log_hyperparams(Namespace(b=2))
    logger.log_hyperparams(None)  # type: ignore[arg-type]
    logger.save()
    assert (Path(logger.log_dir) / "hparams.yaml").read_text() == "a: 1\nb: 2\n"


# ---- ranks, settings and errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "writes"),
    [({}, True), ({"RANK": "0"}, True), ({"RANK": "8", "LOCAL_RANK": "0"}, False), ({"LOCAL_RANK": "1"}, False)],
)
def test_only_rank_zero_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], writes: bool
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"a": 1.0}, 0)
    logger.experiment.log_metrics({"by_hand": 1.0}, 0)
    logger.save()
    logger.finalize("success")
    assert any(tmp_path.rglob("*.csv")) == any(tmp_path.rglob("*.yaml")) == writes


def test_a_folder_that_cannot_be_used_is_named_with_logger_and_cause(tmp_path: Path) -> None:
    (tmp_path / "torchbus_logs").write_text("a file")
    explicit, automatic = CSVLogger(tmp_path, version=0), CSVLogger(tmp_path)
    explicit.log_metrics({"a": 1.0}, 0)
    with pytest.raises(MisconfigurationException, match=r"CSVLogger: cannot use .*torchbus_logs") as caught:
        explicit.save()
    assert "set `save_dir` to another folder" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(MisconfigurationException, match=r"CSVLogger: .* Not a directory"):
        _ = automatic.version


def test_wrong_settings_are_refused_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match=r"`flush_logs_every_n_steps` is 0; .*greater than or equal"):
        CSVLogger(tmp_path, flush_logs_every_n_steps=0)
    with pytest.raises(TypeError, match="Did you mean `prefix`"):
        CSVLogger(tmp_path, prefx="a")  # type: ignore[call-arg]
    with pytest.raises(MisconfigurationException, match=r"CSVLogger: `save_dir` is 's3://bucket'.*local file system"):
        CSVLogger("s3://bucket")


def test_the_facade_says_all_there_is() -> None:
    assert torchbus_csv.__all__ == ["CSVLogger", "CSVWriter"]
