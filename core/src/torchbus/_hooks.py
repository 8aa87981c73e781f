"""The hooks that modules and datamodules may override. Each is documented in ``torchbus_hookspecs.specs``.

Hooks that announce something do nothing here. Hooks that do something (move a batch, step an optimizer, …) ask the plugins
that provide it, and then torchbus's own default (``_defaults``): what an override reaches through ``super()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer
from torchbus_hookspecs import events
from torchbus_hookspecs.events import RunEvent

from . import _defaults
from ._errors import MisconfigurationException

if TYPE_CHECKING:
    import torch
    from torchbus_hookspecs import Callback

    from ._types import OptimizerLRScheduler, StepOutput

__all__ = ["DataHooks", "ModuleHooks"]


class _Hooks:
    _bus_name = ""

    def _provided(self, event: type[RunEvent], *values: Any) -> Any:
        """What plugins or the built-in default provide for a hook, leaving this object's own override out."""
        trainer = self.__dict__.get("_trainer")
        if trainer is None:
            provide = getattr(_defaults, event.hook_name, None)
            return provide(None, self, *values) if provide else None
        emit: Callable[..., Any] = trainer.bus.emitter_without(self._bus_name, event)
        return emit(trainer, trainer.lightning_module, *values)

    def _asked(self, event: type[RunEvent], *values: Any) -> Any:
        """The same for a hook that the module calls itself: subscribers hear of it here, since no loop emits it."""
        trainer = self.__dict__.get("_trainer")
        if trainer is not None:
            trainer.bus.tell(event, trainer, trainer.lightning_module, *values)
        return self._provided(event, *values)


class DataHooks(_Hooks):
    """Hooks about data, for modules and datamodules."""

    prepare_data_per_node: bool = True
    allow_zero_length_dataloader_with_multiple_devices: bool = False

    def prepare_data(self) -> None:
        """Download or write data. Called once per machine; keep no state here."""

    def setup(self, stage: str) -> None:
        """Fit, validate, test or predict (``stage``) begins, on every rank."""

    def teardown(self, stage: str) -> None:
        """Fit, validate, test or predict (``stage``) has ended."""

    def _provided_loader(self, event: type[RunEvent]) -> Any:
        loader = self._provided(event)
        if loader is None:
            raise MisconfigurationException(
                f"{type(self).__name__} has no `{event.hook_name}`: `{event.hook_name}` must be implemented to be used with the"
                " Trainer. To fix: define it, or pass loaders to the trainer."
            )
        return loader

    def train_dataloader(self) -> Any:
        """The loader, or several in lists and dictionaries, to train on."""
        return self._provided_loader(events.TrainDataloader)

    def val_dataloader(self) -> Any:
        """The loader or loaders to validate on."""
        return self._provided_loader(events.ValDataloader)

    def test_dataloader(self) -> Any:
        """The loader or loaders to test on."""
        return self._provided_loader(events.TestDataloader)

    def predict_dataloader(self) -> Any:
        """The loader or loaders to predict on."""
        return self._provided_loader(events.PredictDataloader)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it moves to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to the device."""
        return self._provided(events.TransferBatchToDevice, batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch after it moved to the device."""
        return batch


class ModuleHooks(_Hooks):
    """Hooks of the model and its optimization."""

    def configure_callbacks(self) -> list[Callback] | Callback:
        """Callbacks of the model's own, beside the trainer's; one of a type there replaces the trainer's."""
        return []

    def configure_sharded_model(self) -> None:
        """The old name of ``configure_model``."""

    def configure_model(self) -> None:
        """Build layers late, on the right device and in the right precision."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer or optimizers, and learning rate schedulers."""
        provided: OptimizerLRScheduler = self._provided(events.ConfigureOptimizers)
        return provided

    def on_fit_start(self) -> None:
        """Fit begins."""

    def on_fit_end(self) -> None:
        """Fit ends."""

    def on_train_start(self) -> None:
        """Training begins."""

    def on_train_end(self) -> None:
        """Training ends."""

    def on_train_epoch_start(self) -> None:
        """A training epoch begins."""

    def on_train_epoch_end(self) -> None:
        """A training epoch ends."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """A training batch begins; return -1 to end the epoch."""
        return None

    def training_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """The loss of one batch (``batch, batch_idx``), or a mapping with ``"loss"``, or nothing."""
        provided: StepOutput = self._provided(events.TrainingStep, *args)
        return provided

    def on_train_batch_end(self, outputs: StepOutput, batch: Any, batch_idx: int) -> None:
        """A training batch is done."""

    def on_validation_start(self) -> None:
        """A validation run begins."""

    def on_validation_end(self) -> None:
        """A validation run ends."""

    def on_validation_epoch_start(self) -> None:
        """A validation epoch begins."""

    def on_validation_epoch_end(self) -> None:
        """A validation epoch ends."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A validation batch begins."""

    def validation_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """What to do with one validation batch (``batch, batch_idx``, and ``dataloader_idx`` with several loaders)."""
        provided: StepOutput = self._provided(events.ValidationStep, *args)
        return provided

    def on_validation_batch_end(self, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A validation batch is done."""

    def on_test_start(self) -> None:
        """A test run begins."""

    def on_test_end(self) -> None:
        """A test run ends."""

    def on_test_epoch_start(self) -> None:
        """A test epoch begins."""

    def on_test_epoch_end(self) -> None:
        """A test epoch ends."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch begins."""

    def test_step(self, *args: Any, **kwargs: Any) -> StepOutput:
        """What to do with one test batch (``batch, batch_idx``, and ``dataloader_idx`` with several loaders)."""
        provided: StepOutput = self._provided(events.TestStep, *args)
        return provided

    def on_test_batch_end(self, outputs: StepOutput, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch is done."""

    def on_predict_start(self) -> None:
        """A prediction run begins."""

    def on_predict_end(self) -> None:
        """A prediction run ends."""

    def on_predict_epoch_start(self) -> None:
        """A prediction epoch begins."""

    def on_predict_epoch_end(self) -> None:
        """A prediction epoch ends."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A prediction batch begins."""

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """The prediction for one batch (``batch``, and if wanted ``batch_idx, dataloader_idx``); default: ``self(batch)``."""
        return self._provided(events.PredictStep, *_batch_and_place(*args, **kwargs))

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A prediction batch is done."""

    def on_validation_model_zero_grad(self) -> None:
        """Free gradients before validation."""
        self._provided(events.ValidationModelZeroGrad)

    def on_validation_model_eval(self) -> None:
        """Switch to evaluation mode for validation."""
        self._provided(events.ValidationModelEval)

    def on_validation_model_train(self) -> None:
        """Switch back after validation."""
        self._provided(events.ValidationModelTrain)

    def on_test_model_eval(self) -> None:
        """Switch to evaluation mode for testing."""
        self._provided(events.TestModelEval)

    def on_test_model_train(self) -> None:
        """Switch back after testing."""
        self._provided(events.TestModelTrain)

    def on_predict_model_eval(self) -> None:
        """Switch to evaluation mode for prediction."""
        self._provided(events.PredictModelEval)

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """The backward pass is about to run."""

    def on_after_backward(self) -> None:
        """The backward pass is done."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """The optimizer is about to step; gradients are not clipped yet."""

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Step the optimizer; the closure computes loss and gradients."""
        self._provided(events.OptimizerStep, epoch, batch_idx, optimizer, optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear the gradients."""
        self._provided(events.OptimizerZeroGrad, epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients of the loss."""
        self._provided(events.Backward, loss, args, kwargs)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip gradients before the optimizer steps."""
        self._provided(events.ConfigureGradientClipping, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a learning rate scheduler; ``metric`` is ``None`` but for plateau schedulers."""
        self._provided(events.LrSchedulerStep, scheduler, metric)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is being put together; add to it."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint has been read; take from it."""


def _batch_and_place(batch: Any, batch_idx: int = 0, dataloader_idx: int = 0) -> tuple[Any, int, int]:
    """The arguments of a step, whichever of them ``super()`` was called with, and how."""
    return batch, batch_idx, dataloader_idx
