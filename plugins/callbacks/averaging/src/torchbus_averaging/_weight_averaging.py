"""The callback ``weight_averaging``: an average of the weights is kept, validated, saved, and taken over at the end."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["Device", "UseBuffers", "WeightAveraging"]

Device = Annotated[
    torch.device | str | int | None, Field(description="Where the average is kept. Default: where the module is.")
]
UseBuffers = Annotated[
    bool, Field(description="Average buffers too, such as batch statistics; else the newest are copied.")
]


@validated
class WeightAveraging(Callback):
    """Keep an average of the module's weights: by default the mean over all optimizer steps.

    Validation during a fit runs with the average, checkpoints hold the average as their ``state_dict`` (and the trained
    weights beside it, for resuming), and at the end of training the module takes the average over. A subclass decides when
    the average is updated (``should_update``); other keyword arguments go to ``torch.optim.swa_utils.AveragedModel``, such as
    ``avg_fn`` or ``multi_avg_fn``, which decide how.

    Raises:
        MisconfigurationException: a setting is wrong.

    Source: Lightning ``WeightAveraging``. In contrast to it, ``configure_model`` is called once, not twice, the average is
    on the module's device by default, and an exception during validation leaves the trained weights in the module.
    """

    def __init__(self, device: Device = None, use_buffers: UseBuffers = True, **kwargs: Any) -> None:
        super().__init__()
        self.device = device
        self.use_buffers = use_buffers
        self._options = kwargs
        self._average_model: AveragedModel | None = None
        self._saved_average: dict[str, Tensor] | None = None
        self._is_swapped = False
        self._latest_update_step = 0
        self._latest_update_epoch = -1

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to update the average now; override it for another schedule.

        Args:
            step_idx: the optimizer step just taken, from 0; ``None`` at the end of an epoch.
            epoch_idx: the epoch just trained, from 0; ``None`` after a step.
        """
        return step_idx is not None

    # ---- updates -----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A fit begins: there is no average yet."""
        if stage == "fit":
            self._average_model = self._saved_average = None
            self._is_swapped = False
            self._latest_update_step, self._latest_update_epoch = 0, -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The module is whole and on its device: begin with a copy of it, or with the average of a checkpoint."""
        self._average_model = AveragedModel(
            pl_module,
            device=self.device,  # type: ignore[arg-type]  # what torch.Tensor.to takes, a name or number too
            use_buffers=self.use_buffers,
            **self._options,
        )
        if self._saved_average is not None:
            self._average_model.load_state_dict(self._saved_average)
            self._saved_average = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: update the average, if it is time."""
        step = trainer.global_step
        # several batches may make one step
        if step > self._latest_update_step and self.should_update(step_idx=step - 1):
            self._update(pl_module)
            self._latest_update_step = step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After an epoch: update the average, if it is time."""
        epoch = trainer.current_epoch
        if epoch > self._latest_update_epoch and self.should_update(epoch_idx=epoch):
            self._update(pl_module)
            self._latest_update_epoch = epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training ends: the module takes over the average."""
        if self._average_model is not None:
            _copy(self._average_model.module, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same in a run resumed where nothing was left to train: there, no training ends."""
        self.on_train_end(trainer, pl_module)

    def _update(self, pl_module: LightningModule) -> None:
        assert self._average_model is not None  # on_fit_start made it
        self._average_model.update_parameters(pl_module)

    # ---- validation --------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the average."""
        if trainer.state.fn == "fit":
            self._swap(pl_module, to_average=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the trained weights."""
        self._swap(pl_module, to_average=False)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run fails, perhaps in validation: the module keeps the trained weights."""
        self._swap(pl_module, to_average=False)

    def _swap(self, pl_module: LightningModule, to_average: bool) -> None:
        if self._average_model is None or self._is_swapped == to_average:
            return
        for average, current in zip(_tensors(self._average_model.module), _tensors(pl_module), strict=True):
            kept = average.clone()
            average.copy_(current)
            current.copy_(kept)
        self._is_swapped = to_average

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """When the average was last updated."""
        return {"latest_update_step": self._latest_update_step, "latest_update_epoch": self._latest_update_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._latest_update_step = state_dict["latest_update_step"]
        self._latest_update_epoch = state_dict.get("latest_update_epoch", -1)  # absent in Lightning's files

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The average becomes the checkpoint's ``state_dict``; the trained weights are kept beside it."""
        if self._average_model is None:
            return
        state = self._average_model.state_dict()
        averaging = {name: value for name, value in state.items() if not name.startswith("module.")}
        average = {name.removeprefix("module."): value for name, value in state.items() if name not in averaging}
        current = checkpoint["state_dict"]
        if self._is_swapped:  # saved inside validation
            average, current = current, average
        checkpoint.update(state_dict=average, current_model_state=current, averaging_state=averaging)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A fit resumes: take the trained weights and the average apart again."""
        if trainer.state.fn != "fit":
            return  # the module has the average, which is what to validate, test and predict with
        if "current_model_state" not in checkpoint:
            warnings.warn(
                f"{type(self).__name__}: the checkpoint was saved without an average of weights; the average begins anew,"
                " with the weights of the checkpoint.",
                UserWarning,
                stacklevel=2,
            )
            return
        average = {f"module.{name}": value for name, value in checkpoint["state_dict"].items()}
        self._saved_average = {**average, **checkpoint["averaging_state"]}
        # the module was given `state_dict`, the average, already
        pl_module.load_state_dict(checkpoint["current_model_state"], strict=pl_module.strict_loading)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return (one.detach() for one in itertools.chain(module.parameters(), module.buffers()))


def _copy(source: nn.Module, target: nn.Module) -> None:
    for one, other in zip(_tensors(source), _tensors(target), strict=True):
        other.copy_(one)
