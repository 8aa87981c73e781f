"""What ``Trainer(devices=...)`` means to accelerators whose devices are numbered, such as GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import MisconfigurationException

__all__ = ["device_numbers"]

FORMS = "a number of devices, a list of their numbers such as [0, 2] or '0,2', or -1 for all"


def device_numbers(accelerator: str, devices: Any, there: int, name_of: Callable[[int], str]) -> list[int]:
    """The numbers of the devices that were asked for.

    Args:
        accelerator: its name, for messages.
        devices: how many (``2``, ``"2"``), which (``[0, 2]``, ``"0,2"``, ``"2,"``), or all of them (``-1``, ``"-1"``).
        there: how many devices this machine has.
        name_of: the name of a device by its number; asked for messages only, since asking may occupy the device.

    Raises:
        TypeError: it is no number, text or list of numbers.
        ValueError: it is text, of another form.
        MisconfigurationException: it asks for a device that is not there, for one twice, or for none.
    """
    call = f"Trainer(accelerator={accelerator!r}, devices={devices!r})"
    wanted = _read(call, devices)
    if isinstance(wanted, int):
        wanted = list(range(there if wanted == -1 else wanted))
    is_unique = len(set(wanted)) == len(wanted)
    if wanted and is_unique and set(wanted) <= set(range(there)):
        return wanted
    names = ", ".join(f"{number} ({name_of(number)})" for number in range(there)) or "none"
    if not wanted:
        raise MisconfigurationException(f"{call} asks for no device; there are: {names}.")
    if not is_unique:
        raise MisconfigurationException(f"{call}: the numbers of devices must be unique; there are: {names}.")
    raise MisconfigurationException(f"{call}: You requested gpu: {wanted}, but your machine only has: {names}.")


def _read(call: str, devices: Any) -> int | list[int]:
    """How many, or which."""
    if isinstance(devices, str):
        parts = [part.strip() for part in devices.split(",")]
        try:
            numbers = [int(part) for part in parts if part or len(parts) == 1]
        except ValueError:
            raise ValueError(f"{call}: it must be {FORMS}.") from None
        return numbers if len(parts) > 1 else numbers[0]
    is_number = isinstance(devices, int) and not isinstance(devices, bool)
    if is_number or (isinstance(devices, list | tuple) and all(type(one) is int for one in devices)):
        return devices if isinstance(devices, int) else list(devices)
    raise TypeError(f"{call}: it must be {FORMS}; it is of type {type(devices).__name__}.")
