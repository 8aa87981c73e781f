"""The base of fine-tuning schedules: what is frozen at first, what is unfrozen when, and how a run resumes in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torchbus_hookspecs import Callback

from . import _freezing
from ._freezing import Modules
from ._groups import add_group, build_groups, describe_groups, filter_on_optimizer, tell_schedulers, without_present

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["BaseFinetuning"]


class BaseFinetuning(Callback):
    """Freezes parts of the module before training and unfreezes them as a subclass says.

    A subclass defines two methods: ``freeze_before_training``, called before ``configure_optimizers``, and
    ``finetune_function``, called at the start of each epoch for each optimizer.

        class Schedule(BaseFinetuning):
            def freeze_before_training(self, pl_module):
                self.freeze(pl_module.encoder)

            def finetune_function(self, pl_module, epoch, optimizer):
                if epoch == 5:
                    self.unfreeze_and_add_param_group(pl_module.encoder, optimizer, lr=1e-4)

    ``configure_optimizers`` should return only parameters that require gradients; the others join later.

    Attributes:
        restores_trainable: whether a resumed run unfreezes what was unfrozen when its checkpoint was saved. In
            Lightning it does not, and a schedule that says ``epoch == 5`` trains nothing new when resumed at epoch 6.
            The schedules of this package set it to true; do so in your own.

    Source: Lightning ``BaseFinetuning``. In contrast to it, validation and test freeze nothing, schedulers hear of groups
    that are added, and a checkpoint saved while an epoch began does not apply the same epoch's step again.
    """

    restores_trainable: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[int, list[dict[str, Any]]] = {}
        self._trainable: list[str] = []
        self._epoch_done = -1
        self._is_resuming = False

    # ---- what a subclass says ----------------------------------------------------------------------------------------

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze what should not be trained at first. Called before ``configure_optimizers``."""
        raise NotImplementedError(
            f"{type(self).__name__} must define freeze_before_training(self, pl_module): what to freeze before training."
        )

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what is due.

        Args:
            pl_module: the module.
            epoch: the epoch that begins, from 0.
            optimizer: one of the module's optimizers; this is called for each.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define finetune_function(self, pl_module, epoch, optimizer): what to unfreeze when."
        )

    # ---- tools for it ------------------------------------------------------------------------------------------------

    @staticmethod
    def flatten_modules(modules: Modules) -> list[Module]:
        """All modules in ``modules``, lists of any nesting, that hold parameters themselves or have no children."""
        return _freezing.flatten_modules(modules)

    @staticmethod
    def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[Parameter]:
        """The trainable (or frozen) parameters in ``modules``; without batch normalization if not ``train_bn``."""
        return _freezing.filter_params(modules, train_bn, requires_grad)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze modules; with ``train_bn``, batch normalization stays trainable."""
        _freezing.freeze(modules, train_bn)

    @staticmethod
    def freeze_module(module: Module) -> None:
        """Freeze the parameters that one module itself holds."""
        _freezing.freeze_module(module)

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Unfreeze modules."""
        _freezing.make_trainable(modules)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[Parameter]) -> list[Parameter]:
        """Those of ``params`` that the optimizer does not have yet, with a warning if it has some."""
        return filter_on_optimizer(optimizer, params)

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Unfreeze modules, and add those of their parameters that the optimizer lacks as a group of their own.

        Args:
            modules: what to unfreeze.
            optimizer: what is to train them.
            lr: the group's rate; default: that of the first group divided by ``initial_denom_lr``.
            initial_denom_lr: see ``lr``.
            train_bn: whether batch normalization joins the group.
        """
        modules = _freezing.flatten_modules(modules)
        never_frozen = {id(one) for one in _freezing.filter_params(modules)}
        _freezing.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else float(lr)
        params = list(_freezing.filter_params(modules, train_bn))
        # those never frozen, such as of batch normalization, are in the optimizer with good reason
        kept = [one for one in params if id(one) in never_frozen]
        joining = filter_on_optimizer(optimizer, [one for one in params if id(one) not in never_frozen])
        add_group(optimizer, [*without_present(optimizer, kept), *joining], rate)

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before a fit builds its optimizers: freeze."""
        if stage == "fit":
            self._groups, self._trainable, self._epoch_done, self._is_resuming = {}, [], -1, False
            self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """In a resumed run: build the groups again, so that the optimizers' states fit them."""
        if not self._is_resuming:
            return
        self._is_resuming = False
        parameters = dict(pl_module.named_parameters())
        for index, described in self._groups.items():
            if index < len(trainer.optimizers):
                optimizer = trainer.optimizers[index]
                optimizer.param_groups = build_groups(described, parameters)
                self._tell_schedulers(trainer, optimizer)
        if self.restores_trainable:
            self._restore_trainable(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the schedule's step for this epoch, and note the groups for checkpoints."""
        if trainer.current_epoch == self._epoch_done:
            return  # resumed from a checkpoint that was saved right after it
        names = {id(one): name for name, one in pl_module.named_parameters()}
        for index, optimizer in enumerate(trainer.optimizers):
            count = len(optimizer.param_groups)
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
            if len(optimizer.param_groups) > count:
                self._tell_schedulers(trainer, optimizer)
            self._groups[index] = describe_groups(optimizer, names)
        self._trainable = [name for name, one in pl_module.named_parameters() if one.requires_grad]
        self._epoch_done = trainer.current_epoch

    @staticmethod
    def _tell_schedulers(trainer: Trainer, optimizer: Optimizer) -> None:
        tell_schedulers(optimizer, [config.scheduler for config in trainer.lr_scheduler_configs])

    def _restore_trainable(self, pl_module: LightningModule) -> None:
        trainable = set(self._trainable)
        for prefix, module in pl_module.named_modules():
            names = [f"{prefix}.{name}" if prefix else name for name, _ in module.named_parameters(recurse=False)]
            if names and trainable.issuperset(names):
                _freezing.switch(module, trainable=True)

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The groups of each optimizer with the names of their parameters, and which parameters are trainable."""
        return {
            "internal_optimizer_metadata": self._groups,
            "trainable": self._trainable,
            "epoch_done": self._epoch_done,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, torchbus's or Lightning's."""
        self._is_resuming = True
        # Lightning's files have no key for the other two, and older ones have the groups alone
        self._groups = state_dict.get("internal_optimizer_metadata", {})
        self._trainable = state_dict.get("trainable", [])
        self._epoch_done = state_dict.get("epoch_done", -1)
