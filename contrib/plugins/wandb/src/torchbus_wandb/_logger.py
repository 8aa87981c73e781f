"""The logger ``wandb``."""

from __future__ import annotations

import os
import secrets
import string
import warnings
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import Checkpoint, Logger, MisconfigurationException
from torchbus_hookspecs.checkpoint_files import CheckpointFiles
from torchbus_hookspecs.folder_logger import SilentExperiment, on_rank_zero
from torchbus_hookspecs.hparams_file import as_mapping, plain
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from torch.nn import Module
    from wandb import Artifact
    from wandb.sdk.wandb_run import Run

__all__ = ["WandbLogger"]

STEP = "trainer/global_step"
DESCRIBED = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only")
"""What is told of a checkpoint callback beside its files."""


@validated
class WandbLogger(Logger):
    """Log to Weights & Biases, or with ``offline=True`` to a folder that ``wandb sync`` uploads later.

    The run is made when it is first needed, and stays open until ``wandb.finish()`` or the end of the script. Only rank
    zero writes. Further settings are those of ``wandb.init``: ``entity``, ``group``, ``tags``, ``notes``, ...
    """

    LOGGER_JOIN_CHAR: ClassVar[str] = "-"

    def __init__(
        self,
        name: Annotated[str | None, Field(description="Name of the run. Default: wandb makes one up.")] = None,
        save_dir: Annotated[str | Path, Field(description="Folder of wandb's own files, and of checkpoints.")] = ".",
        version: Annotated[str | None, Field(description="Id of the run, to go on with it.")] = None,
        offline: Annotated[bool, Field(description="Write to `save_dir` only.")] = False,
        dir: Annotated[str | Path | None, Field(description="The same as `save_dir`, and before it.")] = None,
        id: Annotated[str | None, Field(description="The same as `version`.")] = None,
        anonymous: Annotated[bool | None, Field(description="For wandb, which ignores it by now.")] = None,
        project: Annotated[
            str | None, Field(description="Project of the run. Default: WANDB_PROJECT, else `torchbus_logs`.")
        ] = None,
        log_model: Annotated[
            Literal["all"] | bool,
            Field(description="Keep checkpoints as artifacts: at the end, or with 'all' each as it is written."),
        ] = False,
        experiment: Annotated[Any, Field(description="A run that `wandb.init` made.")] = None,
        prefix: Annotated[str, Field(description="Put before each metric's name, with a `-`.")] = "",
        checkpoint_name: Annotated[
            str | None, Field(description="Name of the artifact of checkpoints. Default: `model-ID`.")
        ] = None,
        add_file_policy: Annotated[
            Literal["mutable", "immutable"],
            Field(description="Whether wandb copies a checkpoint before it uploads it."),
        ] = "mutable",
        **kwargs: Any,
    ) -> None:
        if offline and log_model:
            raise MisconfigurationException(
                f"WandbLogger(log_model={log_model!r}, offline={offline}): checkpoints cannot be uploaded in offline mode. To"
                " fix: leave one of them out."
            )
        self._save_dir = os.fspath(save_dir if dir is None else dir)
        self._project = project or os.environ.get("WANDB_PROJECT") or "torchbus_logs"
        self._log_model = log_model
        self._prefix = prefix
        self._checkpoint_name = checkpoint_name
        self._add_file_policy = add_file_policy
        self._id: str | None = version or id
        self._init: dict[str, Any] = {"name": name, "project": self._project, "dir": self._save_dir, "resume": "allow"}
        if offline:
            self._init["mode"] = "offline"
        if anonymous is not None:
            self._init["anonymous"] = "allow" if anonymous else "never"
        self._init |= kwargs
        self._experiment: Run | None = experiment
        self._files = CheckpointFiles()
        self._checkpoint: Checkpoint | None = None

    # ---- the run -----------------------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Run:
        """wandb's run; on other ranks than zero an object that takes any call and does nothing."""
        if not on_rank_zero():
            return SilentExperiment()  # type: ignore[return-value]  # stands in for every method
        if self._experiment is None:
            import wandb  # takes seconds: only when something is written

            if wandb.run is not None:
                if wandb.run.id != self._id:
                    warnings.warn(
                        f"There is a wandb run already in progress, {wandb.run.id}: WandbLogger goes on with it. To fix, if"
                        " a run of its own is meant: call `wandb.finish()` before.",
                        stacklevel=2,
                    )
                self._experiment = wandb.run
            else:
                Path(self._save_dir).mkdir(
                    parents=True, exist_ok=True
                )  # else wandb turns to the system's temporary one
                self._experiment = wandb.init(id=self.version, **self._init)
            if not self._init.get("sync_tensorboard"):
                self._experiment.define_metric(STEP)
                self._experiment.define_metric("*", step_metric=STEP, step_sync=True)
        return self._experiment

    @property
    def save_dir(self) -> str:
        """The folder of wandb's own files, and of checkpoints."""
        return self._save_dir

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The run's id. A new one is made up here, so that asking for it needs no server."""
        if self._experiment is not None:
            return str(self._experiment.id)
        if self._id is None:
            self._id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        return self._id

    # ---- logging -----------------------------------------------------------------------------------------------------

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write metrics."""
        start = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        self._log({f"{start}{name}": value for name, value in metrics.items()}, step)

    def _log(self, values: dict[str, Any], step: int | None) -> None:
        # wandb's own step counts calls and cannot go back; the trainer's is a metric beside it
        self.experiment.log(values if step is None else {**values, STEP: step})

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write hyperparameters to the run's config."""
        if on_rank_zero():
            self.experiment.config.update(plain(as_mapping(params)), allow_val_change=True)

    def watch(
        self,
        model: Module,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 100,
        log_graph: bool = True,
    ) -> None:
        """Let wandb record a model's gradients, parameters or both, as histograms, and its graph."""
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Show a table: rows in ``data`` with the titles ``columns``, or a pandas ``dataframe``."""
        import wandb

        self._log({key: wandb.Table(columns=columns, data=data, dataframe=dataframe)}, step)

    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Show texts, as a table."""
        self.log_table(key, columns, data, dataframe, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Show images: arrays, tensors, PIL images or paths. Of each further argument (``caption``, ...) one per image."""
        self._log_media("Image", key, images, step, kwargs)

    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Show sounds: arrays or paths. Of each further argument (``sample_rate``, ...) one per sound."""
        self._log_media("Audio", key, audios, step, kwargs)

    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Show videos: arrays or paths. Of each further argument (``fps``, ...) one per video."""
        self._log_media("Video", key, videos, step, kwargs)

    def _log_media(
        self, kind: str, key: str, media: list[Any], step: int | None, options: dict[str, list[Any]]
    ) -> None:
        if not isinstance(media, list):
            raise TypeError(f"WandbLogger: `{key}` must be a list of media, not {type(media).__name__}.")
        for name, values in options.items():
            if len(values) != len(media):
                raise ValueError(f"WandbLogger: `{key}` has {len(media)} media and {len(values)} of `{name}`.")
        import wandb

        make = getattr(wandb, kind)
        each = [{name: values[index] for name, values in options.items()} for index in range(len(media))]
        self._log({key: [make(one, **its) for one, its in zip(media, each, strict=True)]}, step)

    # ---- artifacts and the end ---------------------------------------------------------------------------------------

    @staticmethod
    def download_artifact(
        artifact: str,
        save_dir: str | Path | None = None,
        artifact_type: str | None = None,
        use_artifact: bool | None = True,
    ) -> str:
        """Download an artifact, ``"project/name:alias"``, into a folder, and return the folder.

        Args:
            artifact: its name.
            save_dir: the folder; default: wandb's own.
            artifact_type: its type, such as ``"model"``.
            use_artifact: whether a run in progress is recorded as using it.
        """
        import wandb

        source = wandb.run if wandb.run is not None and use_artifact else None
        found = source.use_artifact(artifact) if source else wandb.Api().artifact(artifact, type=artifact_type)
        return str(found.download(root=None if save_dir is None else os.fspath(save_dir)))

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Artifact:
        """Record that this run uses an artifact, and return it."""
        return self.experiment.use_artifact(artifact, type=artifact_type)

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Keep the checkpoint: now, or at the end."""
        self._checkpoint = checkpoint_callback
        if self._log_model == "all" or (self._log_model and getattr(checkpoint_callback, "save_top_k", 1) == -1):
            self._keep_checkpoints()

    def _keep_checkpoints(self) -> None:
        if self._checkpoint is None or not on_rank_zero():
            return
        import wandb

        about = {name: getattr(self._checkpoint, name) for name in DESCRIBED if hasattr(self._checkpoint, name)}
        name = self._checkpoint_name or f"model-{self.experiment.id}"
        for file in self._files.news_of(self._checkpoint):
            metadata = {
                "score": file.score,
                "original_filename": Path(file.path).name,
                type(self._checkpoint).__name__: about,
            }
            artifact = wandb.Artifact(name=name, type="model", metadata=metadata)
            artifact.add_file(file.path, name="model.ckpt", policy=self._add_file_policy)
            self.experiment.log_artifact(artifact, aliases=list(file.aliases))

    def finalize(self, status: str) -> None:
        """Keep checkpoints that wait for the end of a run that went well. The run stays open: a test may follow."""
        if self._log_model and status == "success":
            self._keep_checkpoints()

    def __getstate__(self) -> dict[str, Any]:
        # a run cannot travel; a copy goes on with the same id
        return {**self.__dict__, "_experiment": None, "_checkpoint": None, "_id": self.version}
