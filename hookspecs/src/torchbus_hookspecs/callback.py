"""The base classes of callbacks: ``Callback``, and two roles that trainers ask for, ``Checkpoint`` and ``ProgressBar``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .errors import MisconfigurationException

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer
    from torchbus import LightningModule, Trainer

    from ._types import StepOutput

__all__ = ["Callback", "Checkpoint", "FailurePolicy"]

FailurePolicy = Literal["raise", "quarantine"]


class Callback:
    """A plugin written as a class: every hook method that a subclass overrides is an implementation, no decorator needed.

    Methods are called with positional arguments in the order shown here, so parameters may have any names or defaults.
    A method may carry ``@hookimpl(...)`` for its place in the order; a subclass that overrides it inherits that place.

    Attributes:
        on_failure: what happens when a method raises: ``"raise"`` (default) ends the run; ``"quarantine"`` reports it and,
            after three failures, unregisters the callback while the run goes on.
        before: instance names of plugins that must run after this one, in every hook; absent names are ignored.
        after: instance names of plugins that must run before this one, in every hook; absent names are ignored.
    """

    on_failure: ClassVar[FailurePolicy] = "raise"
    before: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint. Two callbacks with state need two keys."""
        return type(self).__qualname__

    @property
    def idle_hooks(self) -> Collection[str]:
        """Hooks that this instance, with its settings, has no need of: they are not called, and cost nothing.

        Asked once, when the callback is registered. A hook that a subclass of the class which says so overrides is called.
        """
        return ()

    def _generate_state_key(self, **kwargs: Any) -> str:
        """A state key of the class's name and the given values, for callbacks that may be used more than once."""
        return f"{type(self).__qualname__}{kwargs!r}"

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Log one number, as ``LightningModule.log`` does, with the same options."""
        self._module_to_log_to().log(name, value, *args, **kwargs)

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log several numbers, as ``LightningModule.log_dict`` does, with the same options."""
        self._module_to_log_to().log_dict(dictionary, *args, **kwargs)

    def _module_to_log_to(self) -> Any:
        module = self.__dict__.get("_pl_module")  # set by the trainer while a run lasts
        if module is None:
            raise MisconfigurationException(
                f"{type(self).__name__}.log was called outside of a run: there is no trainer."
            )
        return module

    def __getstate__(self) -> dict[str, Any]:
        # a pickled or copied callback belongs to no run
        return {name: value for name, value in self.__dict__.items() if name != "_pl_module"}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should hold of this callback: plain values and tensors."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Fit, validate, test or predict begins (``stage``)."""

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Fit, validate, test or predict has ended."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit begins: modules and optimizers exist."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit ends."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The validation batches that check the code before training begin."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sanity check is done."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training begins."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training ends."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch begins."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch ends."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A training batch begins."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Any, batch_idx: int
    ) -> None:
        """A training batch is done."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation run begins."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation run ends."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation epoch begins."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation epoch ends."""

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A validation batch begins."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A validation batch is done."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test run begins."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test run ends."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test epoch begins."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test epoch ends."""

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A test batch begins."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A test batch is done."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A prediction run begins."""

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A prediction run ends."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A prediction epoch begins."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A prediction epoch ends."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A prediction batch begins."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A prediction batch is done."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """The backward pass is about to run."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The backward pass is done; gradients are there."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """The optimizer is about to step; gradients are not clipped yet."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is being put together; add to it."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A checkpoint has been read; take from it."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run is ending with an exception."""


class Checkpoint(Callback):
    """The role of a callback that writes checkpoints: it runs after all other callbacks."""

    def find_last(self, trainer: Trainer) -> list[str]:
        """The files that ``ckpt_path="last"`` may mean; the newest of them is taken. Default: ``last_model_path``."""
        path = getattr(self, "last_model_path", "")
        return [path] if path and os.path.exists(path) else []
