"""What a search for a learning rate found: rates, losses, a suggestion, a plot. It knows of no trainer."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any, Literal

import torch

__all__ = ["SMOOTHING", "Mode", "RateSearch"]

Mode = Literal["exponential", "linear"]
SMOOTHING = 0.98
"""How much of the mean of losses each new loss leaves."""


class RateSearch:
    """Rates tried one after the other, and the smoothed loss after each.

    Args:
        mode: whether rates grow by a factor or by an amount.
        lr_min: the first rate.
        lr_max: the last rate.
        num_training: how many there are.

    Attributes:
        results: ``{"lr": [...], "loss": [...]}``, as long as the search went.
    """

    def __init__(self, mode: Mode, lr_min: float, lr_max: float, num_training: int) -> None:
        self.mode: Mode = mode
        self.lr_min = lr_min
        self.lr_max = lr_max
        self.num_training = num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}
        self._mean = 0.0
        self._best = math.inf

    def __repr__(self) -> str:
        rates = self.results["lr"]
        tried = f"{len(rates)} rates from {rates[0]:.3g} to {rates[-1]:.3g}" if rates else "nothing yet"
        return f"{type(self).__name__}({tried}; see suggestion(), results and plot())"

    def rate(self, step: int) -> float:
        """The rate of a step, from 0."""
        if step == 0:
            return self.lr_min
        share = (step + 1) / self.num_training
        if self.mode == "linear":
            return self.lr_min + share * (self.lr_max - self.lr_min)
        return self.lr_min * math.pow(self.lr_max / self.lr_min, share)

    def add(self, step: int, loss: float, threshold: float | None) -> bool:
        """Take in the loss of a step; tell whether to go on.

        Args:
            step: which, from 0.
            loss: as it was.
            threshold: stop when the smoothed loss is that many times the best; ``None``: never.
        """
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        # one step more than were taken, as in Lightning: early losses weigh less
        smoothed = self._mean / (1 - SMOOTHING ** (step + 2))
        self.results["lr"].append(self.rate(step))
        self.results["loss"].append(smoothed)
        if not math.isfinite(loss):
            return False  # it does not come back from there
        if threshold is not None and step > 0 and smoothed > threshold * self._best:
            return False
        if step == 0 or smoothed < self._best:
            self._best = smoothed
        return True

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the loss falls fastest; ``None``, with a warning, if there are too few losses to tell.

        Args:
            skip_begin: first results to leave out.
            skip_end: last results to leave out.
        """
        index = self._steepest(skip_begin, skip_end)
        if index is None:
            warnings.warn(
                f"Of {len(self.results['loss'])} losses, fewer than two are left to suggest a learning rate by"
                f" (skip_begin={skip_begin}, skip_end={skip_end}). To fix: search longer (num_training_steps), or skip less.",
                UserWarning,
                stacklevel=2,
            )
            return None
        return self.results["lr"][index]

    def _steepest(self, skip_begin: int, skip_end: int) -> int | None:
        last = len(self.results["loss"]) - skip_end
        finite = [i for i in range(skip_begin, last) if math.isfinite(self.results["loss"][i])]
        if len(finite) < 2:
            return None
        losses = torch.tensor([self.results["loss"][i] for i in finite], dtype=torch.float64)
        rates = torch.tensor([self.results["lr"][i] for i in finite], dtype=torch.float64)
        slopes = torch.gradient(losses, spacing=(rates,))[0]
        return finite[int(slopes.argmin())]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """Draw loss over rate; return the figure. Needs matplotlib.

        Args:
            suggest: mark the suggestion.
            show: show it at once.
            ax: axes to draw on; default: a new figure.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        try:
            pyplot = importlib.import_module("matplotlib.pyplot")
        except ModuleNotFoundError as error:
            error.add_note("To fix: pip install 'torchbus-tuning[plot]'")
            raise
        if ax is None:
            figure, ax = pyplot.subplots()
        else:
            figure = ax.figure
        ax.plot(self.results["lr"], self.results["loss"])
        if self.mode == "exponential":
            ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss, smoothed")
        index = self._steepest(10, 1) if suggest else None
        if index is not None:
            rate = self.results["lr"][index]
            ax.plot(rate, self.results["loss"][index], "o", color="red", label=f"suggestion: {rate:.3g}")
            ax.legend()
        if show:
            pyplot.show()
        return figure
