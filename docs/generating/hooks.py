"""``<!-- hooks: index -->`` and ``<!-- hooks: rooms -->``: every hook in a table, and every hook in full."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from torchbus import Callback, LightningDataModule, LightningModule
from torchbus._cli.facts import facts_of
from torchbus_hookspecs import Logger
from torchbus_hookspecs.specs import HOOKS

from .plugins import standard_plugins
from .specs import Specification, items_of, specification

CLASSES = (Callback, LightningModule, LightningDataModule, Logger)


def hooks_reference(subject: str) -> str | None:
    """The table of all hooks (``index``), or all about each of them (``rooms``)."""
    return {"index": index, "rooms": rooms}[subject]() if subject in ("index", "rooms") else None


@cache
def specifications() -> tuple[Specification, ...]:
    """All hooks, in the order of a run."""
    return tuple(specification(name) for name in HOOKS)


def index() -> str:
    rows = ["| hook | kind | arguments | when |", "|---|---|---|---|"]
    for room, hooks in groupby(specifications(), lambda one: one.room):
        rows.append(f"| **[{room}](#{room})** | | | |")
        for one in hooks:
            leading = [] if len(one.types) == len(one.arguments) else ["…"]
            arguments = ", ".join([*leading, *(f"`{name}`" for name in one.arguments)])
            # no code, which browsers break anywhere in a narrow column
            rows.append(f"| [{one.name}](#{one.name}) | {one.kind} | {arguments} | {as_markdown(one.summary)} |")
    return "\n".join(rows) + "\n"


def rooms() -> str:
    parts = []
    for room, hooks in groupby(specifications(), lambda one: one.room):
        module = importlib.import_module(f"torchbus_hookspecs.specs.{room}")
        parts += [f"## {room.capitalize()}", linked(as_markdown(inspect.getdoc(module) or ""))]
        parts += ["\n\n".join(section(one)) for one in hooks]
    return "\n\n".join(parts) + "\n"


def section(one: Specification) -> Iterator[str]:
    """All about one hook."""
    yield f"### `{one.name}`"
    yield linked(as_markdown(one.summary), one.name)
    yield f"```py\n{one.signature}\n```"
    yield "\n".join(facts(one))


def facts(one: Specification) -> Iterator[str]:
    """The list below a signature."""

    def told(label: str, text: str) -> str:
        lines = linked(as_markdown(text), one.name).splitlines()
        whole = "\n".join([lines[0], *(f"    {line}".rstrip() for line in lines[1:])])
        # behind a paragraph, some readers of Markdown take no new item without an empty line
        return f"- **{label}:** {whole}" + ("\n" if "\n\n" in whole else "")

    def listed(label: str, entries: dict[str, str]) -> Iterator[str]:
        if entries:
            yield f"- **{label}:**"
            yield from (f"    - {name}: {linked(as_markdown(text), one.name)}" for name, text in entries.items())

    yield f"- **Kind:** {one.kind}"
    yield f"- **Event:** `{one.event}({', '.join(one.types)})`"
    yield told("Called", one.parts["Called"])
    if one.kind == "broadcast" and "Result" not in one.parts:
        yield "- **Result:** ignored."
    yield from (told(label, one.parts[label]) for label in ("Result", "Default", "Order") if label in one.parts)
    described = items_of(one.parts.get("Args", ""))
    yield from listed("Arguments", {f"`{name}` (`{one.types[name]}`)": text for name, text in described.items()})
    raised = items_of(one.parts.get("Raises", ""))
    yield from listed("Raises", {f"`{name}`": text for name, text in raised.items()})
    yield f"- **Method of:** {', '.join(f'`{name}`' for name in classes_with(one.name)) or 'no class; plugins only'}."
    users = [f"`{name}`" for name in implementers(one.name)]
    yield f"- **Standard plugins:** {', '.join(users) or 'none implements it'}."
    yield told("Source", one.parts["Source"])


def classes_with(hook: str) -> list[str]:
    """The classes that users derive from and that have the hook as a method; PyTorch's methods of that name are others."""
    return [
        cls.__name__
        for cls in CLASSES
        if str(getattr(getattr(cls, hook, None), "__module__", "")).startswith("torchbus")
    ]


@cache
def hooks_of_plugins() -> dict[str, frozenset[str]]:
    """The hooks that each standard plugin implements."""
    return {name: frozenset(facts_of(plugin.cls).hooks) for name, plugin in standard_plugins().items()}


def implementers(hook: str) -> list[str]:
    """The standard plugins that implement a hook, in alphabetical order."""
    return sorted(name for name, hooks in hooks_of_plugins().items() if hook in hooks)


# ---- text -------------------------------------------------------------------------------------------------------------


def as_markdown(text: str) -> str:
    """A docstring's text: code between single backquotes, one line for each paragraph or item of a list."""
    paragraphs = re.split(r"\n\n|\n(?=- )", text.strip().replace("``", "`"))
    lines = [" ".join(one.split()) for one in paragraphs]
    return "\n".join(f"{'' if line.startswith('- ') else chr(10)}{line}" for line in lines).strip()


def linked(text: str, own: str = "") -> str:
    """The same text, where the name of another hook leads to it."""
    return re.sub(
        r"`(\w+)`",
        lambda found: f"[{found[0]}](#{found[1]})" if found[1] in HOOKS and found[1] != own else found[0],
        text,
    )
