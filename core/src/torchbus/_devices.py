"""Choose the accelerator, its devices and the strategy."""

from __future__ import annotations

import warnings
from typing import Any

from torchbus_hookspecs import Accelerator, Strategy

from ._discovery import Offer, PluginKind
from ._errors import PluginNotFoundError
from ._plugins import load_kind

__all__ = ["choose_accelerator", "choose_strategy"]

PREFERRED = ("cuda", "mps", "cpu")
"""What ``accelerator="auto"`` looks for, best first."""
GPUS = ("cuda", "mps")
"""What ``accelerator="gpu"`` means, the first that is installed."""


def choose_accelerator(wanted: Any, devices: Any, offers: list[Offer]) -> tuple[Accelerator, list[Any]]:
    """The accelerator and the devices that were asked for.

    Args:
        wanted: an accelerator, its plugin name, ``"gpu"`` or ``"auto"``.
        devices: which devices, or how many, or ``"auto"``.
        offers: what is installed.

    Raises:
        ValueError: nobody offers that accelerator, or this machine has none.
        MisconfigurationException: the devices are not there.
    """
    if isinstance(wanted, Accelerator):
        accelerator = wanted
    elif wanted == "auto":
        accelerator = _best_available(offers)()
    else:
        name = next((one for one in GPUS if _is_offered(one, offers)), "gpu") if wanted == "gpu" else wanted
        accelerator = _load("accelerator", "accelerators", name, offers)()
        if not accelerator.is_available():
            raise ValueError(f"Trainer(accelerator={wanted!r}): this machine has none. To fix: use accelerator='auto'.")
    count = accelerator.auto_device_count() if devices == "auto" else devices
    return accelerator, accelerator.get_parallel_devices(accelerator.parse_devices(count))


def choose_strategy(wanted: Any, accelerator: Accelerator, devices: list[Any], offers: list[Offer]) -> Strategy:
    """The strategy that was asked for, over the chosen devices.

    Raises:
        ValueError: nobody offers that strategy.
    """
    if isinstance(wanted, Strategy):
        return wanted
    name = "single_device" if wanted == "auto" else wanted
    made: Strategy = _load("strategy", "strategies", name, offers)(accelerator, devices)
    return made


def _best_available(offers: list[Offer]) -> Any:
    for name in PREFERRED:
        if not _is_offered(name, offers):
            continue
        try:
            found: Any = load_kind(name, "accelerators", offers)
        except Exception as error:  # a broken one must not keep the others from being used
            warnings.warn(f"accelerator='auto' passes over `{name}`: {error}", UserWarning, stacklevel=4)
            continue
        if found.is_available():
            return found
    return _load("accelerator", "accelerators", "cpu", offers)


def _is_offered(name: str, offers: list[Offer]) -> bool:
    return any(offer.name == name and offer.kind == "accelerators" and not offer.fault for offer in offers)


def _load(argument: str, kind: PluginKind, name: str, offers: list[Offer]) -> Any:
    try:
        return load_kind(name, kind, offers)
    except PluginNotFoundError as error:
        raise ValueError(f"Trainer({argument}={name!r}): unknown. {error}") from None
