"""The callback ``freeze_unfreeze``: named parts of a model are frozen, each until its epoch."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch.nn import Module
from torch.optim import Optimizer
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.errors import did_you_mean
from torchbus_hookspecs.settings import validated

from ._base import BaseFinetuning
from ._freezing import filter_params
from ._groups import add_group, without_present

if TYPE_CHECKING:
    from torchbus import LightningModule

__all__ = ["FreezeUnfreeze"]

_log = logging.getLogger("torchbus.freeze_unfreeze")
Epoch = Annotated[int, Field(ge=0)]


@validated
class FreezeUnfreeze(BaseFinetuning):
    """Freeze parts of the module by name and unfreeze each at the start of its epoch.

        plugins={"freeze_unfreeze": {"modules": {"encoder": 5, "encoder.layer4": 2, "embedding": None}}}

    freezes the encoder and the embedding, trains ``encoder.layer4`` from epoch 2 on, the whole encoder from epoch 5 on, and
    the embedding never. A part is frozen until the earliest epoch of those names that reach it.

    Parts that the optimizer lacks join it as a new group when they are unfrozen; parts that it has keep their group.

    Raises:
        MisconfigurationException: a setting is wrong, or the module has no part of a name.

    Source: torchbus's own; the schedule of gradual unfreezing is Howard and Ruder, "Universal Language Model Fine-tuning for
    Text Classification", ACL 2018.
    """

    restores_trainable = True

    def __init__(
        self,
        modules: Annotated[
            dict[str, Epoch | None],
            Field(
                min_length=1,
                description="Names of submodules, `*` for any text, each with the epoch from which it trains; none: never.",
            ),
        ],
        lr: Annotated[
            float | None, Field(gt=0, description="Rate of what is unfrozen. Default: `lr_ratio` of the first group's.")
        ] = None,
        lr_ratio: Annotated[
            float, Field(gt=0, description="Rate of what is unfrozen, as a fraction of the first group's at that time.")
        ] = 0.1,
        train_bn: Annotated[bool, Field(description="Keep batch normalization trainable in frozen parts.")] = True,
        verbose: Annotated[bool, Field(description="Log what is unfrozen.")] = False,
    ) -> None:
        super().__init__()
        self.modules = modules
        self.lr = lr
        self.lr_ratio = lr_ratio
        self.train_bn = train_bn
        self.verbose = verbose

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze all named parts.

        Raises:
            MisconfigurationException: the module has no part of a name.
        """
        for pattern in self.modules:
            self.freeze(self._parts(pl_module, pattern), train_bn=self.train_bn)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what is due: all that should train by now, so that a run may begin at any epoch."""
        if optimizer is not pl_module.trainer.optimizers[0]:
            return  # one group in one optimizer: two of them would step it twice
        for pattern, due in self.modules.items():
            if due is None or epoch < due:
                continue
            parts = self._parts(pl_module, pattern)
            frozen = list(filter_params(parts, requires_grad=False))
            if not frozen:
                continue
            self.make_trainable(parts)
            lr = optimizer.param_groups[0]["lr"] * self.lr_ratio if self.lr is None else self.lr
            add_group(optimizer, without_present(optimizer, frozen), lr)
            if self.verbose:
                _log.info(
                    "epoch %d: `%s` is unfrozen, %d parameters", epoch, pattern, sum(one.numel() for one in frozen)
                )

    def _parts(self, pl_module: LightningModule, pattern: str) -> list[Module]:
        named = {name: one for name, one in pl_module.named_modules() if name}
        found = [one for name, one in named.items() if fnmatchcase(name, pattern)]
        if not found:
            raise MisconfigurationException(
                f"{type(self).__name__}: {type(pl_module).__name__} has no submodule `{pattern}`."
                f"{did_you_mean(pattern, named)} It has: {', '.join(named) or 'none'}."
            )
        return found
