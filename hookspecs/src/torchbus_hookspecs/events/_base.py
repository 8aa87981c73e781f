"""What all events share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

T = TypeVar("T", bound="Event")


@dataclass(frozen=True, slots=True)
class Event:
    """One firing of a hook, as a value. Subscribe to this class to hear every event."""

    hook_name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class RunEvent(Event):
    """An event of a run: it knows the trainer and the module."""

    trainer: Trainer
    pl_module: LightningModule


@dataclass_transform(frozen_default=True)
def event(hook: str) -> Callable[[type[T]], type[T]]:
    """Make a class the typed, slotted, immutable event of ``hook``."""

    def declare(cls: type[T]) -> type[T]:
        cls.hook_name = hook
        return dataclass(frozen=True, slots=True)(cls)

    return declare
