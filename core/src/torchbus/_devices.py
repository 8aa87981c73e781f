"""Choose the accelerator, its devices and the strategy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torchbus_hookspecs import Accelerator, Strategy

from ._discovery import Offer, PluginKind
from ._errors import MisconfigurationException, PluginLoadError, PluginNotFoundError, TorchbusError
from ._plugins import load_kind

__all__ = ["choose_accelerator", "choose_strategy"]

GPUS = ("cuda", "mps")
"""What ``accelerator="gpu"`` means, the first that is installed. ``"auto"`` looks for these first."""
LAST_RESORT = "cpu"
"""What ``"auto"`` takes where neither these nor any other installed accelerator says that it is available."""


def choose_accelerator(wanted: Any, devices: Any, offers: list[Offer]) -> tuple[Accelerator, list[torch.device]]:
    """The accelerator and the devices that were asked for.

    Args:
        wanted: an accelerator, its plugin name, ``"gpu"`` or ``"auto"``.
        devices: which devices, or how many, or ``"auto"``.
        offers: what is installed.

    Raises:
        ValueError: nobody offers that accelerator, or this machine has none.
        PluginLoadError: it is offered, and is broken.
        MisconfigurationException: the devices are not there.
    """
    if isinstance(wanted, Accelerator):
        accelerator = wanted
    elif wanted == "auto":
        accelerator = _best_available(offers)
    else:
        name = next((one for one in GPUS if _is_offered(one, offers)), "gpu") if wanted == "gpu" else wanted
        found = _complete(name, _load("accelerator", "accelerators", name, offers))
        with _named(found):
            is_available = found.is_available()
        if not is_available:
            raise ValueError(f"Trainer(accelerator={wanted!r}): this machine has none. To fix: use accelerator='auto'.")
        accelerator = _build(name, found)
    with _named(type(accelerator)):
        count = accelerator.auto_device_count() if devices == "auto" else devices
        chosen: Any = accelerator.get_parallel_devices(accelerator.parse_devices(count))
    if not isinstance(chosen, list | tuple) or not chosen or not all(isinstance(one, torch.device) for one in chosen):
        raise MisconfigurationException(
            f"Trainer(devices={devices!r}): the accelerator {_path(type(accelerator))} answers with {chosen!r}; its"
            " `get_parallel_devices` must return a list of at least one torch.device. To fix: tell its authors, or ask for"
            " other devices."
        )
    return accelerator, list(chosen)


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


def _best_available(offers: list[Offer]) -> Accelerator:
    known = {one.name for one in offers if one.kind == "accelerators"}
    for name in (*GPUS, *sorted(known - {*GPUS, LAST_RESORT})):
        if not _is_offered(name, offers):
            continue
        try:
            found = _complete(name, load_kind(name, "accelerators", offers))
            if found.is_available():
                return _build(name, found)
        except Exception as error:  # a broken one must not keep the others from being used
            text = str(error) if isinstance(error, TorchbusError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"accelerator='auto' passes over `{name}`: {text}", UserWarning, stacklevel=4)
    return _build(LAST_RESORT, _complete(LAST_RESORT, _load("accelerator", "accelerators", LAST_RESORT, offers)))


def _complete(name: str, found: Any) -> type[Accelerator]:
    """The class, if it has all that an accelerator must have."""
    missing = ", ".join(f"`{one}`" for one in sorted(found.__abstractmethods__))
    if missing:
        raise PluginLoadError(
            f"The accelerator `{name}` ({_path(found)}) lacks {missing}. To fix: tell its authors, or use another one.",
            plugin=name,
        )
    complete: type[Accelerator] = found
    return complete


def _build(name: str, found: type[Accelerator]) -> Accelerator:
    try:
        return found()
    except Exception as error:
        raise PluginLoadError(
            f"The accelerator `{name}` ({_path(found)}) cannot be built: {type(error).__name__}: {error}.", plugin=name
        ) from error


@contextmanager
def _named(accelerator: type[Accelerator]) -> Iterator[None]:
    """Have whatever an accelerator raises say which one it is."""
    try:
        yield
    except Exception as error:
        error.add_note(f"Raised by the accelerator {_path(accelerator)}.")
        raise


def _path(found: type) -> str:
    return f"{found.__module__}.{found.__qualname__}"


def _is_offered(name: str, offers: list[Offer]) -> bool:
    return any(offer.name == name and offer.kind == "accelerators" and not offer.fault for offer in offers)


def _load(argument: str, kind: PluginKind, name: str, offers: list[Offer]) -> Any:
    try:
        return load_kind(name, kind, offers)
    except PluginNotFoundError as error:
        raise ValueError(f"Trainer({argument}={name!r}): unknown. {error}") from None
