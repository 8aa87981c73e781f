"""The callback ``backbone_finetuning``: the head trains first, then the backbone joins at a rate of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torch.nn import Module
from torch.optim import Optimizer
from torchbus_hookspecs.settings import validated

from ._base import BaseFinetuning

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["BackboneFinetuning", "multiplicative"]

_log = logging.getLogger("torchbus.backbone_finetuning")


def multiplicative(epoch: int) -> float:
    """The factor by which the backbone's rate grows with each epoch, unless another is given: always 2."""
    return 2.0


@validated
class BackboneFinetuning(BaseFinetuning):
    """Train with a frozen ``backbone`` at first; from an epoch on, train it too, at its own rising rate.

    The module names the pretrained part ``backbone`` and gives its optimizer the parameters that require gradients. When
    the backbone joins, it becomes another group of the (first) optimizer; its rate then grows by a factor each epoch until
    it reaches that of the first group, and follows that from there.

    Attributes:
        previous_backbone_lr: the backbone's rate in the last epoch; ``None`` while it is frozen.

    Raises:
        MisconfigurationException: a setting is wrong.
        AttributeError: the module has no module ``backbone``.

    Source: Lightning ``BackboneFinetuning``. In contrast to it, a resumed run goes on training the backbone, only the
    backbone's own group changes its rate, and a run that starts after the unfreezing epoch unfreezes at once.
    """

    restores_trainable = True

    def __init__(
        self,
        unfreeze_backbone_at_epoch: Annotated[
            int, Field(ge=0, description="Epoch from which the backbone trains.")
        ] = 10,
        lambda_func: Annotated[
            Callable[[int], float] | float,
            Field(
                description="Factor by which the backbone's rate grows each epoch: a number, or a function of the epoch."
            ),
        ] = multiplicative,
        backbone_initial_ratio_lr: Annotated[
            float, Field(gt=0, description="The backbone's first rate as a fraction of the first group's.")
        ] = 0.1,
        backbone_initial_lr: Annotated[
            float | None, Field(description="The backbone's first rate itself, in place of the fraction.")
        ] = None,
        should_align: Annotated[
            bool, Field(description="Let the backbone's rate grow no further than the first group's.")
        ] = True,
        initial_denom_lr: Annotated[
            float, Field(gt=0, description="Kept for Lightning's sake: has no effect, since a rate is always given.")
        ] = 10.0,
        train_bn: Annotated[
            bool, Field(description="Whether frozen batch normalization of the backbone joins the group too.")
        ] = True,
        verbose: Annotated[bool, Field(description="Log both rates each epoch.")] = False,
        rounding: Annotated[int, Field(ge=0, description="Digits of logged rates.")] = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func: Callable[[int], float] = _function(lambda_func)
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None
        self._group: int | None = None

    # ---- the schedule ------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before a fit: look for the backbone, and freeze it.

        Raises:
            AttributeError: there is none.
        """
        if stage == "fit":
            if not isinstance(getattr(pl_module, "backbone", None), Module):
                raise AttributeError(
                    f"{type(self).__name__}: {type(pl_module).__name__} has no module `backbone`. To fix: name the"
                    " pretrained part so, or use `freeze_unfreeze`, which takes the names of any parts."
                )
            self.previous_backbone_lr = self._group = None
        super().setup(trainer, pl_module, stage)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze the backbone, apart from its batch normalization."""
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze the backbone when it is time; from then on, set its rate."""
        if optimizer is not pl_module.trainer.optimizers[0]:
            return  # one group in one optimizer: two of them would step it twice
        if self.previous_backbone_lr is not None:
            self._grow(epoch, optimizer)
        elif epoch >= self.unfreeze_backbone_at_epoch:
            self._join(pl_module, optimizer)
        else:
            return
        if self.verbose and self.previous_backbone_lr is not None:
            rates = [
                round(float(one), self.rounding) for one in (optimizer.param_groups[0]["lr"], self.previous_backbone_lr)
            ]
            _log.info("epoch %d: rate %s, of the backbone %s", epoch, *rates)

    def _join(self, pl_module: LightningModule, optimizer: Optimizer) -> None:
        rate = self.backbone_initial_lr
        if rate is None:
            rate = optimizer.param_groups[0]["lr"] * self.backbone_initial_ratio_lr
        count = len(optimizer.param_groups)
        self.unfreeze_and_add_param_group(
            pl_module.backbone,
            optimizer,
            rate,
            initial_denom_lr=self.initial_denom_lr,
            train_bn=self.train_bn,
        )
        self.previous_backbone_lr = rate
        # no group, if configure_optimizers gave the backbone to the optimizer: then its rate is not ours to set
        self._group = count if len(optimizer.param_groups) > count else None

    def _grow(self, epoch: int, optimizer: Optimizer) -> None:
        if self._group is None:
            return
        assert self.previous_backbone_lr is not None  # the caller looked
        first = optimizer.param_groups[0]["lr"]
        rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
        if self.should_align and rate > first:
            rate = first
        optimizer.param_groups[self._group]["lr"] = self.previous_backbone_lr = rate

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The groups, the backbone's rate and which group is the backbone's."""
        return {
            **super().state_dict(),
            "previous_backbone_lr": self.previous_backbone_lr,
            "backbone_group": self._group,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, torchbus's or Lightning's."""
        super().load_state_dict(state_dict)
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
        groups = self._groups.get(0, [])
        added_last = len(groups) - 1 if self.previous_backbone_lr is not None and len(groups) > 1 else None
        self._group = state_dict.get("backbone_group", added_last)
        if "trainable" not in state_dict:  # Lightning's: all that an optimizer has is trained
            self._trainable = [name for group in groups for name in group["params"]]


def _function(factor: Callable[[int], float] | float) -> Callable[[int], float]:
    return factor if callable(factor) else lambda epoch: factor
