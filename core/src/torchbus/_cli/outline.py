"""The order of a run as an outline: what lies between a start and its end is inside, what repeats is told once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchbus_hookspecs.specs import HOOKS

from .recording import Call

__all__ = ["Node", "Repeat", "Step", "lines_of", "outline_of"]

_PAIRS = {
    start: end
    for start in HOOKS
    if start.endswith("_start") and (end := f"{start.removesuffix('_start')}_end") in HOOKS
}
_ENDS = {end: start for start, end in _PAIRS.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """A hook, or all from a hook to its end.

    Attributes:
        hook: its name.
        inside: what came while it ran, and until its end.
        end: its end, for ``on_..._start``; ``None`` where that did not come.
        when: in which of the times of a repeat it came; empty: in each.
    """

    hook: str
    inside: tuple[Node, ...] = ()
    end: Step | None = None
    when: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What two steps have in common of which one has more inside than the other."""
        return self.hook, self.end and self.end.hook

    @property
    def missing_end(self) -> str:
        """The end that should have come and did not; else empty."""
        return "" if self.end else _PAIRS.get(self.hook, "")


@dataclass(frozen=True, slots=True)
class Repeat:
    """Steps that came several times in a row."""

    steps: tuple[Node, ...]
    times: int
    when: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """As that of a step."""
        return self.times, *(one.key for one in self.steps)

    @property
    def title(self) -> str:
        """What is repeated: ``for each batch``; empty for steps without a common name."""
        loops = [one.hook.split("_")[-2] for one in self.steps if isinstance(one, Step) and one.end]
        for loop in ("epoch", "batch"):
            if (count := loops.count(loop)) and count == len(loops):
                return f"for each {loop}" if count == 1 else f"for every {count} {loop}{'es' * (loop == 'batch')}"
        return ""


Node = Step | Repeat


def outline_of(calls: Sequence[Call]) -> tuple[Node, ...]:
    """The outline of what was recorded."""
    return _folded(_paired(calls))


# ---- starts and ends --------------------------------------------------------------------------------------------------


def _paired(calls: Sequence[Call]) -> list[Node]:
    """The same, with what came between a start and its end inside of them."""
    levels: list[list[Node]] = [[]]
    opened: list[Step] = []

    def close(end: Step | None = None) -> None:
        step, inside = opened.pop(), _folded(levels.pop())
        levels[-1].append(replace(step, inside=step.inside + inside, end=end))

    for call in calls:
        step = Step(call.hook, _folded(_paired(call.inside)))
        start = _ENDS.get(call.hook)
        if call.hook in _PAIRS:
            opened.append(step)
            levels.append([])
        elif any(one.hook == start for one in opened):
            while opened[-1].hook != start:
                close()
            close(step)
        else:
            while call.hook == "on_exception" and opened:  # it comes instead of all ends
                close()
            levels[-1].append(step)
    while opened:
        close()
    return levels[0]


# ---- repeats ----------------------------------------------------------------------------------------------------------


def _folded(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The same order, with what repeats told once; of several ways that which tells most of it at once."""
    told: list[Node] = []
    position = 0
    while position < len(nodes):
        best, covered = nodes[position], 1
        for length in range(1, (len(nodes) - position) // 2 + 1):
            times, steps = _repeats(nodes[position:], length)
            if times > 1 and times * length > covered:
                best, covered = Repeat(steps, times), times * length
        told.append(best)
        position += covered
    return tuple(told)


def _repeats(nodes: Sequence[Node], length: int) -> tuple[int, tuple[Node, ...]]:
    """How often the first steps come in a row, and what all of these times are together."""
    times, together = 1, tuple(nodes[:length])
    while len(nodes) >= (times + 1) * length:
        columns = [[nodes[place + length * time] for time in range(times + 1)] for place in range(length)]
        merged = [one for column in columns if (one := _merged(column)) is not None]
        if len(merged) < length:
            break
        times, together = times + 1, tuple(merged)
    return times, together


def _merged(nodes: Sequence[Node]) -> Node | None:
    """One node for several that differ only in that some have more inside; ``None`` if they differ in more than that."""
    first = nodes[0]
    if all(one == first for one in nodes):
        return first
    steps = [one for one in nodes if isinstance(one, Step) and one.key == first.key]
    if len(steps) < len(nodes):
        return None
    inside = _aligned([one.inside for one in steps])
    ends = [one.end for one in steps if one.end]
    end = _merged(ends) if ends else None
    if inside is None or (ends and not isinstance(end, Step)):
        return None
    return Step(steps[0].hook, inside, end if isinstance(end, Step) else None, steps[0].when)


def _aligned(rows: Sequence[Sequence[Node]]) -> tuple[Node, ...] | None:
    """The longest row, if it has what all others have, in their order; what some leave out says when it comes."""
    longest = max(rows, key=len)
    columns: list[dict[int, Node]] = [{} for _ in longest]
    for time, row in enumerate(rows):
        places = iter(range(len(longest)))
        for node in row:
            place = next((one for one in places if longest[one].key == node.key), None)
            if place is None:
                return None
            columns[place][time] = node
    aligned = [
        replace(one, when=_when(list(column), len(rows)) or one.when)
        for column in columns
        if (one := _merged(list(column.values()))) is not None
    ]
    return tuple(aligned) if len(aligned) == len(columns) else None


def _when(times: list[int], of: int) -> str:
    if len(times) == of:
        return ""
    if len(times) == 1 and times[0] in (0, of - 1):
        return "the last time" if times[0] else "the first time"
    return "times " + ", ".join(str(one + 1) for one in times)


# ---- as text ----------------------------------------------------------------------------------------------------------


def lines_of(nodes: Sequence[Node], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """An outline line by line: how deep it is, the hook or the title of a repeat, and a remark."""
    for node in nodes:
        if isinstance(node, Repeat) and len(node.steps) == 1 and not node.title and not _inside(node.steps[0]):
            yield depth, node.steps[0].hook, _remark(f"{node.times} times", node.when)  # type: ignore[union-attr]  # no Repeat
        elif isinstance(node, Repeat):
            title = f"{node.title}, {node.times} times:" if node.title else f"{node.times} times:"
            yield depth, title, node.when
            yield from lines_of(node.steps, depth + 1)
        else:
            missing = node.missing_end and f"{node.missing_end} does not follow"
            yield depth, node.hook, _remark(node.when, missing)
            yield from lines_of(node.inside, depth + 1)
            if node.end:
                yield from lines_of([node.end], depth)


def _inside(node: Node) -> bool:
    return isinstance(node, Repeat) or bool(node.inside or node.end)


def _remark(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
