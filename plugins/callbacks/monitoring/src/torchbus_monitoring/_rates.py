"""Names for learning rates: one for each parameter group, unique, and the same in every run. It knows of no trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch.optim import Optimizer
from torchbus_hookspecs import MisconfigurationException

__all__ = ["Schedule", "Source", "momentum_of", "sources"]

ANY = frozenset({"step", "epoch"})


class Schedule(Protocol):
    """What is read of a trainer's scheduler configuration."""

    @property
    def scheduler(self) -> Any:
        """The scheduler, with its ``optimizer``."""

    @property
    def name(self) -> str | None:
        """What its rates are called, if anything."""

    @property
    def interval(self) -> str:
        """``"step"`` or ``"epoch"``."""


@dataclass(slots=True)
class Source:
    """Where rates come from: an optimizer under one name.

    Attributes:
        name: ``lr-SGD``, ``lr-SGD-1`` for the second one of a kind (or of the same, when it has two schedulers), or what
            the scheduler is called.
        optimizer: the optimizer.
        intervals: when its rates may change: ``"step"``, ``"epoch"`` or both.
    """

    name: str
    optimizer: Optimizer
    intervals: frozenset[str] = field(default=ANY)

    def groups(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The parameter groups by full name: that of the source, and behind it the group's own name or number."""
        groups = self.optimizer.param_groups
        for number, group in enumerate(groups, 1):
            own = group.get("name") or (f"pg{number}" if len(groups) > 1 else "")
            if "lr" in group:  # not where there is no optimizer at all
                yield f"{self.name}/{own}" if own else self.name, group


def sources(optimizers: Sequence[Optimizer], configs: Sequence[Schedule]) -> list[Source]:
    """The sources of a run: what schedulers drive, then the optimizers without one.

    Raises:
        MisconfigurationException: two parameter groups of an optimizer have one name.
    """
    found: list[Source] = []
    counts: dict[type, int] = {}

    def numbered(optimizer: Optimizer) -> str:
        count = counts[type(optimizer)] = counts.get(type(optimizer), 0) + 1
        name = f"lr-{type(optimizer).__name__}"
        return name if count == 1 else f"{name}-{count - 1}"

    for config in configs:
        optimizer = config.scheduler.optimizer
        found.append(Source(config.name or numbered(optimizer), optimizer, frozenset({config.interval})))
    scheduled = {id(one.optimizer) for one in found}
    found += [Source(numbered(one), one) for one in optimizers if id(one) not in scheduled]
    for source in found:
        _refuse_twins(source)
    return found


def _refuse_twins(source: Source) -> None:
    names = [name for name, _ in source.groups()]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise MisconfigurationException(
            f"LearningRateMonitor: several parameter groups of {type(source.optimizer).__name__} are called"
            f" `{'`, `'.join(name.rpartition('/')[2] for name in twins)}`.\n"
            "To fix: give each group another `name`, or none.",
            plugin="LearningRateMonitor",
        )


def momentum_of(group: dict[str, Any]) -> float:
    """The momentum of a parameter group: the first beta of Adam and its kin; 0 where there is none."""
    betas = group.get("betas")
    return float(betas[0] if betas else group.get("momentum", 0.0))
