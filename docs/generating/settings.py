"""``<!-- settings: early_stopping -->``: the settings of one plugin."""

from __future__ import annotations

import re
from itertools import groupby

from torchbus_hookspecs.settings import Setting

from .plugins import declared_plugins


def in_words(type_text: str) -> str:
    """A type as a table cell: alternatives without the bar that would end the cell."""
    choices = re.sub(r"Literal\[(.*?)\]", lambda found: " | ".join(found[1].split(", ")), type_text)
    parts = ["none" if one == "None" else f"`{escaped(one)}`".replace("'", '"') for one in alternatives(choices)]
    return " or ".join([", ".join(parts[:-1]), parts[-1]] if parts[:-1] else parts)


def alternatives(type_text: str) -> list[str]:
    """The members of a union; unions inside of brackets stay whole."""
    parts, depth = [""], 0
    for piece in re.split(r"( \| |[\[\]])", type_text):
        depth += (piece == "[") - (piece == "]")
        if piece == " | " and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def settings_table(name: str) -> str | None:
    """The settings of one plugin, in the order of its constructor; those that differ in nothing but their names in one row.

    ``None`` if the plugin cannot be imported here.
    """
    if name not in declared_plugins():
        return None
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    settings = declared_plugins()[name].settings
    for (type_text, default, meaning), group in groupby(
        settings, lambda one: (one.type, default_of(one), one.description)
    ):
        names = ", ".join(f"`{one.name}`" for one in group)
        rows.append(f"| {names} | {in_words(type_text)} | {default} | {escaped(meaning)} |")
    return "\n".join(rows) + "\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")  # a bar would end the cell


def default_of(setting: Setting) -> str:
    return "required" if setting.required else f"`{escaped(setting.default).replace(chr(39), chr(34))}`"
