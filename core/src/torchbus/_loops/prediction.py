"""The loop of prediction."""

from __future__ import annotations

import warnings
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import events

from .._data.indices import drawn_indices
from .._data.length import limited_length, sized_length
from .._data.source import combine, request_loader
from .._profiling import timed_items
from .evaluation import check_index_argument, gradients_off, module_modes
from .feed import make_transfer

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["PredictionLoop"]


class PredictionLoop:
    """Runs ``predict_step`` over all loaders and keeps what it returns.

    Attributes:
        max_batches: batches to run, of each loader.
        return_predictions: whether predictions are kept and returned.
        predictions: those of the run under way (or the last one), a list for each loader.
        track_indices: whether the coming run notes which samples each batch holds; a plugin sets it in ``setup``.
        current_batch_indices: the numbers of the samples in the batch under way; empty where the loader does not tell.
        batch_indices: the same for each loader and batch, kept as long as predictions are.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.given: Any = None
        self.loader: Any = None
        self.max_batches: list[int | float] = []
        self.return_predictions = True
        self.predictions: list[list[Any]] = []
        self.batch_indices: list[list[Any]] = []
        self.track_indices = False
        self.current_batch_indices: list[Any] = []
        self._drawn: list[deque[list[Any]]] = []
        self.inference_mode = True
        self._has_warned = False

    @property
    def num_dataloaders(self) -> int:
        """How many loaders there are, once they are known."""
        return len(combine(self.loader, "sequential").flattened) if self.loader is not None else 0

    @property
    def epoch_batch_indices(self) -> list[list[Any]]:
        """Lightning's name of ``batch_indices``."""
        return self.batch_indices

    def run(self) -> list[Any] | None:
        """Predict; return a list of predictions, or a list of them for each of several loaders; ``None``: no batches.

        Raises:
            ValueError: the loaders are combined in another mode than one after the other.
        """
        trainer, module = self.trainer, self.trainer.lightning_module
        with gradients_off(self.inference_mode), ExitStack() as until_done:
            self.setup_data()
            if not sum(self.max_batches):
                return None
            combined = combine(self.loader, "sequential")
            combined.limits = self.max_batches
            self._bind()
            self.predictions = [[] for _ in combined.flattened]
            self.batch_indices = [[] for _ in combined.flattened]
            self._drawn, self.current_batch_indices, self._has_warned = [], [], False
            if self.track_indices:
                self.track_indices = False
                self._drawn = until_done.enter_context(drawn_indices(combined.flattened))
            batches = timed_items(trainer, "[_PredictionLoop].predict_next", combined.batches())
            several = len(combined.flattened) > 1
            trainer.bus.scope.several_loaders = several
            check_index_argument(module, "predict", several)
            with module_modes(module, restore=True):
                self.model_eval(trainer, module)
                self.start(trainer, module)
                self.epoch_start(trainer, module)
                for fetched, batch_idx, dataloader_idx in batches:
                    self.run_batch(fetched, batch_idx, dataloader_idx)
                    if trainer.received_sigterm:
                        trainer.when_preempted()
                self.epoch_end(trainer, module)
                self.end(trainer, module)
        if not self.return_predictions:
            return None
        return self.predictions[0] if len(self.predictions) == 1 else list(self.predictions)

    def run_batch(self, fetched: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Predict one batch."""
        trainer, module = self.trainer, self.trainer.lightning_module
        if self._drawn:
            queue = self._drawn[dataloader_idx]
            self.current_batch_indices = queue.popleft() if queue else []
        batch = self.transfer(fetched, dataloader_idx)
        self.batch_start(trainer, module, batch, batch_idx, dataloader_idx)
        with trainer.precision_plugin.forward_context():
            prediction = self.step(trainer, module, batch, batch_idx, dataloader_idx)
        if prediction is None and self.return_predictions:
            self._warn_of_none()
        self.batch_end(trainer, module, prediction, batch, batch_idx, dataloader_idx)
        if self.return_predictions or trainer.bus.is_heard(events.PredictEpochEnd):
            self.predictions[dataloader_idx].append(prediction)
            if self._drawn:
                self.batch_indices[dataloader_idx].append(self.current_batch_indices)

    def _warn_of_none(self) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        module = type(self.trainer.lightning_module).__name__
        warnings.warn(
            f"{module}.predict_step returned None, which is kept as the prediction. Was a `return` forgotten? If nothing"
            " is to be returned: trainer.predict(..., return_predictions=False).",
            UserWarning,
            stacklevel=2,
        )

    def _bind(self) -> None:
        trainer = self.trainer
        bus = trainer.bus
        self.transfer = make_transfer(trainer)
        self.model_eval = bus.emitter(events.PredictModelEval)
        self.start = bus.emitter(events.PredictStart)
        self.epoch_start = bus.emitter(events.PredictEpochStart)
        self.batch_start = bus.emitter(events.PredictBatchStart)
        self.step = bus.emitter(events.PredictStep)
        self.batch_end = bus.emitter(events.PredictBatchEnd)
        self.epoch_end = bus.emitter(events.PredictEpochEnd)
        self.end = bus.emitter(events.PredictEnd)
        trainer.metrics.results = None

    def setup_data(self) -> None:
        """Ask for the loaders, and work out how many of their batches to run."""
        trainer = self.trainer
        limit = trainer.limit_predict_batches
        self.max_batches = []
        if limit == 0:
            return
        self.loader = request_loader(trainer, "predict", self.given)
        combined = combine(self.loader, "sequential")
        if combined.mode != "sequential":
            raise ValueError(
                f"Trainer.predict() goes through loaders one after the other, and was given a CombinedLoader of mode"
                f" {combined.mode!r}. To fix: use mode 'sequential'."
            )
        self.max_batches = [
            limited_length(sized_length(one), limit, "limit_predict_batches") for one in combined.flattened
        ]
