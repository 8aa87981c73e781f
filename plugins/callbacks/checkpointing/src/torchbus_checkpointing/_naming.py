"""Where to save: file names from patterns and metrics. It knows of no files and no trainer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torchbus_hookspecs import MisconfigurationException

__all__ = ["default_pattern", "keys_of", "render"]

_FIELD = re.compile(r"\{(?P<key>[^{}:]*)(?::(?P<format>[^{}]*))?\}")


def default_pattern(join: str) -> str:
    """The pattern of a checkpoint whose name was left open."""
    return f"{{epoch}}{join}{{step}}"


def keys_of(pattern: str) -> list[str]:
    """The metrics that a pattern asks for, in its order."""
    return [field["key"] for field in _FIELD.finditer(pattern)]


def render(pattern: str, metrics: Mapping[str, Any], *, insert_names: bool, equals: str) -> str:
    """Fill in a pattern such as ``"{epoch:02d}-{val_loss:.2f}"``.

    Args:
        pattern: text with metrics' names in braces, each with an optional format; a slash makes a folder.
        metrics: numbers, or tensors of shape ``()``. One that is missing reads 0.
        insert_names: whether each value is preceded by its name.
        equals: what stands between name and value.

    Raises:
        MisconfigurationException: a value cannot be formatted as the pattern says.
    """

    def fill(field: re.Match[str]) -> str:
        key, layout = field["key"], field["format"] or ""
        value = metrics.get(key, 0)
        number = value
        try:
            number = value.item() if hasattr(value, "item") else value
            text = format(number, layout)
        except (ValueError, TypeError, RuntimeError) as error:
            raise MisconfigurationException(
                f"The checkpoint's name {pattern!r} asks for `{key}` in the format {layout!r}, but its value is"
                f" {number!r}: {error}.\n"
                f"To fix: give it a format for such numbers, such as `{{{key}:.2f}}`, or none, `{{{key}}}`."
            ) from error
        return f"{key}{equals}{text}" if insert_names else text

    return _FIELD.sub(fill, pattern)
