"""What ``self.log`` is given on its way to those who read it: the metrics of a trainer, by name.

Reading is what costs: while nobody asks, a logged value is a reference in ``_results.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ._batch_size import extract_batch_size
from ._data.transfer import map_tensors
from ._dispatch import Scope
from ._errors import MisconfigurationException
from ._loggable import is_metric, metric_path, number, refuse_shape, scalar
from ._logging_rules import check_levels
from ._results import Entry, LogOptions, Results

__all__ = ["DroppedMetrics", "Metrics", "warn_unattached"]


_LISTS = (list, tuple)


def _size_of_batch(results: Results) -> int:
    """The size of the batch under way, found once for each; 1 between batches."""
    batch = results.batch
    if batch is None:
        return 1
    results.sized = batch
    if batch.__class__ in _LISTS and batch:
        first = batch[0]
        # a batch as long as the one before needs no closer look
        if first.__class__ is Tensor and first.ndim and first.size(0) == results.batch_size:
            return results.batch_size
    results.batch_size = extract_batch_size(batch)
    return results.batch_size


class Metrics:
    """The metrics of a trainer: what is being logged, and the three dictionaries that users read.

    Args:
        scope: tells which hook is running.

    Attributes:
        results: where ``self.log`` goes now; ``None`` where logging is impossible.
        module: the module that is run, which holds the metric objects.
        has_loggers: whether there are loggers to hand metrics to.
        synchronise: reduces a value over ranks, given ``"mean"``, ``"sum"``, ``"min"`` or ``"max"``; ``None`` for one rank.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.results: Results | None = None
        self.module: nn.Module | None = None
        self.has_loggers = False
        self.synchronise: Callable[[Tensor, str], Tensor] | None = None
        self._callback: dict[str, Tensor] = {}
        self._logged: dict[str, Tensor] = {}
        self._progress_bar: dict[str, Tensor] = {}
        self._shown: dict[str, float] = {}

    # ---- writing -----------------------------------------------------------------------------------------------------

    def log(self, name: str, value: Any, options: tuple[Any, ...], batch_size: int | None) -> None:
        """Keep one value; see ``LightningModule.log``.

        Args:
            name, value: what is logged.
            options: the fields of ``LogOptions``, in their order.
            batch_size: the batch's size; default: found in the batch, once for each.
        """
        results = self.results
        if results is None:
            raise MisconfigurationException(
                f"You can't `self.log({name}, ...)` in `{self.scope.hook or 'no hook'}`: nothing is collected there."
                " Logging works in the hooks and steps of training, validation and test."
            )
        hook = self.scope.hook
        entry = results.entries.get((hook, name, results.dataloader_idx))
        if entry is None or entry.options != options or entry.metric is not None:
            entry = self._entry(results, hook, name, value, LogOptions(*options), entry)
        if value.__class__ is Tensor:
            if value.ndim:
                if value.numel() != 1:
                    refuse_shape(name, value)
                value = value.reshape(())
            if value.requires_grad and not entry.enable_graph:
                value = value.detach()
            if entry.on_step:
                # a copy: the tensor may be a buffer, or a loss that is scaled in place, or a part of something large
                entry.last = value.clone()
        else:
            if type(value) is not float:
                if is_metric(value):
                    if entry.metric is None:  # a number before: refused
                        entry = self._entry(results, hook, name, value, LogOptions(*options), entry)
                    entry.last = value
                    return
                value = number(name, value)
            entry.last = value
        if entry.on_epoch:
            if not entry.weighted:
                batch_size = 1
            elif batch_size is None:
                batch_size = results.batch_size if results.sized is results.batch else _size_of_batch(results)
            running_sum = entry.running_sum
            if running_sum is not None:
                try:
                    running_sum.add_(value, alpha=batch_size)
                    entry.weights += batch_size
                    return
                except RuntimeError:  # it is on another device
                    pass
            entry.add(value, batch_size)

    def _entry(
        self, results: Results, hook: str, name: str, value: Any, options: LogOptions, known: Entry | None
    ) -> Entry:
        """The entry for a name that is new, or logged with other arguments or another metric than before."""
        if known is not None and known.options == options and known.metric is value:
            return known
        if not isinstance(name, str):
            raise TypeError(f"self.log(name={name!r}): the name must be a string, not {type(name).__name__}.")
        on_step, on_epoch = check_levels(hook, name, options.on_step, options.on_epoch)
        if options.add_dataloader_idx and "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"`self.log` with the key `{name}`: torchbus adds `/dataloader_idx_N` itself where there are several"
                " loaders. To fix: leave it out of the name, or pass add_dataloader_idx=False."
            )
        index = results.dataloader_idx
        entry = Entry(name, options, on_step, on_epoch, index)
        if options.sync_dist:
            entry.synchronise = self.synchronise
        if is_metric(value):
            entry.metric = value
            entry.attribute = options.metric_attribute or metric_path(name, value, self.module)
        shared = None if options.add_dataloader_idx or index is None else self._of_other_loader(results, hook, name)
        if known is not None and known.is_restored:
            # logged before an interruption; the checkpoint knows the options in part
            entry.load_state_dict(known.state_dict())
            entry.is_restored = False
        elif known is not None and known.meaning == entry.meaning:
            known.metric = entry.metric  # the attribute may hold another object by now
            return known
        elif known is not None or shared is not None:
            raise MisconfigurationException(
                f"`self.log({name}, ...)` twice in `{hook}`, with different arguments"
                + (" (the loader's index is one of them, with add_dataloader_idx=False)." if shared else ".")
                + " To fix: use one set of arguments for one name, or two names."
            )
        elif options.logger and not self.has_loggers:
            warnings.warn(
                f"`self.log('{name}', ..., logger=True)` but have no logger: nobody will be handed the value."
                ' To fix: give one, as in Trainer(logger="csv"), or leave `logger` out.',
                UserWarning,
                stacklevel=4,
            )
        results.entries[hook, name, index] = entry
        return entry

    @staticmethod
    def _of_other_loader(results: Results, hook: str, name: str) -> Entry | None:
        found = (one for (h, n, _), one in results.entries.items() if (h, n) == (hook, name))
        return next(found, None)

    def begin_batch(self, batch: Any) -> None:
        """A batch is under way: values logged now are its step values."""
        results = self.results
        if results is not None:
            results.batch, results.in_batches = batch, True

    def end_batches(self) -> None:
        """The batches of this pass (of this loader) are done: from now on epoch values are what a reader sees."""
        if self.results is not None and self.results.in_batches:
            self.collect()
            self.results.in_batches = False
            self.results.batch = None

    def attach(self, module: nn.Module, has_loggers: bool) -> None:
        """An entry point begins, with this module."""
        self.results, self.module, self.has_loggers = None, module, has_loggers

    def clear(self) -> None:
        """Forget all values, as at the beginning of an entry point; who holds a dictionary of them keeps it."""
        self._callback, self._logged, self._progress_bar, self._shown = {}, {}, {}, {}

    def close(self) -> None:
        """The run is over: nothing more is collected, and what was leaves the device."""
        self.results = None
        kept = (self._callback, self._logged, self._progress_bar)
        self._callback, self._logged, self._progress_bar = (map_tensors(one, Tensor.cpu) for one in kept)

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

    def show(self, values: Mapping[str, Tensor]) -> None:
        """Show values to callbacks, beside those that are logged."""
        self._callback.update(values)

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
        self._shown.update({name: scalar(name, value) for name, value in self._progress_bar.items()})
        return self._shown


class DroppedMetrics(Metrics):
    """The metrics of a bare trainer: nothing is kept."""

    def log(self, name: str, value: Any, options: tuple[Any, ...], batch_size: int | None) -> None:
        """Drop a value, and say so once per name."""
        warnings.warn(
            f"`self.log({name}, ...)`: Trainer(barebones=True) keeps no metrics; the value is dropped.",
            UserWarning,
            stacklevel=3,
        )

    def begin_batch(self, batch: Any) -> None:
        """Nothing to prepare."""


def warn_unattached(name: str) -> None:
    """Say that a value was dropped, since the module is not in a trainer's hands."""
    warnings.warn(
        f"`self.log({name}, ...)`: the module's `self.trainer` reference is not registered, since no trainer runs it: the value"
        " is dropped.",
        UserWarning,
        stacklevel=3,
    )
