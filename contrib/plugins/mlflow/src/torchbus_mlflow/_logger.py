"""The logger ``mlflow``."""

from __future__ import annotations

import os
import re
import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import Checkpoint, Logger
from torchbus_hookspecs.checkpoint_files import CheckpointFiles
from torchbus_hookspecs.folder_logger import SilentExperiment, on_rank_zero
from torchbus_hookspecs.hparams_file import as_mapping, plain
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["MLFlowLogger"]

LONGEST_VALUE = 250  # of a hyperparameter, in characters: what servers of all versions take
LARGEST_BATCH = 100  # hyperparameters in one call, likewise
RUN_NAME = "mlflow.runName"
STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED"}


@validated
class MLFlowLogger(Logger):
    """Log to an MLflow server, or to a local database that ``mlflow ui`` shows.

    The run is made when it is first needed. Only rank zero writes.
    """

    LOGGER_JOIN_CHAR: ClassVar[str] = "-"

    def __init__(
        self,
        experiment_name: Annotated[str, Field(description="Experiment that the run belongs to.")] = "torchbus_logs",
        run_name: Annotated[str | None, Field(description="Name of the run. Default: MLflow makes one up.")] = None,
        tracking_uri: Annotated[
            str | None,
            Field(description="Server or database. Default: MLFLOW_TRACKING_URI, else `mlflow.db` in `save_dir`."),
        ] = None,
        tags: Annotated[dict[str, Any] | None, Field(description="Tags of the run.")] = None,
        save_dir: Annotated[
            str | Path | None, Field(description="Folder of the local database, its artifacts and checkpoints.")
        ] = "./mlruns",
        log_model: Annotated[
            Literal["all"] | bool,
            Field(description="Keep checkpoints as artifacts: at the end, or with 'all' each as it is written."),
        ] = False,
        prefix: Annotated[str, Field(description="Put before each metric's name, with a `-`.")] = "",
        artifact_location: Annotated[
            str | None, Field(description="Where a new experiment keeps artifacts. Default: MLflow's own place.")
        ] = None,
        run_id: Annotated[str | None, Field(description="Run to go on with.")] = None,
        synchronous: Annotated[
            bool | None, Field(description="Whether each call waits for the server. Default: MLflow's own.")
        ] = None,
        checkpoint_path_prefix: Annotated[str, Field(description="Folder for checkpoints among the artifacts.")] = "",
    ) -> None:
        self._experiment_name = experiment_name
        self._run_name = run_name
        self._tags = dict(tags or {})
        self._save_dir = None if save_dir is None else os.path.expandvars(os.path.expanduser(save_dir))
        self._tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._log_model = log_model
        self._prefix = prefix
        self._artifact_location = artifact_location
        self._run_id = run_id
        self._synchronous = synchronous
        self._checkpoint_folder = checkpoint_path_prefix
        self._experiment_id: str | None = None
        self._client: MlflowClient | None = None
        self._is_unreachable = False
        self._params: dict[str, str] = {}
        self._odd_names: set[str] = set()
        self._pending: Any = None
        self._files = CheckpointFiles()
        self._checkpoint: Checkpoint | None = None

    # ---- the run -----------------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> MlflowClient:
        """MLflow's client, with the run made; on other ranks than zero an object that takes any call and does nothing."""
        if not on_rank_zero():
            return SilentExperiment()  # type: ignore[return-value]  # stands in for every method
        if self._client is None:
            client = self._connect()
            if self._run_id is not None:
                run = client.get_run(self._run_id)
                self._params = dict(run.data.params)
            else:
                run = self._new_run(client)
            self._run_id, self._experiment_id = run.info.run_id, run.info.experiment_id
            self._client = client
        return self._client

    def _connect(self) -> MlflowClient:
        from mlflow.tracking import MlflowClient  # takes seconds: only when something is written

        return MlflowClient(self._tracking_uri or f"sqlite:///{self._database()}")

    def _database(self) -> Path:
        folder = Path(self._save_dir or ".").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "mlflow.db"

    def _new_run(self, client: MlflowClient) -> Any:
        from mlflow.tracking.context.registry import resolve_tags

        experiment = client.get_experiment_by_name(self._experiment_name)
        if experiment is not None:
            experiment_id = experiment.experiment_id
        else:
            location = self._artifact_location
            if location is None and self._tracking_uri is None:
                location = (Path(self._save_dir or ".").absolute() / self._experiment_name).as_uri()
            experiment_id = client.create_experiment(self._experiment_name, artifact_location=location)
        named = {RUN_NAME: self._run_name} if self._run_name else {}
        return client.create_run(experiment_id, tags=resolve_tags({**self._tags, **named}))

    @property
    def run_id(self) -> str | None:
        """MLflow's name of the run; makes it if need be."""
        _ = self.experiment
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        """MLflow's name of the experiment."""
        _ = self.experiment
        return self._experiment_id

    @property
    def save_dir(self) -> str | None:
        """The folder of what is kept locally; ``None`` with a server."""
        if self._tracking_uri is None:
            return self._save_dir
        return self._tracking_uri.removeprefix("file:") if self._tracking_uri.startswith("file:") else None

    @property
    def name(self) -> str | None:
        """The experiment's id; ``None`` where it cannot be had, since a server that is gone must not end a run."""
        return self._experiment_id if self._is_reachable() else None

    @property
    def version(self) -> str | None:
        """The run's id; ``None`` where it cannot be had."""
        return self._run_id if self._is_reachable() else None

    def _is_reachable(self) -> bool:
        # callbacks ask for names, outside of what the quarantine of this logger covers: the failure is told when it logs
        if self._client is None and not self._is_unreachable:
            try:
                _ = self.experiment
            except Exception:
                self._is_unreachable = True
        return not self._is_unreachable

    # ---- logging -----------------------------------------------------------------------------------------------------

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write metrics. Characters of names that MLflow does not take are left out, with a warning."""
        if not on_rank_zero():
            return
        client = self.experiment
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        start = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        records = [
            Metric(self._allowed(start + name), float(value), now, step or 0)
            for name, value in metrics.items()
            if not isinstance(value, str)
        ]
        self._write(client, metrics=records)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write hyperparameters, nested ones as ``outer/inner``. MLflow keeps the first value of each name."""
        if not on_rank_zero():
            return
        client = self.experiment
        from mlflow.entities import Param

        given = {self._allowed(name): str(value)[:LONGEST_VALUE] for name, value in _flat(plain(as_mapping(params)))}
        changed = sorted(name for name in given if self._params.get(name, given[name]) != given[name])
        if changed:
            warnings.warn(
                f"MLFlowLogger: {', '.join(changed)} changed within a run; MLflow keeps the first value of a hyperparameter.",
                stacklevel=2,
            )
        new = [Param(name, value) for name, value in given.items() if name not in self._params]
        for first in range(0, len(new), LARGEST_BATCH):
            self._write(client, params=new[first : first + LARGEST_BATCH])
        self._params = {**given, **self._params}

    def _write(self, client: MlflowClient, **records: Any) -> None:
        how = {} if self._synchronous is None else {"synchronous": self._synchronous}
        self._pending = client.log_batch(run_id=self._run_id, **records, **how)

    def _allowed(self, name: str) -> str:
        allowed = re.sub(r"[^\w/. :-]+", "", name, flags=re.ASCII)
        if allowed != name and name not in self._odd_names:
            self._odd_names.add(name)
            warnings.warn(
                f"MLFlowLogger: MLflow takes no special characters in metric names: `{name}` is logged as `{allowed}`.",
                RuntimeWarning,
                stacklevel=3,
            )
        return allowed

    # ---- checkpoints and the end -------------------------------------------------------------------------------------

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Keep the checkpoint: now, or at the end."""
        self._checkpoint = checkpoint_callback
        if self._log_model == "all" or (self._log_model and getattr(checkpoint_callback, "save_top_k", 1) == -1):
            self._keep_checkpoints()

    def _keep_checkpoints(self) -> None:
        if self._checkpoint is None or not on_rank_zero():
            return
        for file in self._files.news_of(self._checkpoint):
            folder = "/".join(
                part
                for part in (self._checkpoint_folder.strip("/"), "model", "checkpoints", Path(file.path).stem)
                if part
            )
            self.experiment.log_artifact(self._run_id, file.path, folder)
            about = {"score": file.score, "aliases": list(file.aliases), "original_filename": Path(file.path).name}
            self.experiment.log_dict(self._run_id, about, f"{folder}/metadata.json")

    def finalize(self, status: str) -> None:
        """Keep checkpoints that wait for the end, wait for the server, and close the run. Logging may go on afterwards."""
        if self._client is None or not on_rank_zero():
            return
        if self._log_model and status != "failed":
            self._keep_checkpoints()
        if self._pending is not None:  # one queue for a run: the last is written after all others
            self._pending.wait()
            self._pending = None
        self._client.set_terminated(self._run_id, STATUS.get(status, "FINISHED"))

    def __getstate__(self) -> dict[str, Any]:
        # connections cannot travel; a copy goes on with the same run
        return {**self.__dict__, "_client": None, "_pending": None, "_checkpoint": None}


def _flat(params: dict[str, Any], start: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in params.items():
        found += _flat(value, f"{start}{name}/") if isinstance(value, dict) else [(f"{start}{name}", value)]
    return found
