"""The logger `wandb`, with the real library, offline."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchbus as L

wandb = pytest.importorskip("wandb", reason="pip install ./contrib/plugins/wandb")
pytest.importorskip("torchbus_wandb", reason="pip install ./contrib/plugins/wandb")

from torchbus.testing import LoggerContract, TinyDataModule, TinyModule, quiet_trainer  # noqa: E402
from torchbus_hookspecs import MisconfigurationException  # noqa: E402
from torchbus_wandb import WandbLogger  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True, scope="module")
def _anew() -> None:
    wandb.teardown()  # it reads the environment once in a process, and an example of a README may have begun


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for variable in ("WANDB_PROJECT", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "wandbs_own"))
    monkeypatch.chdir(tmp_path)  # where wandb writes when it is told no folder
    yield
    wandb.finish()


@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress")  # some make several loggers
class TestContract(LoggerContract):
    plugin = WandbLogger

    def test_leaves_nothing_open(self) -> None:
        """The run is the script's to finish: a test may follow a fit."""
        one = self.make()
        one.log_metrics({"loss": 0.5}, step=0)
        one.finalize("success")
        assert wandb.run is not None
        wandb.finish()
        assert wandb.run is None


def fit(logger: Any, folder: Path, **options: Any) -> L.Trainer:
    trainer = quiet_trainer(folder, logger=logger, log_every_n_steps=1, **options)
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    return trainer


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "wandb").glob("offline-run-*")
    return found


class Spy:
    """A run that remembers what it is told; for what only a server could give back."""

    id = "spy"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.config = SimpleNamespace(update=lambda *args, **kwargs: None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


def test_a_run_leaves_metrics_and_hyperparameters_in_its_folder(tmp_path: Path) -> None:
    logger = WandbLogger("first", tmp_path, project="lines", offline=True, prefix="p", group="g", tags=["a"])
    logger.log_hyperparams({"optim": {"lr": 0.1}, "layer": torch.nn.ReLU()})
    fit(logger, tmp_path, max_epochs=2)
    run = logger.experiment
    assert (run.name, run.project, run.group, run.tags) == ("first", "lines", "g", ("a",))
    assert run.config["optim"] == {"lr": 0.1}
    assert run.config["layer"] == "ReLU()"
    assert {"p-train_loss", "trainer/global_step"} <= set(run.summary.keys())
    assert run.id in run_folder(tmp_path).name
    wandb.finish()
    assert (run_folder(tmp_path) / f"run-{logger.version}.wandb").stat().st_size > 0


def test_it_is_enabled_by_name(tmp_path: Path) -> None:
    trainer = quiet_trainer(
        tmp_path, logger={"wandb": {"save_dir": str(tmp_path), "offline": True, "notes": "wandb's own"}}
    )
    assert isinstance(trainer.logger, WandbLogger)


def test_the_id_is_known_before_there_is_a_run_and_checkpoints_go_below_it(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    version = logger.version
    assert len(version) == 8
    assert wandb.run is None
    trainer = fit(logger, tmp_path, max_epochs=1, enable_checkpointing=True)
    assert logger.experiment.id == version
    assert Path(trainer.checkpoint_callback.dirpath) == tmp_path / "torchbus_logs" / version / "checkpoints"


@pytest.mark.parametrize("given", [{"version": "mine"}, {"id": "mine"}])
def test_id_and_version_are_one(given: dict[str, str], tmp_path: Path) -> None:
    assert WandbLogger(save_dir=tmp_path, **given).experiment.id == "mine"


def test_the_project_may_come_from_wandbs_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WandbLogger().name == "torchbus_logs"
    monkeypatch.setenv("WANDB_PROJECT", "variable")
    assert WandbLogger().name == "variable"
    assert WandbLogger(project="argument").name == "argument"


def test_dir_is_save_dir(tmp_path: Path) -> None:
    assert WandbLogger(dir=tmp_path).save_dir == str(tmp_path)
    assert WandbLogger(save_dir=".", dir=None).save_dir == "."


def test_a_run_in_progress_is_gone_on_with_and_told(tmp_path: Path) -> None:
    run = wandb.init(dir=tmp_path, project="scripts_own")
    logger = WandbLogger(save_dir=tmp_path)
    with pytest.warns(UserWarning, match="There is a wandb run already in progress"):
        assert logger.experiment is run
    assert logger.version == run.id
    assert WandbLogger(experiment=run).experiment is run


def test_a_pickled_logger_goes_on_with_the_same_run(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    logger.log_metrics({"loss": 1.0}, step=0)
    copy = pickle.loads(pickle.dumps(logger))
    assert copy.experiment.id == logger.experiment.id


def test_steps_of_the_trainer_are_the_axis(tmp_path: Path) -> None:
    spy = Spy()
    logger = WandbLogger(experiment=spy, save_dir=tmp_path)
    logger.log_metrics({"acc": 1.0})
    logger.log_metrics({"acc": 2.0}, step=3)
    assert [args for args, _ in spy.of("log")] == [({"acc": 1.0},), ({"acc": 2.0, "trainer/global_step": 3},)]


def test_models_are_watched_and_media_shown(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    model = torch.nn.Linear(2, 1)
    logger.watch(model, log="all", log_freq=1, log_graph=False)
    model(torch.ones(1, 2)).sum().backward()
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.log_text("answers", columns=["q", "a"], data=[["why?", "because"]], step=1)
    logger.log_table("numbers", columns=["n"], data=[[1], [2]])
    assert {"answers", "numbers"} <= set(logger.experiment.summary.keys())
    wandb.finish()
    assert list((run_folder(tmp_path) / "files" / "media" / "table").glob("answers*.json"))


def test_images_take_one_of_each_option(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    picture = tmp_path / "picture.png"
    from PIL import Image

    Image.new("RGB", (2, 2)).save(picture)
    logger = WandbLogger(save_dir=tmp_path)
    logger.log_image("pictures", [str(picture), str(picture)], caption=["a", "b"], step=1)
    assert logger.experiment.summary["pictures"]["captions"] == ["a", "b"]
    with pytest.raises(ValueError, match="`pictures` has 1 media and 2 of `caption`"):
        logger.log_image("pictures", [str(picture)], caption=["a", "b"])
    with pytest.raises(TypeError, match="`pictures` must be a list of media, not str"):
        logger.log_image("pictures", str(picture))  # type: ignore[arg-type]


@pytest.mark.parametrize(("log_model", "expected"), [(False, 0), (True, 1), ("all", 2)])
def test_checkpoints_are_kept_as_artifacts(log_model: Any, expected: int, tmp_path: Path) -> None:
    spy = Spy()
    logger = WandbLogger(experiment=spy, save_dir=tmp_path, log_model=log_model)
    trainer = fit(logger, tmp_path, max_epochs=2, enable_checkpointing=True)
    kept = spy.of("log_artifact")
    assert len(kept) == expected
    for (artifact,), options in kept:
        assert (artifact.name, artifact.type) == ("model-spy", "model")
        assert artifact.metadata["ModelCheckpoint"]["save_top_k"] == 1
        assert options == {"aliases": ["latest", "best"]}
    if kept:
        assert kept[-1][0][0].metadata["original_filename"] == Path(trainer.checkpoint_callback.best_model_path).name


def test_artifacts_of_checkpoints_are_taken_by_the_real_library(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, log_model="all", checkpoint_name="mine", add_file_policy="immutable")
    trainer = fit(logger, tmp_path, max_epochs=1, enable_checkpointing=True)
    assert trainer.bus.quarantined == []
    assert trainer.bus.plugins["wandb_logger"].strikes == 0


def test_a_logger_that_fails_is_reported_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gone(Spy):
        def __getattr__(self, name: str) -> Any:
            if name == "log":
                raise ConnectionError("no space left, and no server")
            return super().__getattr__(name)

    with pytest.warns(RuntimeWarning, match="wandb_logger.*no server"):
        trainer = fit(WandbLogger(experiment=Gone(), save_dir=tmp_path), tmp_path, max_epochs=2)
    assert trainer.current_epoch == 2
    assert [one.name for one in trainer.bus.quarantined] == ["wandb_logger"]
    assert "Plugins that were switched off" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_reported_and_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    logger = WandbLogger(save_dir=tmp_path / "file" / "below", offline=True)
    with pytest.warns(RuntimeWarning, match="wandb_logger.*NotADirectoryError"):
        trainer = fit(logger, tmp_path, max_epochs=2)
    assert trainer.current_epoch == 2


def test_models_cannot_be_kept_offline() -> None:
    with pytest.raises(MisconfigurationException, match="cannot be uploaded in offline mode"):
        WandbLogger(offline=True, log_model="all")


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = WandbLogger(save_dir=tmp_path / "none")
    logger.log_metrics({"loss": 1.0})
    logger.log_hyperparams({"lr": 1.0})
    logger.watch(torch.nn.Linear(1, 1))
    logger.finalize("success")
    assert not os.path.exists(tmp_path / "none")
