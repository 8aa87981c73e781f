"""From which hooks a value may be logged, per step or per epoch, and what is meant when nothing is said."""

from __future__ import annotations

from ._errors import MisconfigurationException

__all__ = ["check_levels"]

_TRAINING = frozenset({
    "training_step", "backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "clip_gradients",
    "on_train_batch_start", "on_train_batch_end", "on_before_backward", "on_after_backward", "on_before_zero_grad",
    "on_before_optimizer_step",
})  # fmt: skip
_EVALUATION = frozenset(
    {"validation_step", "test_step"}
    | {f"on_{stage}_batch_{edge}" for stage in ("validation", "test") for edge in ("start", "end")}
)
_EPOCH = frozenset(
    f"on_{stage}_{edge}" for stage in ("train", "validation", "test") for edge in ("start", "epoch_start", "epoch_end")
)


def check_levels(hook: str, name: str, on_step: bool | None, on_epoch: bool | None) -> tuple[bool, bool]:
    """Whether a value logged in ``hook`` counts per step, per epoch, or both.

    Raises:
        MisconfigurationException: the hook does not allow it, or neither level was asked for.
    """
    where = f"`self.log({name}, ...)` in `{hook}`"
    if not hook:
        raise MisconfigurationException(f"You can't `self.log({name}, ...)` outside of every hook and step.")
    if hook not in _TRAINING | _EVALUATION | _EPOCH:
        raise MisconfigurationException(
            f"You can't `self.log({name}, ...)` in `{hook}`: nothing is collected there. Log in a step, in a batch"
            " hook or at the end of an epoch instead."
        )
    per_step = hook in _TRAINING if on_step is None else on_step
    per_epoch = hook not in _TRAINING if on_epoch is None else on_epoch
    if hook in _EPOCH and (per_step or not per_epoch):
        raise MisconfigurationException(
            f"{where}: only per-epoch values can be logged there (on_step={on_step}, on_epoch={on_epoch})."
            " To fix: leave both out, or pass on_step=False, on_epoch=True."
        )
    if not (per_step or per_epoch):
        raise MisconfigurationException(
            f"{where}: `self.log(on_step=False, on_epoch=False)` is not useful. To fix: leave one of them out."
        )
    return per_step, per_epoch
