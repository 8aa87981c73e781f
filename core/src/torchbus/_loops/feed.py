"""The next batch of a loop, on its device: fetched, and brought there through the hooks that may change it on the way.

Both stand here because each batch takes both, and a reader who follows a step should find them in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torchbus_hookspecs.events import AfterBatchTransfer, BeforeBatchTransfer, TransferBatchToDevice

from .._bus import DEFAULTS_NAME
from .._data.length import sized_length
from .._data.skipping import skip_one
from .._data.transfer import move_data_to_device
from .._profiling import is_profiled, strategy_action, timed
from .._rng import capture_rng, restore_rng

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Fetcher", "Transfer", "is_usual", "make_transfer"]

_NOTHING = object()


class Fetcher:
    """One pass over a loader after the other.

    A loader with a length is read when a batch is needed; one without is read one batch ahead, since only so can the last
    batch be known.

    Args:
        loader: any iterable.
        limit: how many batches to take at most; may be infinite.

    Attributes:
        batches: the rest of this pass.
        fetched: batches given out in this pass.
        done: whether the batch given out last is the last of this pass.
    """

    def __init__(self, loader: Any, limit: int | float = float("inf")) -> None:
        self.loader = loader
        self.length = min(sized_length(loader), limit)
        self.limit = limit
        self.fetched = 0
        self.done = False
        self.batches: Iterator[Any] = iter(())
        self._reads_ahead = sized_length(loader) == float("inf")
        self._rng_at_start: dict[str, Any] | None = None

    def start(self) -> None:
        """Begin a pass."""
        self._rng_at_start = capture_rng()
        self.fetched = 0
        self.done = self.length == 0
        self._read(iter(self.loader))

    def __iter__(self) -> Iterator[Any]:
        return self.batches

    def _read(self, batches: Iterator[Any]) -> None:
        """Give out ``batches`` from now on; the first of them is read at once where it takes that to know the last."""
        if self.done:
            self.batches = iter(())
        elif self._reads_ahead:
            first = next(batches, _NOTHING)
            self.done = first is _NOTHING
            self.batches = self._one_ahead(first, batches)
        else:
            self.batches = self._when_needed(batches)

    def _when_needed(self, batches: Iterator[Any]) -> Iterator[Any]:
        before_last = islice(batches, int(self.length) - 1 - self.fetched)
        for fetched, batch in enumerate(before_last, self.fetched + 1):
            self.fetched = fetched
            yield batch
        for batch in batches:
            self.fetched, self.done = self.fetched + 1, True
            yield batch
            return

    def _one_ahead(self, batch: Any, batches: Iterator[Any]) -> Iterator[Any]:
        while not self.done:
            self.fetched += 1
            following = next(batches, _NOTHING) if self.fetched < self.limit else _NOTHING
            self.done = following is _NOTHING
            yield batch
            batch = following

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
            batches = self.loader.batches_from(self.fetched, position["restarts"])
        else:
            batches = iter(self.loader)
            for _ in range(self.fetched):
                if not skip_one(self.loader, batches):
                    break
        self.done = self.fetched >= self.length
        if not self._reads_ahead and not self.done and position.get("fetched", 0) > self.fetched:
            batches = chain([next(batches)], batches)
        self._read(batches)


def make_transfer(trainer: Trainer) -> Callable[[Any, int], Any]:
    """What brings the batches of one loop to the device: a function of the batch and its loader's number."""
    return timed(trainer, strategy_action(trainer, "batch_to_device"), Transfer(trainer))


class Transfer:
    """Calls the transfer hooks for the batches of one loop; where nobody implements them, moves batches itself.

    Attributes:
        is_plain: whether nobody takes part in it.
        is_on_cpu: whether the device is the CPU, where the usual batch is already.
    """

    def __init__(self, trainer: Trainer) -> None:
        bus = trainer.bus
        self.trainer = trainer
        self.bus = bus
        self.module = trainer.lightning_module
        self.device = trainer.strategy.root_device
        self.precision = trainer.precision_plugin
        self.before = bus.emitter(BeforeBatchTransfer)
        self.transfer = bus.emitter(TransferBatchToDevice)
        self.after = bus.emitter(AfterBatchTransfer)
        self.is_on_cpu = self.device.type == "cpu"
        self.look()

    def look(self) -> None:
        """Decide what depends on who takes part."""
        self.changes_seen = self.bus.changes
        untouched = self.bus.is_left_to(DEFAULTS_NAME, BeforeBatchTransfer, TransferBatchToDevice, AfterBatchTransfer)
        self.is_plain = untouched and self.precision.is_plain and not is_profiled(self.trainer)

    def is_idle(self) -> bool:
        """Whether a batch of plain tensors on the CPU stays as it is."""
        if self.changes_seen != self.bus.changes:
            self.look()
        return self.is_plain and self.is_on_cpu

    def __call__(self, batch: Any, dataloader_idx: int) -> Any:
        if self.changes_seen != self.bus.changes:
            self.look()
        if self.is_plain:
            return batch if self.is_on_cpu and is_usual(batch) else move_data_to_device(batch, self.device)
        trainer, module = self.trainer, self.module
        if not self.precision.is_plain:
            batch = self.precision.convert_input(batch)
        batch = self.before(trainer, module, batch, dataloader_idx)
        batch = self.transfer(trainer, module, batch, self.device, dataloader_idx)
        return self.after(trainer, module, batch, dataloader_idx)


def is_usual(batch: Any) -> bool:
    """Whether a batch is a list of plain tensors on the CPU: seen at a glance, without taking it apart."""
    if batch.__class__ not in _LISTS:
        return False
    for item in batch:  # noqa: SIM110  # a generator for each batch would cost more than the look
        if item.__class__ is not Tensor or not item.is_cpu:
            return False
    return True


_LISTS = (list, tuple)
