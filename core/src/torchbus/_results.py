"""What is kept of the values that one pass of one loop logs, and how it is reduced.

Logging keeps references and counts; nothing is added up, synchronised or copied off the device until somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ._loggable import as_tensor, computed, default_float, metric_state, reduction, restored_metric, stack

__all__ = ["FOLD_AFTER", "Entry", "LogOptions", "Results"]

FOLD_AFTER = 64
"""Values kept before they are added up: memory stays flat, and one stacked sum replaces that many small ones."""


_NO_BATCH = object()


class LogOptions(NamedTuple):
    """The arguments of one ``self.log`` call beside name, value and batch size."""

    prog_bar: bool = False
    logger: bool | None = None
    on_step: bool | None = None
    on_epoch: bool | None = None
    reduce_fx: str | Callable[..., Any] = "mean"
    enable_graph: bool = False
    sync_dist: bool = False
    sync_dist_group: Any = None
    add_dataloader_idx: bool = True
    metric_attribute: str | None = None
    rank_zero_only: bool = False


class Entry:
    """One logged name of one hook (and loader): its last value (or metric), and what its epoch adds up to."""

    __slots__ = (
        "attribute", "batch_size", "dataloader_idx", "dtype", "enable_graph", "is_restored", "last", "logger", "metric",
        "name", "on_epoch", "on_step", "options", "prog_bar", "reduction", "suffix", "synchronise", "total", "values",
        "weighted", "weights",
    )  # fmt: skip

    def __init__(
        self, name: str, options: LogOptions, on_step: bool, on_epoch: bool, dataloader_idx: int | None
    ) -> None:
        self.name = name
        self.options = options
        self.enable_graph = options.enable_graph
        self.on_step, self.on_epoch = on_step, on_epoch
        self.prog_bar, self.logger = options.prog_bar, options.logger is not False
        self.dataloader_idx = dataloader_idx
        self.suffix = (
            f"/dataloader_idx_{dataloader_idx}" if dataloader_idx is not None and options.add_dataloader_idx else ""
        )
        self.reduction = reduction(name, options.reduce_fx)
        self.weighted = on_epoch and self.reduction == "mean"
        self.dtype = default_float()  # here: a step may have another default than those who read
        self.metric: Any = None
        self.attribute = options.metric_attribute
        self.synchronise: Callable[[Tensor, str], Tensor] | None = None
        self.is_restored = False
        self.reset()

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What the arguments amount to: calls that differ in nothing of this log the same."""
        given = self.options
        return (
            self.prog_bar, self.logger, self.on_step, self.on_epoch, self.reduction, self.attribute,
            self.synchronise is None, given.sync_dist_group, given.enable_graph, given.add_dataloader_idx,
            given.rank_zero_only,
        )  # fmt: skip

    @property
    def has_value(self) -> bool:
        return self.last is not None

    def reset(self) -> None:
        self.last: Any = None
        self.values: list[Any] = []
        self.batch_size = 1  # of each of the values
        self.total: Tensor | None = None
        self.weights = 0
        if self.metric is not None:
            self.metric.reset()

    def fold(self) -> None:
        """Add the kept values, if there are any, to the total."""
        if not self.values:
            return
        values = stack(self.values, self.dtype)
        part = values.sum() * self.batch_size if self.reduction == "mean" else getattr(values, self.reduction)()
        self.weights += self.batch_size * len(self.values)
        if self.total is None:
            self.total = part
        elif self.reduction in ("mean", "sum"):
            self.total = self.total + part
        else:
            self.total = getattr(torch.stack([self.total, part.to(self.total)]), self.reduction)()
        self.values = []

    def step_value(self) -> Tensor | None:
        if self.metric is not None:
            return computed(self.name, self.metric, self.metric._forward_cache)
        value = as_tensor(self.last, self.dtype)
        return self.synchronise(value, self.reduction) if self.synchronise else value

    def epoch_value(self) -> Tensor | None:
        if self.metric is not None:
            return computed(self.name, self.metric, self.metric.compute())
        self.fold()
        if self.total is None:
            return None
        total, weights = self.total, torch.tensor(float(self.weights))
        if self.synchronise and self.reduction == "mean":
            total, weights = self.synchronise(total, "sum"), self.synchronise(weights.to(total.device), "sum")
        elif self.synchronise:
            total = self.synchronise(total, self.reduction)
        return total / weights.to(total) if self.reduction == "mean" else total

    def state_dict(self) -> dict[str, Any]:
        # not folded: the order of additions decides the last bits of a mean
        kept = stack(self.values, self.dtype) if self.values else None
        last = None if self.metric is not None else self.last
        parts = {"last": last, "values": kept, "total": self.total}
        return {
            **{name: value.detach() if isinstance(value, Tensor) else value for name, value in parts.items()},
            "batch_size": self.batch_size,
            "weights": self.weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.is_restored = True
        self.last, self.total, self.weights = state["last"], state["total"], state["weights"]
        self.values = [] if state["values"] is None else list(state["values"].unbind())
        self.batch_size = state["batch_size"]


class Results:
    """What is logged during one pass of one loop.

    Attributes:
        batch: the batch under way, for its size.
        sized: the last batch whose size somebody asked for.
        batch_size: its size.
        dataloader_idx: the loader under way, where there are several.
        in_batches: whether batches are being run, so that step values are what a reader sees.
        training: whether step values are visible to callbacks.
    """

    __slots__ = ("batch", "batch_size", "dataloader_idx", "entries", "in_batches", "sized", "training")

    def __init__(self, training: bool) -> None:
        self.training = training
        self.entries: dict[tuple[str, str, int | None], Entry] = {}
        self.batch: Any = None
        self.sized: Any = _NO_BATCH
        self.batch_size = 1
        self.dataloader_idx: int | None = None
        self.in_batches = False

    def reset(self) -> None:
        """Forget what was logged in this pass; what is logged next may have other options."""
        for one in self.entries.values():
            if one.metric is not None:
                one.metric.reset()
        self.entries = {}
        self.batch, self.sized, self.in_batches = None, _NO_BATCH, False

    def state_dict(self, module: nn.Module) -> dict[str, Any]:
        """What was logged so far, for a run that goes on inside this pass; metric objects by their place in ``module``."""
        entries = [
            {
                "hook": hook,
                "dataloader_idx": index,
                "name": name,
                "on_step": one.on_step,
                "on_epoch": one.on_epoch,
                # functions and process groups cannot be kept
                "options": one.options._replace(reduce_fx=one.reduction, sync_dist_group=None)._asdict(),
                "state": one.state_dict(),
                "metric": metric_state(one.metric, module),
            }
            for (hook, name, index), one in self.entries.items()
            if one.has_value
        ]
        return {"in_batches": self.in_batches, "entries": entries}

    def load_state_dict(
        self, state: Mapping[str, Any], module: nn.Module, synchronise: Callable[[Tensor, str], Tensor] | None
    ) -> None:
        """Take back what ``state_dict`` gave; ``synchronise`` reduces over ranks what was logged to be."""
        self.in_batches = state["in_batches"]
        for one in state["entries"]:
            name, index, options = one["name"], one["dataloader_idx"], LogOptions(**one["options"])
            entry = Entry(name, options, one["on_step"], one["on_epoch"], index)
            entry.synchronise = synchronise if options.sync_dist else None
            entry.load_state_dict(one["state"])
            if one["metric"] is not None:
                entry.last = entry.metric = restored_metric(one["metric"], module)
            self.entries[one["hook"], name, index] = entry

    def visible(self) -> list[Entry]:
        """The entries of the loader under way that have a value."""
        return [one for one in self.entries.values() if one.has_value and one.dataloader_idx == self.dataloader_idx]
