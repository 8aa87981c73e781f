"""The next batch of a loop, on its device: fetched, and brought there through the hooks that may change it on the way.

Both stand here because each batch takes both, and a reader who follows a step should find them in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torchbus_hookspecs.events import AfterBatchTransfer, BeforeBatchTransfer, TransferBatchToDevice

from .._data.length import sized_length
from .._data.skipping import skip_one
from .._data.transfer import move_data_to_device
from .._profiling import is_profiled, strategy_action, timed
from .._rng import capture_rng, restore_rng

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Fetcher", "Transfer", "make_transfer"]

_NOTHING = object()


class Fetcher:
    """One pass over a loader after the other.

    A loader with a length is read when a batch is needed; one without is read one batch ahead, since only so can the last
    batch be known.

    Args:
        loader: any iterable.
        limit: how many batches to take at most; may be infinite.

    Attributes:
        fetched: batches given out in this pass.
        done: whether the batch given out last is the last of this pass.
    """

    def __init__(self, loader: Any, limit: int | float = float("inf")) -> None:
        self.loader = loader
        self.length = min(sized_length(loader), limit)
        self.limit = limit
        self.fetched = 0
        self.done = False
        self._reads_ahead = sized_length(loader) == float("inf")
        self._ahead: Any = _NOTHING
        self._again: Any = _NOTHING
        self._iterator: Iterator[Any] | None = None
        self._rng_at_start: dict[str, Any] | None = None

    def start(self) -> None:
        """Begin a pass."""
        self._rng_at_start = capture_rng()
        self._iterator = iter(self.loader)
        self.fetched = 0
        self._again = _NOTHING
        self.done = self.length == 0
        if self._reads_ahead:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.done or self._iterator is None:
            raise StopIteration
        if not self._reads_ahead:
            if self._again is _NOTHING:
                batch = next(self._iterator)
            else:
                batch, self._again = self._again, _NOTHING
            self.fetched += 1
            self.done = self.fetched >= self.length
            return batch
        batch = self._ahead
        self.fetched += 1
        if self.fetched >= self.limit:
            self._ahead, self.done = _NOTHING, True
        else:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING
        return batch

    # ---- position ----------------------------------------------------------------------------------------------------

    def position(self) -> dict[str, Any]:
        """Where this pass is: what ``resume`` needs to go on from here."""
        position = {"fetched": self.fetched, "rng_at_start": self._rng_at_start}
        restarts = getattr(self.loader, "restarts", None)
        return position if restarts is None else {**position, "restarts": restarts}

    def resume(self, position: dict[str, Any], fetched: int) -> None:
        """Begin a pass as an earlier one began, ``fetched`` batches further on.

        A stock ``DataLoader`` that loads in this process skips without loading; others load and drop what they skip.
        A batch that was read ahead of the interruption, or begun before it, is read again here: its random numbers were
        drawn before those of the steps to come.
        """
        if position.get("rng_at_start") is not None:
            restore_rng(position["rng_at_start"])
        self._rng_at_start = capture_rng()
        self.fetched = int(min(fetched, self.length))
        if "restarts" in position:
            self._iterator = self.loader.batches_from(self.fetched, position["restarts"])
        else:
            self._iterator = iter(self.loader)
            for _ in range(self.fetched):
                if not skip_one(self.loader, self._iterator):
                    break
        self.done = self.fetched >= self.length
        if not self._reads_ahead and not self.done and position.get("fetched", 0) > self.fetched:
            self._again = next(self._iterator)
        if self._reads_ahead and not self.done:
            self._ahead = next(self._iterator, _NOTHING)
            self.done = self._ahead is _NOTHING


def make_transfer(trainer: Trainer) -> Callable[[Any, int], Any]:
    """What brings the batches of one loop to the device: a function of the batch and its loader's number."""
    return timed(trainer, strategy_action(trainer, "batch_to_device"), Transfer(trainer))


class Transfer:
    """Calls the transfer hooks for the batches of one loop; where nobody implements them, moves batches itself."""

    def __init__(self, trainer: Trainer) -> None:
        bus = trainer.bus
        self.trainer = trainer
        self.module = trainer.lightning_module
        self.device = trainer.strategy.root_device
        self.precision = trainer.precision_plugin
        self.before = bus.emitter(BeforeBatchTransfer)
        self.transfer = bus.emitter(TransferBatchToDevice)
        self.after = bus.emitter(AfterBatchTransfer)
        self.changes_seen = -1
        self.is_plain = False
        self.is_on_cpu = self.device.type == "cpu"

    def __call__(self, batch: Any, dataloader_idx: int) -> Any:
        trainer, module = self.trainer, self.module
        if self.changes_seen != trainer.bus.changes:
            self.changes_seen = trainer.bus.changes
            untouched = trainer.bus.is_left_to(
                "torchbus", BeforeBatchTransfer, TransferBatchToDevice, AfterBatchTransfer
            )
            self.is_plain = untouched and self.precision.is_plain and not is_profiled(trainer)
        if self.is_plain:
            if self.is_on_cpu and type(batch) in (list, tuple):
                # the usual batch is where it should be: see that at a glance, without taking it apart
                for item in batch:
                    if type(item) is not Tensor or not item.is_cpu:
                        break
                else:
                    return batch
            return move_data_to_device(batch, self.device)
        if not self.precision.is_plain:
            batch = self.precision.convert_input(batch)
        batch = self.before(trainer, module, batch, dataloader_idx)
        batch = self.transfer(trainer, module, batch, self.device, dataloader_idx)
        return self.after(trainer, module, batch, dataloader_idx)
