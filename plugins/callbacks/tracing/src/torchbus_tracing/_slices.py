"""Which events begin and end something that lasts: slices, one inside the other. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from torchbus_hookspecs.events import (
    EVENTS,
    AfterBackward,
    AfterBatchTransfer,
    BeforeBackward,
    BeforeBatchTransfer,
    Event,
    Setup,
    Teardown,
)

__all__ = ["Mark", "Nesting", "Slice", "ended"]

_CLASSES = {one.__name__: one for one in EVENTS.values()}
_PAIRS: dict[str, tuple[type[Event], type[Event]]] = {
    "Run": (Setup, Teardown),
    "BatchTransfer": (BeforeBatchTransfer, AfterBatchTransfer),
    "BackwardPass": (BeforeBackward, AfterBackward),
    **{
        stem: (_CLASSES[name], _CLASSES[f"{stem}End"])
        for name in _CLASSES
        if (stem := name.removesuffix("Start")) != name and f"{stem}End" in _CLASSES
    },
}
"""What lasts, by its name: the events at its start and at its end."""


class Slice(NamedTuple):
    """Something under way, and whether its start was drawn."""

    name: str
    is_drawn: bool


class Mark(NamedTuple):
    """Something to draw: the start or the end of a slice, or a moment; and whether it is the event itself, or follows from it."""

    kind: Literal["start", "end", "moment"]
    name: str
    is_event: bool = True


class Nesting:
    """What events mean for the slices under way. The starts and ends that are drawn always match, whatever comes.

    Args:
        classes: the events that will come; what has not both its start and its end among them is a moment.
    """

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        known = set(classes)
        pairs = {name: pair for name, pair in _PAIRS.items() if known.issuperset(pair)}
        self._starts = {start: name for name, (start, _) in pairs.items()}
        self._ends = {end: name for name, (_, end) in pairs.items()}

    def after(
        self, event: type[Event], under_way: tuple[Slice, ...], draws: bool
    ) -> tuple[list[Mark], tuple[Slice, ...]]:
        """What to draw for an event, and what is under way then.

        An event may end more than its own slice: a batch that raised, say, when the next one starts.

        Args:
            event: what happened.
            under_way: what is under way, outermost first.
            draws: whether starts and moments are drawn; ends are where their starts were.
        """
        if event in self._starts:
            name = self._starts[event]
            marks, outer = ended(under_way, name)
            return [*marks, *([Mark("start", name)] if draws else [])], (*outer, Slice(name, draws))
        if self._ends.get(event) in [one.name for one in under_way]:
            return ended(under_way, self._ends[event], is_event=True)
        return [Mark("moment", event.__name__)] if draws else [], under_way


def ended(under_way: tuple[Slice, ...], name: str = "", is_event: bool = False) -> tuple[list[Mark], tuple[Slice, ...]]:
    """The ends of a slice and of those inside of it, and what is left then. Without a name: of all.

    Args:
        under_way: what is under way, outermost first.
        name: the slice; if it is not under way, nothing ends.
        is_event: whether its own end is what happened.
    """
    names = [one.name for one in under_way]
    first = names.index(name) if name in names else len(names) if name else 0
    ends = [Mark("end", one.name, is_event and one.name == name) for one in under_way[first:] if one.is_drawn]
    return ends[::-1], under_way[:first]
