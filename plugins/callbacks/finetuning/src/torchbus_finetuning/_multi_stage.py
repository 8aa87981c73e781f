"""The callback ``multi_stage``: learning rates are multiplied when a stage of the training begins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

from ._groups import with_inner

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["MultiStage"]

_log = logging.getLogger("torchbus.multi_stage")
Epoch = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@validated
class MultiStage(Callback):
    """Multiply all learning rates by a factor at the start of given epochs.

    ``factors={10: 0.1, 20: 0.5}`` trains epochs 0 to 9 at the optimizers' own rates, 10 to 19 at a tenth of them, the rest
    at a twentieth. It works together with schedulers: those that compute rates from the initial ones get those multiplied
    too, so a stage's factor holds for the rest of the run.

    Raises:
        MisconfigurationException: a setting is wrong.

    Source: torchbus's own.
    """

    def __init__(
        self,
        factors: Annotated[
            dict[Epoch, Factor],
            Field(min_length=1, description="For each epoch at which a stage begins: by what rates are multiplied."),
        ],
        verbose: Annotated[bool, Field(description="Log each change.")] = False,
    ) -> None:
        super().__init__()
        self.factors = factors
        self.verbose = verbose
        self._epoch_done = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A fit begins, with rates that no stage has changed yet."""
        if stage == "fit":
            self._epoch_done = -1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the stages that are due: those of this epoch, and earlier ones if the run begins here."""
        epoch = trainer.current_epoch
        factor = 1.0
        for start, one in self.factors.items():
            if self._epoch_done < start <= epoch:
                factor *= one
        self._epoch_done = epoch
        if factor == 1.0:
            return
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                for name in ("lr", "initial_lr", "max_lr", "min_lr"):  # the last two: OneCycleLR reads them from here
                    if name in group:
                        group[name] = group[name] * factor
        for scheduler in with_inner(config.scheduler for config in trainer.lr_scheduler_configs):
            for name in ("base_lrs", "max_lrs", "_last_lr"):
                values = getattr(scheduler, name, None)
                if isinstance(values, list):
                    setattr(scheduler, name, [one * factor for one in values])
        if self.verbose:
            _log.info("epoch %d: rates are multiplied by %g", epoch, factor)

    def state_dict(self) -> dict[str, Any]:
        """The last epoch whose stages were begun: the optimizers' states hold what came of it."""
        return {"epoch_done": self._epoch_done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._epoch_done = state_dict["epoch_done"]
