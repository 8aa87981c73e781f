"""What is kept of the values that one pass of one loop logs, and how it is reduced.

Logging copies a step's value, and adds it to the epoch's total, on its device; nothing is divided, synchronised or brought to
the processor until somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ._loggable import as_tensor, computed, default_float, metric_state, reduction, restored_metric

__all__ = ["Entry", "LogOptions", "Results"]


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
    """One logged name of one hook (and loader).

    Attributes:
        last: the step's value, or the metric.
        total: what the epoch adds up to so far: a number while only numbers were logged.
        running_sum: the same, where values may be added to it in place.
        weights: what a mean is divided by.
    """

    __slots__ = (
        "attribute", "dataloader_idx", "dtype", "enable_graph", "is_restored", "is_sum", "last", "logger", "metric", "name",
        "on_epoch", "on_step", "options", "prog_bar", "reduction", "running_sum", "suffix", "synchronise", "total", "weighted",
        "weights",
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
        self.is_sum = self.reduction in ("mean", "sum") and not self.enable_graph
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
        return self.last is not None or self.total is not None

    def reset(self) -> None:
        self.last: Any = None
        self.total: Tensor | float | None = None
        self.running_sum: Tensor | None = None
        self.weights = 0
        if self.metric is not None:
            self.metric.reset()

    def add(self, value: Tensor | float, weight: int) -> None:
        """Take a value into the epoch's total: any value, whatever was logged before."""
        self.weights += weight
        total = self.total
        if self.is_sum and not isinstance(value, Tensor) and not isinstance(total, Tensor):
            self.total = value * weight + (total or 0.0)
            return
        value = as_tensor(value, self.dtype)
        value = value if weight == 1 else value * weight
        if total is not None:
            combine = {"min": torch.minimum, "max": torch.maximum}.get(self.reduction, torch.add)
            value = combine(as_tensor(total, self.dtype).to(value.device), value)
        self._keep(value)

    def _keep(self, total: Tensor | float | None) -> None:
        if isinstance(total, Tensor) and not self.enable_graph:
            with torch.inference_mode(False):  # outside of it, nothing could be added to a tensor from inside
                total = total.clone()
        self.total = total
        self.running_sum = total if self.is_sum and isinstance(total, Tensor) else None

    def step_value(self) -> Tensor | None:
        if self.metric is not None:
            return computed(self.name, self.metric, self.metric._forward_cache)
        value = as_tensor(self.last, self.dtype)
        return self.synchronise(value, self.reduction) if self.synchronise else value

    def epoch_value(self) -> Tensor | None:
        if self.metric is not None:
            return computed(self.name, self.metric, self.metric.compute())
        if self.total is None:
            return None
        total, weights = as_tensor(self.total, self.dtype), torch.tensor(float(self.weights))
        if self.synchronise and self.reduction == "mean":
            total, weights = self.synchronise(total, "sum"), self.synchronise(weights.to(total.device), "sum")
        elif self.synchronise:
            total = self.synchronise(total, self.reduction)
        return total / weights.to(total) if self.reduction == "mean" else total.clone()

    def state_dict(self) -> dict[str, Any]:
        last = None if self.metric is not None else self.last
        parts = {"last": last, "total": self.total}
        copies = {name: one.detach().clone() if isinstance(one, Tensor) else one for name, one in parts.items()}
        return {**copies, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.is_restored = True
        self.last, self.weights = state["last"], state["weights"]
        self._keep(state["total"])


class Results:
    """What is logged during one pass of one loop.

    Attributes:
        batch: the batch under way, for its size.
        sized: the last batch whose size somebody asked for.
        batch_size: its size; 0 before the first.
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
        self.batch_size = 0
        self.dataloader_idx: int | None = None
        self.in_batches = False

    def reset(self) -> None:
        """Forget what was logged in this pass; what is logged next may have other options."""
        for one in self.entries.values():
            if one.metric is not None:
                one.metric.reset()
        self.entries = {}
        self.batch, self.sized, self.batch_size, self.in_batches = None, _NO_BATCH, 0, False

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
