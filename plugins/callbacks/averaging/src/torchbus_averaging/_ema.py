"""The callback ``ema_weight_averaging``: an exponential moving average of the weights."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torchbus_hookspecs.settings import validated

from ._weight_averaging import Device, UseBuffers, WeightAveraging

__all__ = ["EMAWeightAveraging"]


class _Exponential:
    """torch's update of the average, in the form for lists of tensors: a few kernels in all, not a few per parameter.

    An object, since torch's own function cannot be pickled.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, average: Any, current: Any, num_averaged: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(average, current, num_averaged)  # type: ignore[no-untyped-call]


@validated
class EMAWeightAveraging(WeightAveraging):
    """Keep an exponential moving average of the weights: ``average = decay * average + (1 - decay) * weights``.

    The first update copies the weights. See ``WeightAveraging`` for what the average is used for.

    Raises:
        MisconfigurationException: a setting is wrong.

    Source: Lightning ``EMAWeightAveraging``.
    """

    def __init__(
        self,
        device: Device = None,
        use_buffers: UseBuffers = True,
        decay: Annotated[float, Field(ge=0, le=1, description="How much of the average an update keeps.")] = 0.999,
        update_every_n_steps: Annotated[
            int, Field(ge=0, description="Update after every n-th optimizer step; 0: never after a step.")
        ] = 1,
        update_starting_at_step: Annotated[
            int | None, Field(ge=0, description="First optimizer step, from 0, after which to update.")
        ] = None,
        update_starting_at_epoch: Annotated[
            int | None, Field(ge=0, description="First epoch, from 0, at whose end to update. Default: never then.")
        ] = None,
        **kwargs: Any,
    ) -> None:
        averaging = {} if "avg_fn" in kwargs else {"multi_avg_fn": _Exponential(decay)}
        super().__init__(device=device, use_buffers=use_buffers, **{**averaging, **kwargs})
        self.decay = decay
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to update the average after this step, or after this epoch."""
        if step_idx is not None:
            first, every = self.update_starting_at_step or 0, self.update_every_n_steps
            return every > 0 and step_idx >= first and step_idx % every == 0
        if epoch_idx is not None:
            return self.update_starting_at_epoch is not None and epoch_idx >= self.update_starting_at_epoch
        return False
