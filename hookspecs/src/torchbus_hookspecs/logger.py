"""The base class of loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from .callback import FailurePolicy

if TYPE_CHECKING:
    from argparse import Namespace

    from torch import Tensor
    from torch.nn import Module

    from .callback import Checkpoint

__all__ = ["Logger"]


class Logger(ABC):
    """A plugin that is told metrics and hyperparameters. Implement ``name``, ``version``, ``log_metrics``, ``log_hyperparams``.

    Loggers observe: one that raises is quarantined after three failures, the run goes on and says so at its end
    (``on_failure = "raise"`` in a subclass makes its failures end the run).
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The name of the experiment."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """The version of this run within the experiment."""

    @property
    def root_dir(self) -> str | None:
        """The folder that holds all versions of the experiment, or ``None`` when nothing is kept on local disk."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this version, or ``None`` when nothing is kept on local disk."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder given by the user, or ``None``. Checkpoints go below it by default."""
        return None

    @property
    def group_separator(self) -> str:
        """What separates the parts of a metric's name."""
        return "/"

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record metrics (plain numbers) at a step."""

    @abstractmethod
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters."""

    def log_graph(self, model: Module, input_array: Tensor | None = None) -> None:
        """Record the model's graph."""

    def save(self) -> None:
        """Write out what is buffered."""

    def finalize(self, status: str) -> None:
        """The run is over: ``status`` is ``"success"`` or ``"failed"``. Write out what is buffered, close files."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """A checkpoint callback has written a checkpoint."""
