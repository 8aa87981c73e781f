"""``<!-- trainer -->``: the arguments of ``Trainer``. ``<!-- plugins: KIND -->``: all plugins of a kind, with their settings."""

from __future__ import annotations

import inspect
import re

from torchbus import Trainer
from torchbus_hookspecs.settings import describe_settings

from .pages import ROOT
from .plugins import declared_plugins
from .settings import alternatives, default_of, escaped, in_words, settings_table

ARGUMENT = re.compile(r"^    (?P<names>\w+(?:, \w+)*): (?P<meaning>.*(?:\n     +.*)*)", re.MULTILINE)


def trainer_arguments() -> str:
    """The arguments in the order of the docstring; those that it describes together in one row.

    Raises:
        ValueError: an argument is not described, or one that does not exist is.
    """
    described = documented_arguments(inspect.getdoc(Trainer) or "")
    declared = {one.name: one for one in describe_settings(Trainer)}
    if wrong := {name for names, _ in described for name in names} ^ declared.keys():
        raise ValueError(f"arguments of Trainer and its docstring differ in {sorted(wrong)}")
    rows = ["| argument | type | default | meaning |", "|---|---|---|---|"]
    for names, meaning in described:
        ones = [declared[name] for name in names]
        types = in_words(" | ".join(dict.fromkeys(part for one in ones for part in alternatives(one.type))))
        defaults = ", ".join(dict.fromkeys(map(default_of, ones)))
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {types} | {defaults} | {escaped(meaning)} |")
    return "\n".join(rows) + "\n"


def documented_arguments(docstring: str) -> list[tuple[list[str], str]]:
    """Names and meaning of each entry of the section ``Args:``."""
    section = docstring.partition("Args:\n")[2].partition("\n\n")[0]
    return [
        (found["names"].split(", "), as_sentence(" ".join(found["meaning"].split()).replace("``", "`")))
        for found in ARGUMENT.finditer(section)
    ]


def as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def plugins_of_kind(kind: str) -> str | None:
    """A section for each plugin of a kind: what it does, where its page is, its settings. ``None`` if there is none."""
    sections: list[str] = []
    for name, plugin in sorted(declared_plugins().items()):
        if plugin.kind != kind or "contrib" in plugin.folder.relative_to(ROOT).parts:
            continue
        page = (plugin.folder / "README.md").relative_to(ROOT).as_posix()
        summary = (inspect.getdoc(plugin.cls) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
        settings = settings_table(name) if plugin.settings else "It has no settings.\n"
        sections.append(f"### {name}\n\n{summary} More in [{page.split('/')[2]}](../{page}).\n\n{settings}")
    return "\n".join(sections) or None
