"""What ``self.log`` stores, how it is reduced, and under which names it is read.

Logging keeps references and counts; nothing is added up, synchronised or copied off the device until somebody reads.
"""

from __future__ import annotations

import builtins
import numbers
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ._batch_size import extract_batch_size
from ._data.transfer import map_tensors, move_data_to_device
from ._dispatch import Scope
from ._errors import MisconfigurationException, did_you_mean
from ._logging_rules import check_levels

__all__ = ["DroppedMetrics", "LogOptions", "Metrics", "Results", "warn_unattached"]

FOLD_AFTER = 64
"""Values kept before they are added up: memory stays flat, and one stacked sum replaces that many small ones."""

_REDUCTIONS: dict[Any, str] = {
    "mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max",
    torch.mean: "mean", torch.sum: "sum", torch.min: "min", torch.max: "max",
    builtins.sum: "sum", builtins.min: "min", builtins.max: "max",
}  # fmt: skip


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


class _Entry:
    """One logged name of one hook (and loader): its last value, and what its epoch adds up to."""

    __slots__ = (
        "batch_sizes", "dataloader_idx", "has_value", "is_restored", "last", "logger", "metric", "name", "on_epoch",
        "on_step", "options", "prog_bar", "reduction", "suffix", "synchronise", "total", "values", "weighted",
        "weights",
    )  # fmt: skip

    def __init__(
        self, name: str, options: LogOptions, on_step: bool, on_epoch: bool, dataloader_idx: int | None
    ) -> None:
        self.name = name
        self.options = options
        self.on_step, self.on_epoch = on_step, on_epoch
        self.prog_bar, self.logger = options.prog_bar, options.logger is not False
        self.dataloader_idx = dataloader_idx
        self.suffix = (
            f"/dataloader_idx_{dataloader_idx}" if dataloader_idx is not None and options.add_dataloader_idx else ""
        )
        self.reduction = _reduction(name, options.reduce_fx)
        self.weighted = on_epoch and self.reduction == "mean"
        self.metric: Any = None
        self.synchronise: Callable[[Tensor, str], Tensor] | None = None
        self.is_restored = False
        self.reset()

    def reset(self) -> None:
        self.has_value = False
        self.last: Any = None
        self.values: list[Any] = []
        self.batch_sizes: list[int] = []
        self.total: Tensor | None = None
        self.weights = 0
        if self.metric is not None:
            self.metric.reset()

    def add(self, value: Any, batch_size: int) -> None:
        self.has_value = True
        self.last = value
        if self.on_epoch and self.metric is None:
            self.values.append(value)
            self.batch_sizes.append(batch_size)
            if len(self.values) >= FOLD_AFTER:
                self._fold()

    def _fold(self) -> None:
        """Add the kept values to the total."""
        values = _stack(self.values)
        if self.reduction == "mean":
            sizes = torch.tensor(self.batch_sizes, dtype=values.dtype, device=values.device)
            part = (values * sizes).sum()
        else:
            part = getattr(values, self.reduction)()
        self.weights += builtins.sum(self.batch_sizes)
        if self.total is None:
            self.total = part
        elif self.reduction in ("mean", "sum"):
            self.total = self.total + part
        else:
            self.total = getattr(torch.stack([self.total, part.to(self.total)]), self.reduction)()
        self.values, self.batch_sizes = [], []

    def step_value(self) -> Tensor | None:
        if self.metric is not None:
            cached: Tensor | None = getattr(self.metric, "_forward_cache", None)
            return cached
        value = _as_tensor(self.last)
        return self.synchronise(value, self.reduction) if self.synchronise else value

    def epoch_value(self) -> Tensor | None:
        if self.metric is not None:
            computed: Tensor = self.metric.compute()
            return computed
        if self.values:
            self._fold()
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
        kept = _stack(self.values) if self.values else None
        parts = {"last": self.last, "values": kept, "total": self.total}
        return {
            **{name: _plain(value) for name, value in parts.items()},
            "sizes": list(self.batch_sizes),
            "weights": self.weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.has_value = self.is_restored = True
        self.last, self.total, self.weights = state["last"], state["total"], state["weights"]
        self.values = [] if state["values"] is None else list(state["values"].unbind())
        self.batch_sizes = list(state["sizes"])


class Results:
    """What is logged during one pass of one loop.

    Attributes:
        batch: the batch under way, for its size.
        batch_size: its size, once somebody asked for it.
        dataloader_idx: the loader under way, where there are several.
        in_batches: whether batches are being run, so that step values are what a reader sees.
        training: whether step values are visible to callbacks.
    """

    __slots__ = ("batch", "batch_size", "dataloader_idx", "entries", "in_batches", "training")

    def __init__(self, training: bool) -> None:
        self.training = training
        self.entries: dict[tuple[str, str, int | None], _Entry] = {}
        self.batch: Any = None
        self.batch_size: int | None = None
        self.dataloader_idx: int | None = None
        self.in_batches = False

    def reset(self) -> None:
        """Forget what was logged in this pass; what is logged next may have other options."""
        for one in self.entries.values():
            if one.metric is not None:
                one.metric.reset()
        self.entries = {}
        self.batch, self.batch_size, self.in_batches = None, None, False

    def state_dict(self, module: nn.Module) -> dict[str, Any]:
        """What was logged so far, for a run that goes on inside this pass; metric objects by their place in ``module``."""
        paths = {id(one): path for path, one in module.named_modules()}
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
                "metric": _metric_state(one.metric, paths),
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
            entry = _Entry(name, options, one["on_step"], one["on_epoch"], index)
            entry.synchronise = synchronise if options.sync_dist else None
            entry.load_state_dict(one["state"])
            if one["metric"] is not None:
                entry.metric = _restored_metric(one["metric"], module)
                entry.has_value = entry.metric is not None
            self.entries[one["hook"], name, index] = entry

    def visible(self) -> list[_Entry]:
        """The entries of the loader under way that have a value."""
        return [one for one in self.entries.values() if one.has_value and one.dataloader_idx == self.dataloader_idx]


class Metrics:
    """The metrics of a trainer: what is being logged, and the three dictionaries that users read.

    Args:
        scope: tells which hook is running.

    Attributes:
        results: where ``self.log`` goes now; ``None`` where logging is impossible.
        synchronise: reduces a value over ranks, given ``"mean"``, ``"sum"``, ``"min"`` or ``"max"``; ``None`` for one rank.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.results: Results | None = None
        self.synchronise: Callable[[Tensor, str], Tensor] | None = None
        self._callback: dict[str, Tensor] = {}
        self._logged: dict[str, Tensor] = {}
        self._progress_bar: dict[str, Tensor] = {}

    # ---- writing -----------------------------------------------------------------------------------------------------

    def log(self, name: str, value: Any, options: LogOptions, batch_size: int | None) -> None:
        """Keep one value; see ``LightningModule.log``."""
        results = self.results
        if results is None:
            raise MisconfigurationException(
                f"self.log({name!r}) was called where nothing is collected: in `{self.scope.hook or 'no hook'}`."
                " Logging works in the hooks and steps of training, validation and test."
            )
        hook = self.scope.hook
        entry = results.entries.get((hook, name, results.dataloader_idx))
        if entry is None or entry.options != options:
            entry = self._entry(results, hook, name, value, options, entry)
        if type(value) is Tensor:
            if value.requires_grad:
                value = value if options.enable_graph else value.detach()
            else:
                value = value.clone()  # a buffer, say, that the next step may change in place
            if value.numel() != 1:
                raise ValueError(_not_scalar(name, value))
            if value.dim():
                value = value.reshape(())
        elif type(value) is not float:
            value = _checked_value(name, value, entry)
        if batch_size is None:
            batch_size = 1
            if entry.weighted and results.batch is not None:
                if results.batch_size is None:
                    results.batch_size = extract_batch_size(results.batch)
                batch_size = results.batch_size
        entry.add(value, batch_size)

    def _entry(
        self, results: Results, hook: str, name: str, value: Any, options: LogOptions, known: _Entry | None
    ) -> _Entry:
        """The entry for a name that is new, or logged with other arguments than before."""
        if not isinstance(name, str):
            raise TypeError(f"self.log(name={name!r}): the name must be a string, not {type(name).__name__}.")
        _refuse_nested(name, value)
        on_step, on_epoch = check_levels(hook, name, options.on_step, options.on_epoch)
        if options.add_dataloader_idx and "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"self.log({name!r}): torchbus adds `/dataloader_idx_N` itself where there are several loaders."
                " To fix: leave it out of the name, or pass add_dataloader_idx=False."
            )
        index = results.dataloader_idx
        entry = _Entry(name, options, on_step, on_epoch, index)
        if options.sync_dist:
            entry.synchronise = self.synchronise
        shared = None if options.add_dataloader_idx or index is None else self._of_other_loader(results, hook, name)
        if known is not None and known.is_restored:
            # logged before an interruption; the checkpoint knows the options in part
            entry.load_state_dict(known.state_dict())
            entry.is_restored = False
        elif known is not None or shared is not None:
            raise MisconfigurationException(
                f"self.log({name!r}) was called twice in `{hook}` with different arguments"
                + (" (the loader's index is one of them, with add_dataloader_idx=False)." if shared else ".")
                + " To fix: use one set of arguments for one name, or two names."
            )
        results.entries[hook, name, index] = entry
        return entry

    @staticmethod
    def _of_other_loader(results: Results, hook: str, name: str) -> _Entry | None:
        found = (one for (h, n, _), one in results.entries.items() if (h, n) == (hook, name))
        return next(found, None)

    def begin_batch(self, batch: Any) -> None:
        """A batch is under way: values logged now are its step values."""
        results = self.results
        if results is not None:
            results.batch, results.batch_size, results.in_batches = batch, None, True

    def end_batches(self) -> None:
        """The batches of this pass (of this loader) are done: from now on epoch values are what a reader sees."""
        if self.results is not None and self.results.in_batches:
            self.collect()
            self.results.in_batches = False
            self.results.batch = None

    def clear(self) -> None:
        """Forget all values, as at the beginning of an entry point."""
        for kept in (self._callback, self._logged, self._progress_bar):
            kept.clear()

    def state_dict(self, results: Results, module: nn.Module) -> dict[str, Any]:
        """What readers see, and what was logged in a pass so far."""
        seen = {"callback": self._callback, "logged": self._logged, "progress_bar": self._progress_bar}
        return {**{name: dict(values) for name, values in seen.items()}, "results": results.state_dict(module)}

    def load_state_dict(self, state: Mapping[str, Any], results: Results, module: nn.Module) -> None:
        """Take back what ``state_dict`` gave."""
        self._callback.update(state["callback"])
        self._logged.update(state["logged"])
        self._progress_bar.update(state["progress_bar"])
        results.load_state_dict(state["results"], module, self.synchronise)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def collect(self) -> dict[str, Tensor]:
        """Bring the three dictionaries up to date; return what is visible to loggers in the pass under way."""
        results = self.results
        if results is None:
            return {}
        on_step = results.in_batches
        logged: dict[str, Tensor] = {}
        for entry in results.visible():
            if not (entry.on_step if on_step else entry.on_epoch):
                continue
            value = entry.step_value() if on_step else entry.epoch_value()
            if value is None:
                continue
            name = entry.name + entry.suffix
            fork = ("_step" if on_step else "_epoch") if entry.on_step and entry.on_epoch else ""
            forked = entry.name + fork + entry.suffix
            if entry.logger:
                logged[forked] = value
            if results.training or (entry.on_epoch and not on_step):
                self._callback[name] = value
                self._callback[forked] = value
            if entry.prog_bar:
                self._progress_bar[forked] = value
        self._logged.update(logged)
        return logged

    def remember(self, logged: Mapping[str, Tensor]) -> None:
        """Show values that were handed to the loggers among the logged ones."""
        self._logged.update(logged)

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """Metrics for callbacks, such as the one that early stopping watches."""
        self.collect()
        return self._callback

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """Metrics as loggers see them."""
        self.collect()
        return self._logged

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """Metrics for the progress bar, as numbers."""
        self.collect()
        return {name: value.item() for name, value in self._progress_bar.items()}


class DroppedMetrics(Metrics):
    """The metrics of a bare trainer: nothing is kept."""

    def log(self, name: str, value: Any, options: LogOptions, batch_size: int | None) -> None:
        """Drop a value, and say so once per name."""
        warnings.warn(
            f"self.log({name!r}): Trainer(barebones=True) keeps no metrics; the value is dropped.",
            UserWarning,
            stacklevel=3,
        )

    def begin_batch(self, batch: Any) -> None:
        """Nothing to prepare."""


# ---- values -----------------------------------------------------------------------------------------------------------


def _as_tensor(value: Any) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.get_default_dtype())
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def _stack(values: list[Any]) -> Tensor:
    if all(isinstance(value, float) for value in values):
        return torch.tensor(values, dtype=torch.float64).to(torch.get_default_dtype())
    tensors = [_as_tensor(value) for value in values]
    stacked = torch.stack([tensor.to(tensors[0].device) for tensor in tensors])
    # half precision would lose what it adds up
    return stacked.float() if stacked.dtype in (torch.float16, torch.bfloat16) else stacked


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _metric_state(metric: Any, paths: Mapping[int, str]) -> dict[str, Any] | None:
    """What a metric object of torchmetrics has seen, if it is one, and part of the module."""
    values = getattr(metric, "metric_state", None)
    if values is None or id(metric) not in paths:
        return None
    seen = {"values": dict(values), "last": metric._forward_cache, "updates": metric._update_count}
    return {"path": paths[id(metric)], **map_tensors(seen, Tensor.detach)}


def _restored_metric(state: Mapping[str, Any], module: nn.Module) -> Any:
    metric: Any = dict(module.named_modules()).get(state["path"])
    if hasattr(metric, "metric_state"):  # else the module was changed since
        for name, value in state["values"].items():
            setattr(metric, name, move_data_to_device(value, metric.device))
        metric._update_count, metric._forward_cache = state["updates"], state["last"]
        return metric
    return None


def _checked_value(name: str, value: Any, entry: _Entry) -> Any:
    """A value that is neither a plain tensor nor a float."""
    if hasattr(value, "compute") and hasattr(value, "update") and callable(value):  # a torchmetrics metric
        entry.metric = value
        return None
    if isinstance(value, Tensor):
        value = value.detach().as_subclass(Tensor).clone()
        if value.numel() != 1:
            raise ValueError(_not_scalar(name, value))
        return value.reshape(())
    if isinstance(value, numbers.Number):
        return float(value)  # type: ignore[arg-type]  # complex numbers raise, as they should
    raise ValueError(
        f"self.log({name!r}, {value!r}): a {type(value).__name__} cannot be logged; give a number, a tensor of one element,"
        " or a metric. For several values use self.log_dict."
    )


def _refuse_nested(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        raise ValueError(
            f"self.log({name!r}, {{...}}): a dictionary cannot be logged under one name. Use self.log_dict."
        )


def _not_scalar(name: str, value: Tensor) -> str:
    return (
        f"self.log({name!r}): the value has shape {tuple(value.shape)}; only one number can be logged under one name."
        " To fix: reduce it first, for example with .mean()."
    )


def _reduction(name: str, given: Any) -> str:
    key = given.lower() if isinstance(given, str) else given
    try:
        found = _REDUCTIONS.get(key)
    except TypeError:  # something unhashable
        found = None
    if found is None:
        hint = did_you_mean(key, [one for one in _REDUCTIONS if isinstance(one, str)]) if isinstance(key, str) else ""
        raise MisconfigurationException(
            f"self.log({name!r}, reduce_fx={given!r}): it must be 'mean', 'sum', 'min' or 'max'.{hint} For anything else,"
            " collect the values yourself and log the result at the epoch's end."
        )
    return found


def warn_unattached(name: str) -> None:
    """Say that a value was dropped, since the module is not in a trainer's hands."""
    warnings.warn(
        f"self.log({name!r}) was called on a module that no trainer runs: the value is dropped.",
        UserWarning,
        stacklevel=3,
    )
