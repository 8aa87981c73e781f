"""The errors that plugins and torchbus share.

    TorchbusError
    └── MisconfigurationException      a setting, an argument or a class that cannot work, found before it does harm

``torchbus`` adds its own below these; the whole tree is drawn there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

__all__ = ["EndRun", "Fault", "MisconfigurationException", "TorchbusError", "did_you_mean"]


class TorchbusError(Exception):
    """Base of all errors that torchbus raises by its own judgement."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one setting.

    Attributes:
        field: dotted name of the setting, such as ``"patience"`` or ``"theme.bar"``.
        problem: what is wrong and what is expected, as a clause that can follow the field's name.
        value: the refused value (``None`` when the setting is unknown or missing).
        source: where the value was read, such as ``"the script"`` or an environment variable's name; empty when missing.
    """

    field: str
    problem: str
    value: Any = None
    source: str = "the script"

    def __str__(self) -> str:
        return f"`{self.field}` {self.problem}" + (f" Read from: {self.source}." if self.source else "")


class MisconfigurationException(TorchbusError, ValueError):
    """Something was set or used in a way that cannot work. The message says what, where and what to do.

    A ``ValueError`` too: for some wrong settings that is what Lightning raises, and users catch.

    Attributes:
        plugin: the plugin or class concerned, or ``None``.
        faults: every wrong setting that was found, when settings were checked.
    """

    def __init__(self, message: str = "", *, plugin: str | None = None, faults: Iterable[Fault] = ()) -> None:
        super().__init__(message)
        self.plugin = plugin
        self.faults = tuple(faults)


class EndRun(Exception):
    """Raise it in a hook to end the run there, as something complete: of what would follow, only ``teardown`` is called.

    For a plugin that has what the run was for, such as a tuner. The entry point returns ``None``.
    """


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A clause naming the nearest known names, with a leading space; empty when none is near."""
    near = get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f" Did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else ""
