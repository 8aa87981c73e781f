"""Who runs before whom: pluggy's order, then the plugins' own ``before`` and ``after``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ._errors import PluginOrderError

__all__ = ["order_names"]


def order_names(names: Sequence[str], later: Mapping[str, Collection[str]]) -> list[str]:
    """Sort ``names`` so that each comes before all names in ``later[name]``, moving as little as possible.

    Args:
        names: the order to start from, each name once.
        later: for a name, those that must come after it; names not in ``names`` are ignored.

    Returns:
        A total order; of several possible ones, that which takes the earliest possible name first.

    Raises:
        PluginOrderError: there is no such order; the message gives the cycle.
    """
    waiting_for: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for other in later.get(name, ()):
            if other in waiting_for:
                waiting_for[other].add(name)
    if not any(waiting_for.values()):
        return list(names)
    ordered: list[str] = []
    remaining = list(names)
    while remaining:
        ready = next((name for name in remaining if not waiting_for[name]), None)
        if ready is None:
            raise PluginOrderError(_describe_cycle(remaining, waiting_for))
        ordered.append(ready)
        remaining.remove(ready)
        for blockers in waiting_for.values():
            blockers.discard(ready)
    return ordered


def _describe_cycle(remaining: Sequence[str], waiting_for: Mapping[str, set[str]]) -> str:
    path = [remaining[0]]
    while True:
        step = min(waiting_for[path[-1]])
        if step in path:
            cycle = [*reversed(path[path.index(step) :])]
            text = " before ".join(f"`{name}`" for name in [*cycle, cycle[0]])
            return f"The order of plugins goes round in a circle: {text}. To fix: remove one of these before/after options."
        path.append(step)
