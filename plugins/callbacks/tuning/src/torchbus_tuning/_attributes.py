"""Read and set a value by name where a script may keep it: module, datamodule, or the hyperparameters of either."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import MisconfigurationException

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["find_name", "get_value", "set_value"]


class AttributeMissing(MisconfigurationException, AttributeError):
    """There is no attribute of that name to set. An ``AttributeError`` too, which Lightning raises for a learning rate."""


def _places(trainer: Trainer) -> list[Any]:
    """Where to look, the most particular place first."""
    owners = [one for one in (trainer.lightning_module, trainer.datamodule) if one is not None]
    return [*owners, *(one.hparams for one in owners)]


def _has(place: Any, name: str) -> bool:
    return name in place if isinstance(place, MutableMapping) else hasattr(place, name)


def find_name(trainer: Trainer, names: tuple[str, ...], plugin: str) -> str:
    """The first of ``names`` that the module, the datamodule or their hyperparameters have.

    Raises:
        AttributeMissing: they have none of them.
    """
    for name in names:
        if any(_has(place, name) for place in _places(trainer)):
            return name
    listed = " or ".join(f"`{name}`" for name in names)
    raise AttributeMissing(
        f"{plugin}: neither {type(trainer.lightning_module).__name__} nor its datamodule nor the hyperparameters of either"
        f" have {listed}, which is to be set. To fix: keep the value there (self.{names[0]} = ...), and use it from there."
    )


def get_value(trainer: Trainer, name: str) -> Any:
    """The value of that name."""
    place = next(one for one in _places(trainer) if _has(one, name))
    return place[name] if isinstance(place, MutableMapping) else getattr(place, name)


def set_value(trainer: Trainer, name: str, value: Any) -> None:
    """Set the value of that name wherever there is one, so that all places agree."""
    for place in _places(trainer):
        if _has(place, name):
            if isinstance(place, MutableMapping):
                place[name] = value
            else:
                setattr(place, name, value)
