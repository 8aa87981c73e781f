"""The callback ``stochastic_weight_averaging``: late epochs at a high rate, and the mean of their weights."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.optim.swa_utils import SWALR
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

from ._batch_norm import ForwardOnly, Momenta, batch_norms, run_forward
from ._plan import Average, Rate, ScheduleConfig, checked_epochs, epoch_or_fraction

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["StochasticWeightAveraging"]

_log = logging.getLogger("torchbus.stochastic_weight_averaging")


@validated
class StochasticWeightAveraging(Callback):
    """In the last part of training, anneal the rate to a constant, and average the weights with which each epoch begins.

    At the end the module takes the mean over. If it has batch normalization, the mean needs statistics of its own: one more
    epoch runs over the data, without gradients, to collect them.

    Attributes:
        n_averaged: how many epochs' weights are in the average so far.

    Raises:
        MisconfigurationException: a setting is wrong, or the run is one that cannot be averaged.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018; Lightning
    ``StochasticWeightAveraging``. In contrast to it, a training that is stopped early takes the average over too.
    """

    def __init__(
        self,
        swa_lrs: Annotated[Rate | list[Rate], Field(description="Rate to anneal to, or one for each parameter group.")],
        swa_epoch_start: Annotated[
            int | float,
            AfterValidator(epoch_or_fraction),
            Field(description="Where averaging begins: an epoch, from 1, or a fraction of all epochs."),
        ] = 0.8,
        annealing_epochs: Annotated[int, Field(ge=0, description="Epochs over which the rate is annealed.")] = 10,
        annealing_strategy: Annotated[
            Literal["cos", "linear"], Field(description="Along a cosine, or a line.")
        ] = "cos",
        avg_fn: Annotated[
            Callable[[Tensor, Tensor, Tensor], Tensor] | None,
            Field(description="New average from average, weights and number of averaged. Default: the mean."),
        ] = None,
        device: Annotated[
            torch.device | str | None, Field(description="Where the average is kept. None: where the module is.")
        ] = "cpu",
        last_step: Annotated[
            bool,
            Field(
                description="With batch normalization and no validation: let the optimizer step that ends the epoch for batch"
                " statistics apply the last gradients of training to the average, as Lightning does. False: leave it pure."
            ),
        ] = True,
    ) -> None:
        super().__init__()
        self.swa_lrs = swa_lrs
        self.swa_epoch_start = swa_epoch_start
        self.annealing_epochs = annealing_epochs
        self.annealing_strategy: Literal["cos", "linear"] = annealing_strategy
        self.device = device
        self.last_step = last_step
        self.n_averaged = 0
        self._average: Average = avg_fn or self.avg_fn
        self._start = self._end = 0
        self._latest_update_epoch = -1
        self._module: nn.Module | None = None
        self._average_model: nn.Module | None = None
        self._scheduler: SWALR | None = None
        self._momenta: Momenta | None = None
        self._forward_only: ForwardOnly | None = None
        self._changed: dict[str, Any] = {}
        self._resumed: dict[str, Any] | None = None
        self._is_transferred = False

    # ---- the plan ----------------------------------------------------------------------------------------------------

    @property
    def swa_start(self) -> int:
        """The first epoch, from 0, whose weights at its start are averaged."""
        return self._start

    @property
    def swa_end(self) -> int:
        """The last epoch, from 0, whose weights at its start are averaged."""
        return self._end

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A fit begins: nothing is averaged yet."""
        if stage == "fit":
            self.n_averaged, self._latest_update_epoch = 0, -1
            self._average_model = self._scheduler = self._resumed = None
            self._is_transferred = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Work out when to average; in a resumed run, go on with the average.

        Raises:
            MisconfigurationException: the run is one that cannot be averaged.
        """
        epochs, first = checked_epochs(trainer, type(self).__name__), self.swa_epoch_start
        self._start = max((int(epochs * first) if isinstance(first, float) else first) - 1, 0)
        self._end = epochs - 1
        if batch_norms(pl_module) and self._start <= self._end:
            self._change(trainer, max_epochs=epochs + 1)
        self._module, self._average_model = pl_module, copy.deepcopy(pl_module)
        if self._resumed is not None and self._resumed["average_model_state"] is not None:
            self._average_model.load_state_dict(self._resumed["average_model_state"])
            self._begin(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """In a resumed run: take back the last gradients, and go on collecting batch statistics if that was under way."""
        if self._resumed is not None:
            gradients = self._resumed.get("gradients", {})
            for name, one in pl_module.named_parameters():
                if name in gradients:
                    one.grad = gradients[name].to(one)
            self._resumed = None
        if trainer.fit_loop.is_resuming and trainer.current_epoch == self.swa_end + 1:
            self._is_transferred = True
            self._collect_statistics(trainer, pl_module, anew=False)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the weights with which an epoch begins; after the last, begin the epoch for batch statistics."""
        epoch = trainer.current_epoch
        if self.swa_start <= epoch <= self.swa_end:
            if self._scheduler is None:
                self._begin(trainer, pl_module)
            if epoch > self._latest_update_epoch:
                self._update(pl_module)
                self._latest_update_epoch = epoch
        elif epoch == self.swa_end + 1 and self._changed:
            self._transfer(pl_module)
            self._collect_statistics(trainer, pl_module, anew=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch for batch statistics is over: steps compute gradients again."""
        self._compute_gradients(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The module takes over the average, unless it has for its batch statistics, or training never got so far."""
        if not self._is_transferred and self.n_averaged:
            self._transfer(pl_module)
            if batch_norms(pl_module):
                self.reset_batch_norm_and_save_state(pl_module)
                run_forward(trainer)
        self._restore(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run resumed where nothing was left to train, and so without an end of training: take over the average."""
        if not self._is_transferred and self.n_averaged and not batch_norms(pl_module):
            self._transfer(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run is over, perhaps without any training: leave the trainer as it was."""
        self._restore(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same when it fails."""
        self._restore(trainer)

    # ---- averaging ---------------------------------------------------------------------------------------------------

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average where it is kept, and the annealing in the place of the module's scheduler."""
        assert self._average_model is not None  # on_fit_start made it
        self._average_model.to(self.device if self.device is not None else pl_module.device)
        optimizer = trainer.optimizers[0]
        self._scheduler = SWALR(
            optimizer,
            swa_lr=self.swa_lrs,  # type: ignore[arg-type]  # a list too, one for each group
            anneal_epochs=self.annealing_epochs,
            anneal_strategy=self.annealing_strategy,
        )
        if trainer.lr_scheduler_configs:
            replaced = type(trainer.lr_scheduler_configs[0].scheduler).__name__
            _log.info("from epoch %d on, SWALR anneals the rate, in place of %s", trainer.current_epoch, replaced)
        # in place: the loop holds this list
        trainer.lr_scheduler_configs[:] = [ScheduleConfig(self._scheduler)]  # type: ignore[list-item]  # the same fields

    def _update(self, pl_module: LightningModule) -> None:
        assert self._average_model is not None  # on_fit_start made it
        self.update_parameters(self._average_model, pl_module, torch.tensor(self.n_averaged), self._average)
        self.n_averaged += 1

    def _transfer(self, pl_module: LightningModule) -> None:
        assert self._average_model is not None  # on_fit_start made it
        self.transfer_weights(self._average_model, pl_module)
        self._is_transferred = True

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """The mean: the average so far, moved towards the newest weights by one share."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @staticmethod
    def update_parameters(average_model: nn.Module, model: nn.Module, n_averaged: Tensor, avg_fn: Average) -> None:
        """Take a model's weights into an average over ``n_averaged`` others; the first are copied."""
        for average, current in zip(average_model.parameters(), model.parameters(), strict=True):
            kept, newest = average.detach(), current.detach().to(average.device)
            kept.copy_(avg_fn(kept, newest, n_averaged.to(average.device)) if n_averaged else newest)

    @staticmethod
    def transfer_weights(src_pl_module: nn.Module, dst_pl_module: nn.Module) -> None:
        """Copy the weights of one module to another."""
        for source, target in zip(src_pl_module.parameters(), dst_pl_module.parameters(), strict=True):
            target.detach().copy_(source.detach())

    # ---- batch statistics --------------------------------------------------------------------------------------------

    @staticmethod
    def pl_module_contains_batch_norm(pl_module: nn.Module) -> bool:
        """Whether a module has layers of batch normalization that track statistics."""
        return bool(batch_norms(pl_module))

    def reset_batch_norm_and_save_state(self, pl_module: nn.Module) -> None:
        """Forget the batch statistics, and average them anew over all batches to come."""
        self._momenta = Momenta(pl_module)
        self._momenta.reset_statistics()

    def reset_momenta(self) -> None:
        """Give batch normalization its momenta back."""
        if self._momenta is not None:
            self._momenta.restore()
            self._momenta = None

    def _collect_statistics(self, trainer: Trainer, pl_module: LightningModule, anew: bool) -> None:
        if anew:
            self.reset_batch_norm_and_save_state(pl_module)
        else:
            self._momenta = Momenta(pl_module)
        batches = trainer.num_training_batches
        self._change(trainer, accumulate_grad_batches=int(batches) if batches != float("inf") else sys.maxsize)
        self._forward_only = ForwardOnly(pl_module, keeps_gradients=anew and self.last_step)
        trainer.bus.register(self._forward_only, f"forward_only_{id(self)}")

    def _compute_gradients(self, trainer: Trainer) -> None:
        if self._forward_only is not None:
            trainer.bus.unregister(self._forward_only)
            self._forward_only = None

    def _change(self, trainer: Trainer, **settings: Any) -> None:
        """Change the trainer's settings for the epoch for batch statistics."""
        for name, value in settings.items():
            self._changed.setdefault(name, getattr(trainer, name))
            setattr(trainer, name, value)

    def _restore(self, trainer: Trainer) -> None:
        self._compute_gradients(trainer)
        self.reset_momenta()
        for name, value in self._changed.items():
            setattr(trainer, name, value)
        self._changed = {}
        self._module = None

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The average, how many epochs are in it, how far the rate is annealed, and the gradients for the last step."""
        if self._resumed is not None:  # loaded, and not taken up yet
            return self._resumed
        scheduler = average = None
        gradients = {}
        if self.last_step and self._changed and self._module is not None and self._latest_update_epoch == self.swa_end:
            named = self._module.named_parameters()
            gradients = {name: one.grad for name, one in named if one.grad is not None}
        if self._scheduler is not None and self._average_model is not None:
            scheduler, average = self._scheduler.state_dict(), self._average_model.state_dict()
        return {
            "n_averaged": self.n_averaged,
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": scheduler,
            "average_model_state": average,
            "gradients": gradients,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; the average itself is taken when the module is on its device."""
        self.n_averaged = int(state_dict["n_averaged"])
        self._latest_update_epoch = state_dict["latest_update_epoch"]
        self._resumed = state_dict
