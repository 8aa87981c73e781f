"""Setting a run up and taking it down: from `configure_callbacks` to `teardown`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..markers import broadcast, provider

if TYPE_CHECKING:
    from ..callback import Callback
    from collections.abc import Sequence
    from torchbus import LightningModule, Trainer

__all__ = [
    "configure_callbacks",
    "prepare_data",
    "setup",
    "configure_sharded_model",
    "configure_model",
    "configure_optimizers",
    "on_fit_start",
    "on_fit_end",
    "teardown",
    "on_exception",
]


@provider
def configure_callbacks(trainer: Trainer, pl_module: LightningModule) -> Sequence[Callback] | Callback | None:
    """ConfigureCallbacks."""


@broadcast
def prepare_data(trainer: Trainer, pl_module: LightningModule) -> None:
    """PrepareData."""


@broadcast
def setup(trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
    """Setup."""


@broadcast
def configure_sharded_model(trainer: Trainer, pl_module: LightningModule) -> None:
    """ConfigureShardedModel."""


@broadcast
def configure_model(trainer: Trainer, pl_module: LightningModule) -> None:
    """ConfigureModel."""


@provider
def configure_optimizers(trainer: Trainer, pl_module: LightningModule) -> Any:
    """ConfigureOptimizers."""


@broadcast
def on_fit_start(trainer: Trainer, pl_module: LightningModule) -> None:
    """FitStart."""


@broadcast
def on_fit_end(trainer: Trainer, pl_module: LightningModule) -> None:
    """FitEnd."""


@broadcast
def teardown(trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
    """Teardown."""


@broadcast
def on_exception(trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
    """ExceptionRaised."""
