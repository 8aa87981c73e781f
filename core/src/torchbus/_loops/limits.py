"""Limits that belong to the trainer, under the names by which scripts set them on its loop."""

from __future__ import annotations

from typing import Any

__all__ = ["OfTrainer"]


class OfTrainer:
    """An attribute of a loop that is its trainer's of the same name: ``trainer.fit_loop.max_epochs += 5``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, loop: Any, owner: type) -> Any:
        return getattr(loop.trainer, self.name)

    def __set__(self, loop: Any, value: Any) -> None:
        setattr(loop.trainer, self.name, value)
