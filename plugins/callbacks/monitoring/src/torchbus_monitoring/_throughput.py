"""How fast it goes: rates over a moving window of batches. It knows of no trainer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Throughput"]


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was done in total by one moment. ``lengths`` and ``flops`` are ``None`` where nobody counts them."""

    time: float
    batches: int
    samples: int
    lengths: int | None
    flops: int | None


class Throughput:
    """Batches, samples, items and floating point operations per second, over the last ``window_size`` batches.

    Args:
        available_flops: operations per second that one device can do at best; gives ``mfu``, the share that is used.
        world_size: how many devices work alike; with more than one, figures of all of them are given as well.
        window_size: batches from whose first to whose last rates are taken; there are none before it is full.
        separator: what stands between ``device`` and the name of a figure.

    Raises:
        ValueError: the window is shorter than 2 batches, or another number is not positive.
    """

    def __init__(
        self,
        available_flops: float | None = None,
        world_size: int = 1,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        if window_size < 2:
            raise ValueError(f"Throughput(window_size={window_size}): a rate needs 2 batches or more.")
        if world_size < 1 or (available_flops is not None and available_flops <= 0):
            raise ValueError(f"Throughput({available_flops=}, {world_size=}): both must be positive.")
        self.available_flops = available_flops
        self.world_size = world_size
        self.separator = separator
        self._marks: deque[_Mark] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """Note what has been done until now, all of it counted from the start.

        Args:
            time: seconds.
            batches: batches.
            samples: samples.
            lengths: items of the samples, such as tokens.
            flops: floating point operations of one device.

        Raises:
            ValueError: a figure has fallen.
        """
        if self._marks:
            last = self._marks[-1]
            if time < last.time or batches < last.batches or samples < last.samples:
                raise ValueError(
                    f"Throughput.update: totals never fall, and {time=}, {batches=}, {samples=} come after {last}."
                )
        self._marks.append(_Mark(time, batches, samples, lengths, flops))

    def compute(self) -> dict[str, float]:
        """Totals, and rates once the window is full."""
        if not self._marks:
            return {}
        last = self._marks[-1]
        figures: dict[str, float] = {"time": last.time, "batches": last.batches, "samples": last.samples}
        if last.lengths is not None:
            figures["lengths"] = last.lengths
        if len(self._marks) == self._marks.maxlen:
            figures.update(self._rates(self._marks[0], last))
        return figures

    def _rates(self, first: _Mark, last: _Mark) -> dict[str, float]:
        seconds = last.time - first.time
        if seconds <= 0:  # a clock too coarse for batches this short
            return {}
        rates = {
            "batches_per_sec": (last.batches - first.batches) / seconds,
            "samples_per_sec": (last.samples - first.samples) / seconds,
        }
        if last.lengths is not None and first.lengths is not None:
            rates["items_per_sec"] = (last.lengths - first.lengths) / seconds
        if last.flops is not None and first.flops is not None:
            rates["flops_per_sec"] = (last.flops - first.flops) / seconds
        figures = {f"device{self.separator}{name}": value for name, value in rates.items()}
        if self.world_size > 1:
            figures.update({name: value * self.world_size for name, value in rates.items()})
        if self.available_flops and "flops_per_sec" in rates:
            figures[f"device{self.separator}mfu"] = rates["flops_per_sec"] / self.available_flops
        return figures

    def reset(self) -> None:
        """Forget everything."""
        self._marks.clear()
