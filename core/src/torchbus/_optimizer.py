"""The optimizer that users are handed: the real one, with hooks and counting around its ``step``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from ._errors import MisconfigurationException

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["LightningOptimizer"]


class LightningOptimizer:
    """An optimizer whose ``step`` goes through the trainer: precision, ``on_before_optimizer_step``, clipping, counting.

    To ``isinstance`` it is an optimizer of the same class, and all other attributes are those of that optimizer.

    Args:
        optimizer: the optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        own = self.__dict__  # past __setattr__, which writes to the optimizer
        own["_optimizer"], own["_trainer"] = optimizer, None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer itself."""
        found: Optimizer = self.__dict__["_optimizer"]
        return found

    def attach(self, trainer: Trainer) -> None:
        """From now on, steps go through this trainer; until then they are the optimizer's own."""
        self.__dict__["_trainer"] = trainer

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """One step. The closure, if any, computes the gradients first.

        Args:
            closure: a function without arguments.
            **kwargs: what else the optimizer's own ``step`` takes.

        Raises:
            MisconfigurationException: the closure cannot be called.
        """
        if closure is not None and not callable(closure):
            raise MisconfigurationException(
                f"optimizer.step(closure={closure!r}): the closure should be callable, a function without arguments."
            )
        trainer: Trainer | None = self.__dict__["_trainer"]
        if trainer is None:
            return self.optimizer.step(closure, **kwargs) if closure is not None else self.optimizer.step(**kwargs)
        return trainer.fit_loop.optimization.step(self.optimizer, closure or _nothing, kwargs)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Inside, only this optimizer's parameters have gradients.

        Args:
            sync_grad: whether ranks exchange gradients inside; no difference on one rank.
        """
        with self.__dict__["_trainer"].lightning_module.toggled_optimizer(self):
            yield

    @property  # type: ignore[misc]  # what isinstance asks
    def __class__(self) -> type:
        return type(self.optimizer)

    def __getattr__(self, name: str) -> Any:
        if "_optimizer" not in self.__dict__:  # a copy under construction
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            self.__dict__[name] = value  # a step that somebody wrapped, such as a scheduler that counts calls
        else:
            setattr(self.optimizer, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            del self.__dict__[name]
        else:
            delattr(self.optimizer, name)

    def __repr__(self) -> str:
        return f"Lightning{self.optimizer!r}"


def _nothing() -> None:
    """The closure of a step whose gradients are there already."""
