"""Choose the accelerator, its devices and the strategy."""

from __future__ import annotations

import warnings
from typing import Any

from torchbus_hookspecs import Accelerator, Strategy

from ._discovery import discover, find_offer
from ._errors import PluginConflictError, PluginNotFoundError, did_you_mean
from ._plugins import load_kind

__all__ = ["choose_accelerator", "choose_strategy"]

PREFERRED = ("cuda", "mps", "cpu")
"""What ``accelerator="auto"`` looks for, best first."""


def choose_accelerator(wanted: Any, devices: Any) -> tuple[Accelerator, list[Any]]:
    """The accelerator and the devices that were asked for.

    Raises:
        ValueError: nobody offers that accelerator.
        MisconfigurationException: the devices are not there.
    """
    if isinstance(wanted, Accelerator):
        accelerator = wanted
    elif wanted == "auto":
        accelerator = _best_available()()
    else:
        accelerator = _load("accelerator", "gpu" if wanted == "gpu" else wanted)()
        if not accelerator.is_available():
            raise ValueError(f"Trainer(accelerator={wanted!r}): this machine has none. To fix: use accelerator='auto'.")
    count = accelerator.auto_device_count() if devices == "auto" else devices
    return accelerator, accelerator.get_parallel_devices(accelerator.parse_devices(count))


def _best_available() -> Any:
    offered = {offer.name for offer in discover() if offer.kind == "accelerators"}
    for name in PREFERRED:
        if name not in offered:
            continue
        try:
            found: Any = load_kind(name, "accelerators")
        except Exception as error:  # a broken one must not keep the others from being used
            warnings.warn(f"accelerator='auto' passes over `{name}`: {error}", UserWarning, stacklevel=4)
            continue
        if found.is_available():
            return found
    return _load("accelerator", "cpu")


def _load(argument: str, name: str) -> Any:
    kind: Any = {"accelerator": "accelerators", "strategy": "strategies"}[argument]
    if name == "gpu":
        for candidate in ("cuda", "mps"):
            if any(offer.name == candidate and offer.kind == kind for offer in discover()):
                return load_kind(candidate, kind)
    try:
        find_offer(name, kind)
    except PluginConflictError:
        raise
    except PluginNotFoundError as error:
        offered = sorted({offer.name for offer in discover() if offer.kind == kind})
        hint = did_you_mean(name, offered)
        raise ValueError(
            f"Trainer({argument}={name!r}): unknown.{hint} Installed are: {', '.join(offered) or 'none'}. {error}"
        ) from None
    return load_kind(name, kind)


def choose_strategy(wanted: Any, accelerator: Accelerator, devices: list[Any]) -> Strategy:
    """The strategy that was asked for.

    Raises:
        ValueError: nobody offers that strategy.
    """
    if isinstance(wanted, Strategy):
        return wanted
    made: Strategy = _load("strategy", "single_device" if wanted == "auto" else wanted)(accelerator, devices)
    return made
