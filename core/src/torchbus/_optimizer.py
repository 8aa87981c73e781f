"""The optimizer that users are handed: the real one, with hooks and counting around its ``step``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

__all__ = ["LightningOptimizer"]


class LightningOptimizer:
    """An optimizer whose ``step`` goes through the trainer: precision, ``on_before_optimizer_step``, clipping, counting.

    All other attributes are those of the optimizer itself, which is at ``.optimizer``.

    Args:
        optimizer: the optimizer.
        take_step: called with the optimizer and a closure when a step is asked for.
        toggle: called with the optimizer to switch off the gradients of all parameters but its own.
        untoggle: called with the optimizer to undo that.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        take_step: Callable[[Optimizer, Callable[[], Any]], Any],
        toggle: Callable[[Any], None],
        untoggle: Callable[[Any], None],
    ) -> None:
        self.optimizer = optimizer
        self._take_step = take_step
        self._toggle = toggle
        self._untoggle = untoggle

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """One step. The closure, if any, computes the gradients first.

        Raises:
            TypeError: the closure cannot be called.
        """
        if closure is not None and not callable(closure):
            raise TypeError(f"optimizer.step(closure={closure!r}): the closure must be a function without arguments.")
        return self._take_step(self.optimizer, closure or _nothing)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Inside, only this optimizer's parameters have gradients.

        Args:
            sync_grad: whether ranks exchange gradients inside; no difference on one rank.
        """
        self._toggle(self)
        try:
            yield
        finally:
            self._untoggle(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["optimizer"], name)

    def __repr__(self) -> str:
        return f"Lightning{self.optimizer!r}"


def _nothing() -> None:
    """The closure of a step whose gradients are there already."""
