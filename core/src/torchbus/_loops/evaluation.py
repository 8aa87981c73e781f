"""The loop of validation and test, also of the sanity check."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torchbus_hookspecs import events

from .._adapters import overridden_methods
from .._data.length import limited_length, sized_length
from .._data.source import combine, request_loader, set_epoch, warn_of_shuffling, without_shuffling
from .._loggable import scalar
from .._profiling import timed_items
from .._results import Results
from .feed import make_transfer
from .logging import LoggerOutput

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["EvaluationLoop", "check_index_argument", "gradients_off", "module_modes"]

EVENTS: dict[str, tuple[Any, ...]] = {
    "validation": (
        events.ValidationModelEval, events.ValidationStart, events.ValidationEpochStart, events.ValidationBatchStart,
        events.ValidationStep, events.ValidationBatchEnd, events.ValidationEpochEnd, events.ValidationEnd,
        events.ValidationModelTrain,
    ),
    "test": (
        events.TestModelEval, events.TestStart, events.TestEpochStart, events.TestBatchStart, events.TestStep,
        events.TestBatchEnd, events.TestEpochEnd, events.TestEnd, events.TestModelTrain,
    ),
}  # fmt: skip


class EvaluationLoop:
    """Runs over the loaders of one stage without training.

    Args:
        trainer: the trainer.
        stage: ``"validation"`` or ``"test"``.

    Attributes:
        max_batches: batches to run, of each loader.
        is_sanity_check: whether only a few batches are run, to check the code.
        verbose: whether results are printed.
    """

    def __init__(self, trainer: Trainer, stage: Literal["validation", "test"]) -> None:
        self.trainer = trainer
        self.stage = stage
        self.results = Results(training=False)
        self.given: Any = None
        self.loader: Any = None
        self.max_batches: list[int | float] = []
        self.is_sanity_check = False
        self.verbose = False
        self.inference_mode = False
        self._is_loaded = False
        self._last_reload: int | float = float("-inf")
        self._batches_seen: dict[int, int] = {}

    @property
    def num_dataloaders(self) -> int:
        """How many loaders there are, once they are known."""
        return len(combine(self.loader, "sequential").flattened) if self.loader is not None else 0

    @property
    def short(self) -> Literal["val", "test"]:
        """The stage's name as loaders and limits have it."""
        return "val" if self.stage == "validation" else "test"

    def run(self) -> list[dict[str, float]]:
        """Evaluate; return what was logged, one dictionary for each loader."""
        trainer, module = self.trainer, self.trainer.lightning_module
        with gradients_off(self.inference_mode):
            self.setup_data()
            if not sum(self._limits()):
                return []
            self._bind()
            combined = combine(self.loader, "sequential")
            combined.limits = self._limits()
            if trainer.state.fn == "fit":
                set_epoch(combined, trainer.current_epoch)
            batches = combined.batches()
            several = combined.mode == "sequential" and len(combined.flattened) > 1
            trainer.bus.scope.several_loaders = several
            check_index_argument(module, self.stage, several)
            restores_modes = self._restores_modes()
            with module_modes(module, restores_modes):
                self.model_eval(trainer, module)
                self.start(trainer, module)
                self.epoch_start(trainer, module)
                outputs = self.run_batches(batches, several)
                returned = self.end(outputs)
                if not restores_modes:
                    self.model_train(trainer, module)
        self.results.reset()  # outside of inference mode, whose tensors metrics could not change later
        if self.verbose and trainer.is_global_zero:
            trainer.show_results(returned, self.stage)
        return returned

    def run_batches(self, batches: Iterator[tuple[Any, int, int]], several: bool) -> list[dict[str, Any]]:
        """Run all batches; return what was logged over each loader."""
        trainer, module, metrics = self.trainer, self.trainer.lightning_module, self.trainer.metrics
        outputs: list[dict[str, Any]] = []
        loader_before = 0
        self.results.dataloader_idx = 0 if several else None
        logs_steps = self.output.is_wanted() and not self.is_sanity_check
        for fetched, batch_idx, dataloader_idx in timed_items(trainer, f"[_EvaluationLoop].{self.short}_next", batches):
            if dataloader_idx != loader_before:
                outputs.append(self._close_loader())
                loader_before = self.results.dataloader_idx = dataloader_idx
            batch = self.transfer(fetched, dataloader_idx)
            metrics.begin_batch(batch)
            self.batch_start(trainer, module, batch, batch_idx, dataloader_idx)
            output = self.compute(trainer, module, batch, batch_idx, dataloader_idx)
            self.batch_end(trainer, module, output, batch, batch_idx, dataloader_idx)
            if logs_steps:
                self._log_step(dataloader_idx)
            if trainer.received_sigterm and trainer.state.fn != "fit":
                trainer.when_preempted()  # inside a fit, the training loop does, at the next point to go on from
        return [*outputs, self._close_loader()]

    def end(self, outputs: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Close the epoch: its hooks, and its metrics for loggers and caller."""
        trainer, module = self.trainer, self.trainer.lightning_module
        self.results.dataloader_idx = None
        self.epoch_end(trainer, module)
        closing = trainer.metrics.collect()
        if self.is_sanity_check:
            closing = {}
        merged = {name: value for output in outputs for name, value in output.items()} | closing
        if not self.is_sanity_check:
            self.output.send(merged)
        self.finish(trainer, module)
        return [{name: scalar(name, value) for name, value in {**output, **closing}.items()} for output in outputs]

    # ---- parts ---------------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        trainer = self.trainer
        (
            self.model_eval, self.start, self.epoch_start, self.batch_start, self.step, self.batch_end, self.epoch_end,
            self.finish, self.model_train,
        ) = (trainer.bus.emitter(event) for event in EVENTS[self.stage])  # fmt: skip
        self.transfer = make_transfer(trainer)
        self.output = LoggerOutput(trainer)
        self.results.reset()
        trainer.metrics.results = self.results
        precision = trainer.precision_plugin
        self.compute = self.step if precision.is_plain else self._step_in_context

    def _step_in_context(self, *values: Any) -> Any:
        with self.trainer.precision_plugin.forward_context():
            return self.step(*values)

    def _close_loader(self) -> dict[str, Any]:
        """All batches of one loader are done: its epoch values count now."""
        metrics = self.trainer.metrics
        metrics.end_batches()
        if self.is_sanity_check:
            return {}
        return metrics.collect()

    def _log_step(self, dataloader_idx: int) -> None:
        """Values of single batches, at the loop's own count of batches."""
        seen = self._batches_seen.get(dataloader_idx, 0)
        self._batches_seen[dataloader_idx] = seen + 1
        if any(one.on_step for one in self.results.visible()):
            self.output.send(self.trainer.metrics.collect(), step=seen)

    def _restores_modes(self) -> bool:
        """Whether each submodule goes back to its own mode: unless the user says how to switch back."""
        module, hook = self.trainer.lightning_module, f"on_{self.stage}_model_train"
        from .._module import LightningModule

        return not overridden_methods(module, LightningModule, [hook])

    # ---- data ------------------------------------------------------------------------------------------------------------

    def setup_data(self) -> None:
        """Ask for the loaders, and work out how many of their batches to run."""
        trainer = self.trainer
        every = trainer.reload_dataloaders_every_n_epochs
        due = bool(every) and trainer.state.fn == "fit" and trainer.current_epoch - self._last_reload >= every
        if self._is_loaded and not due:
            return
        if self._limit() == 0:
            self.max_batches = []
            return
        loader = request_loader(trainer, self.short, self.given)
        overfits = trainer.overfit_batches and trainer.state.fn == "fit"
        self.loader = without_shuffling(loader, self.short) if overfits else loader
        warn_of_shuffling(self.loader, self.short)
        self._is_loaded = True
        if not self.is_sanity_check or trainer.fit_loop.validates_in_this_epoch():
            self._last_reload = trainer.current_epoch
        loaders = combine(self.loader, "sequential").flattened
        name = f"limit_{self.short}_batches"
        self.max_batches = [limited_length(sized_length(one), self._limit(), name) for one in loaders]

    def _limit(self) -> int | float:
        limit: int | float = getattr(self.trainer, f"limit_{self.short}_batches")
        return limit

    def _limits(self) -> list[int | float]:
        if not self.is_sanity_check:
            return self.max_batches
        return [min(self.trainer.num_sanity_val_steps, one) for one in self.max_batches]

    def begin_entry(self) -> None:
        """An entry point begins: ask for loaders anew, count batches anew."""
        self._is_loaded = self.is_sanity_check = False
        self._batches_seen = {}


@contextmanager
def module_modes(module: nn.Module, restore: bool) -> Iterator[None]:
    """Afterwards, each submodule is in the mode it was in before."""
    modes = [(one, one.training) for one in module.modules()] if restore else []
    try:
        yield
    finally:
        for one, training in modes:
            one.training = training


def gradients_off(inference_mode: bool) -> AbstractContextManager[Any]:
    """No gradients inside: under inference mode, or where its tensors would get in training's way, without."""
    return torch.inference_mode() if inference_mode else torch.no_grad()


def check_index_argument(module: nn.Module, stage: str, several: bool) -> None:
    """Refuse a step or hook that cannot know its loader where there are several, or wants to know where there is one.

    Raises:
        RuntimeError: so it is.
    """
    for name in (f"{stage}_step", f"on_{stage}_batch_start", f"on_{stage}_batch_end"):
        parameters = inspect.signature(getattr(module, name)).parameters
        variadic = any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters.values())
        index = parameters.get("dataloader_idx")
        owner = f"{type(module).__name__}.{name}"
        if several and index is None and not variadic:
            raise RuntimeError(
                f"There are several {stage} loaders, and `{owner}` has no argument `dataloader_idx` to tell them apart."
                f" To fix: add `dataloader_idx=0` to its arguments."
            )
        if not several and index is not None and index.default is index.empty and name.endswith("_step"):
            raise RuntimeError(
                f"There is one {stage} loader, and `{owner}` requires an argument `dataloader_idx`."
                f" To fix: give it a default, `dataloader_idx=0`."
            )
