"""Which events are written: those of the classes that were asked for, and of every n-th batch."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator
from torchbus_hookspecs import events
from torchbus_hookspecs.events import EVENTS, Event, LogMetrics, LogRecord, PredictEpochEnd

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["BATCH_EDGES", "EventName", "NthBatch", "classes_of", "not_caused_here"]

CLASSES: dict[str, type[Event]] = {one.__name__: one for one in EVENTS.values()}


def _ending(*words: str) -> frozenset[type[Event]]:
    return frozenset(one for name, one in CLASSES.items() if name.endswith(words))


BATCH_STARTS, BATCH_ENDS, EPOCH_EDGES = _ending("BatchStart"), _ending("BatchEnd"), _ending("EpochStart", "EpochEnd")
BATCH_EDGES = BATCH_STARTS | BATCH_ENDS | EPOCH_EDGES
OF_BATCHES = BATCH_STARTS | BATCH_ENDS | {
    CLASSES[name]
    for name in (
        *("BeforeBatchTransfer", "TransferBatchToDevice", "AfterBatchTransfer", "Forward"),
        *("TrainingStep", "ValidationStep", "TestStep", "PredictStep"),
        *events.optimization.__all__,
    )
}  # fmt: skip
"""What happens in, or on the way to, each batch."""


# ---- by class ---------------------------------------------------------------------------------------------------------


def _known(name: str) -> str:
    if name not in CLASSES:
        near = get_close_matches(name, CLASSES, n=1, cutoff=0.0)[0]
        raise ValueError(f"it should be the name of an event's class, and the nearest is `{near}`")
    return name


EventName = Annotated[str, AfterValidator(_known)]
"""The name of an event's class, such as ``"TrainBatchEnd"``."""


def classes_of(names: tuple[str, ...]) -> frozenset[type[Event]]:
    """The classes of these names; of none: all."""
    return frozenset(CLASSES[name] for name in names or CLASSES)


def not_caused_here(trainer: Trainer, wanted: frozenset[type[Event]]) -> frozenset[type[Event]]:
    """Without those that would happen only because they are heard, and cost more than the hearing.

    A trainer reduces records of metrics if there is a logger or a listener, and keeps the predictions of an epoch if there
    is a listener to its end, even if the script wants none of them back.
    """
    bus, caused = trainer.bus, set[type[Event]]()
    if not (trainer.loggers or bus.is_heard(LogRecord) or bus.is_heard(LogMetrics)):
        caused |= {LogRecord, LogMetrics}
    if not (trainer.predict_loop.return_predictions or bus.is_heard(PredictEpochEnd)):
        caused.add(PredictEpochEnd)
    return wanted - caused


# ---- by batch ---------------------------------------------------------------------------------------------------------


class NthBatch:
    """Lets events of every n-th batch of an epoch through, from the first on, and all that are not of batches."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._batch: dict[str, int] = {}  # of each stage: the batch under way, or to come

    def passes(self, event: Event, stage: str) -> bool:
        """Whether an event is let through; it must be told of all ``BATCH_EDGES``."""
        kind = type(event)
        if kind in EPOCH_EDGES:
            self._batch[stage] = 0
        if kind not in OF_BATCHES:
            return True
        if kind in BATCH_STARTS:
            self._batch[stage] = event.batch_idx  # type: ignore[attr-defined]  # all of these have it
        passes = self._batch.get(stage, 0) % self._n == 0
        if kind in BATCH_ENDS:  # what comes next, such as its transfer, is of the next batch
            self._batch[stage] = event.batch_idx + 1  # type: ignore[attr-defined]  # all of these have it
        return passes
