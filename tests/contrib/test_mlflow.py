"""The logger `mlflow`, on a real database."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torchbus as L

pytest.importorskip("mlflow", reason="pip install ./contrib/plugins/mlflow")
torchbus_mlflow = pytest.importorskip("torchbus_mlflow", reason="pip install ./contrib/plugins/mlflow")

from torchbus.testing import LoggerContract, TinyDataModule, TinyModule, quiet_trainer  # noqa: E402
from torchbus_mlflow import MLFlowLogger  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take it long to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    assert MLFlowLogger(save_dir=folder).run_id
    return folder / "mlflow.db"


@pytest.fixture
def folder(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with such a database."""
    for variable in ("MLFLOW_TRACKING_URI", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # else it keeps connections while Python runs
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


class TestContract(LoggerContract):
    plugin = MLFlowLogger

    @pytest.fixture(autouse=True)
    def database(self, folder: Path) -> None:
        """Its tables are there."""


def history(logger: MLFlowLogger, name: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in logger.experiment.get_metric_history(logger.run_id, name)]


def fit(logger: Any, folder: Path, **options: Any) -> L.Trainer:
    trainer = quiet_trainer(folder, logger=logger, log_every_n_steps=1, **options)
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    return trainer


def test_a_run_leaves_metrics_hyperparameters_tags_and_its_status(folder: Path) -> None:
    logger = MLFlowLogger("lines", "first", tags={"team": "a"}, save_dir=folder, prefix="p")
    logger.log_hyperparams({"optim": {"lr": 0.1}, "layers": [1, 2], "long": "x" * 900})
    trainer = fit(logger, folder, max_epochs=1)
    run = logger.experiment.get_run(logger.run_id)
    assert run.info.status == "FINISHED"
    assert (run.info.run_name, run.data.tags["team"]) == ("first", "a")
    assert run.data.params["optim/lr"] == "0.1"
    assert (run.data.params["layers"], len(run.data.params["long"])) == ("[1, 2]", 250)
    assert [step for step, _ in history(logger, "p-train_loss")] == list(range(trainer.global_step))
    assert logger.experiment.get_experiment(logger.experiment_id).name == "lines"


def test_it_is_enabled_by_name(folder: Path) -> None:
    trainer = quiet_trainer(folder, logger={"mlflow": {"save_dir": str(folder), "experiment_name": "by name"}})
    assert isinstance(trainer.logger, MLFlowLogger)


def test_name_and_version_are_ids_and_checkpoints_go_below_them(folder: Path) -> None:
    logger = MLFlowLogger(save_dir=folder)
    trainer = fit(logger, folder, max_epochs=1, enable_checkpointing=True)
    assert (logger.name, logger.version) == (logger.experiment_id, logger.run_id)
    assert Path(trainer.checkpoint_callback.dirpath) == folder / logger.name / logger.version / "checkpoints"


def test_a_given_run_goes_on_with_its_hyperparameters(folder: Path) -> None:
    first = MLFlowLogger(save_dir=folder)
    first.log_hyperparams({"lr": 0.1})
    first.log_metrics({"loss": 1.0}, step=0)
    second = MLFlowLogger(save_dir=folder, run_id=first.run_id)
    second.log_metrics({"loss": 0.5}, step=1)
    second.log_hyperparams({"lr": 0.1, "width": 3})
    assert history(second, "loss") == [(0, 1.0), (1, 0.5)]
    with pytest.warns(UserWarning, match="lr changed within a run; MLflow keeps the first"):
        second.log_hyperparams({"lr": 0.2})
    assert second.experiment.get_run(second.run_id).data.params == {"lr": "0.1", "width": "3"}


def test_many_hyperparameters_go_in_batches(folder: Path) -> None:
    logger = MLFlowLogger(save_dir=folder)
    logger.log_hyperparams({f"p{number}": number for number in range(250)})
    assert len(logger.experiment.get_run(logger.run_id).data.params) == 250


def test_characters_that_mlflow_does_not_take_are_left_out_and_told_once(folder: Path) -> None:
    logger = MLFlowLogger(save_dir=folder)
    with pytest.warns(RuntimeWarning, match="special characters in metric name.*`.loss.` is logged as `loss`"):
        logger.log_metrics({"[loss]": 1.0}, step=0)
    logger.log_metrics({"[loss]": 2.0}, step=1)
    assert history(logger, "loss") == [(0, 1.0), (1, 2.0)]


def test_calls_need_not_wait_and_finalize_does(folder: Path) -> None:
    logger = MLFlowLogger(save_dir=folder, synchronous=False)
    for step in range(3):
        logger.log_metrics({"loss": float(step)}, step=step)
    logger.finalize("failed")
    assert len(history(logger, "loss")) == 3
    assert logger.experiment.get_run(logger.run_id).info.status == "FAILED"


@pytest.mark.parametrize(("log_model", "expected"), [(False, 0), (True, 1), ("all", 2)])
def test_checkpoints_are_kept_as_artifacts(log_model: Any, expected: int, folder: Path) -> None:
    logger = MLFlowLogger(save_dir=folder, log_model=log_model, checkpoint_path_prefix="mine")
    fit(logger, folder, max_epochs=2, enable_checkpointing=True)
    kept = logger.experiment.list_artifacts(logger.run_id, "mine/model/checkpoints")
    assert len(kept) == expected
    for one in kept:
        files = {Path(file.path).suffix for file in logger.experiment.list_artifacts(logger.run_id, one.path)}
        assert files == {".ckpt", ".json"}


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_server_that_is_gone_is_reported_and_training_goes_on(
    checkpoints: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:  # a port that nobody listens on any more
        port = server.getsockname()[1]
    logger = MLFlowLogger(tracking_uri=f"http://127.0.0.1:{port}")
    with pytest.warns(RuntimeWarning, match="ml_flow_logger.*failed"):
        trainer = fit(logger, tmp_path, max_epochs=2, enable_checkpointing=checkpoints)
    assert trainer.current_epoch == 2
    assert [one.name for one in trainer.bus.quarantined] == ["ml_flow_logger"]
    assert "Plugins that were switched off" in capsys.readouterr().out
    assert (logger.name, logger.version) == (None, None)
    if checkpoints:
        assert Path(trainer.checkpoint_callback.best_model_path).is_file()


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = MLFlowLogger(save_dir=tmp_path / "none")
    logger.log_metrics({"loss": 1.0})
    logger.log_hyperparams({"lr": 1.0})
    logger.experiment.log_artifact("anything")
    logger.finalize("success")
    assert not (tmp_path / "none").exists()
