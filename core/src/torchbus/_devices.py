"""Choose the accelerator, its devices and the strategy."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torchbus_hookspecs import Accelerator, Strategy

from ._discovery import Offer
from ._errors import MisconfigurationException, PluginLoadError, PluginNotFoundError, TorchbusError
from ._host import HostAccelerator
from ._plugins import load_kind

__all__ = ["choose_accelerator", "choose_strategy"]

GPUS = ("cuda", "mps")
"""What ``accelerator="gpu"`` means, the first that is available. ``"auto"`` looks for these first."""
LAST_RESORT = "cpu"
"""What ``"auto"`` takes where neither these nor any other installed accelerator says that it is available; where even
that is not installed, the core has the CPU itself."""


def choose_accelerator(wanted: Any, devices: Any, offers: list[Offer]) -> tuple[Accelerator, list[torch.device]]:
    """The accelerator and the devices that were asked for.

    Args:
        wanted: an accelerator, its plugin name, ``"gpu"`` or ``"auto"``.
        devices: which devices, or how many, or ``"auto"``.
        offers: what is installed.

    Raises:
        ValueError: nobody offers that accelerator.
        PluginLoadError: it is offered, and is broken.
        MisconfigurationException: this machine has none, or not these devices.
        TypeError: ``devices`` has no form that the accelerator knows.
    """
    accelerator = wanted if isinstance(wanted, Accelerator) else _find(wanted, offers)
    if isinstance(devices, int | str | list) and devices in (0, "0", []):
        raise MisconfigurationException(
            f"`Trainer(devices={devices!r})`: the value is not a valid input using {accelerator.name()} accelerator: it asks"
            " for no device. To fix: say how many, or which, or leave it out."
        )
    with _named(type(accelerator)):
        is_available = accelerator.is_available()
    if not is_available:
        raise MisconfigurationException(
            f"Trainer(accelerator={wanted!r}): `{type(accelerator).__name__}` can not run on your system: it finds no device"
            f" here. Available are: {_listed_available(offers)}."
        )
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
    try:
        found: Any = load_kind(name, "strategies", offers)
    except PluginNotFoundError as error:
        raise ValueError(f"Trainer(strategy={wanted!r}): unknown. {error}") from None
    made: Strategy = found(accelerator, devices)
    return made


def _find(wanted: Any, offers: list[Offer]) -> Accelerator:
    """The accelerator that a name means, ready or not."""
    if wanted == "auto":
        found = next(_available([*GPUS, *sorted(_names(offers) - {*GPUS, LAST_RESORT})], offers), None)
        if found is not None:
            return found
        return _build(LAST_RESORT, _load(LAST_RESORT, offers)) if LAST_RESORT in _names(offers) else HostAccelerator()
    if wanted == "gpu":
        found = next(_available(GPUS, offers), None)
        if found is None:
            raise MisconfigurationException(
                f"Trainer(accelerator='gpu'): No supported gpu backend found! Looked for {', '.join(GPUS)}. Available are:"
                f" {_listed_available(offers)}."
            )
        return found
    return _build(wanted, _load(wanted, offers))


def _names(offers: list[Offer]) -> set[str]:
    return {one.name for one in offers if one.kind == "accelerators"}


def _load(wanted: Any, offers: list[Offer]) -> type[Accelerator]:
    try:
        if isinstance(wanted, str):
            return _complete(wanted, load_kind(wanted, "accelerators", offers))
        problem = f"It is of type {type(wanted).__name__}, and a name or an Accelerator is needed."
    except PluginNotFoundError as error:
        problem = str(error)
    raise ValueError(
        f"Trainer: invalid accelerator name: `accelerator={wanted!r}`. Available names are: auto, gpu,"
        f" {', '.join(sorted(_names(offers)))}. {problem}"
    )


def _available(names: Iterable[str], offers: list[Offer], aloud: bool = True) -> Iterator[Accelerator]:
    """Those of these names that are installed and have a device on this machine. Broken ones are passed over."""
    usable = {offer.name for offer in offers if offer.kind == "accelerators" and not offer.fault}
    for name in names:
        if name not in usable:
            continue
        try:
            found = _complete(name, load_kind(name, "accelerators", offers))
            accelerator = _build(name, found) if found.is_available() else None
        except Exception as error:  # a broken one must not keep the others from being used
            if aloud:
                text = str(error) if isinstance(error, TorchbusError) else f"{type(error).__name__}: {error}"
                warnings.warn(f"accelerator='auto' passes over `{name}`: {text}", UserWarning, stacklevel=6)
            continue
        if accelerator is not None:
            yield accelerator


def _listed_available(offers: list[Offer]) -> str:
    return ", ".join(one.name() for one in _available(sorted(_names(offers)), offers, aloud=False)) or "none"


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
