"""Which batch size to try next, and which is the best: the search alone. It knows of no trainer."""

from __future__ import annotations

from typing import Literal

__all__ = ["Mode", "SizeSearch"]

Mode = Literal["power", "binsearch"]


class SizeSearch:
    """Looks for the largest size that fits: doubles while it does, then (``binsearch``) halves the gap.

        while (size := search.size) is not None:
            search.tell(fits(size))
        search.best

    Args:
        mode: ``"power"`` or ``"binsearch"``.
        first: the size to begin with.
        max_trials: how many sizes that fit are tried at most.
        max_size: the largest size to try.

    Attributes:
        size: what to try next; ``None`` when the search is over.
        best: the largest size that fitted; ``None`` if none did.
    """

    def __init__(self, mode: Mode, first: int, max_trials: int, max_size: int) -> None:
        self.mode: Mode = mode
        self.size: int | None = min(first, max_size)
        self.best: int | None = None
        self.max_size = max_size
        self._trials_left = max_trials
        self._too_large: int | None = None

    def limit(self, max_size: int) -> None:
        """No size above this can be tried: there is not more data."""
        self.max_size = min(self.max_size, max_size)
        if self.size is not None and self.size > self.max_size:
            self.size = self.max_size

    def tell(self, fits: bool) -> None:
        """Take in whether ``size`` fits."""
        assert self.size is not None  # the caller looked
        tried = self.size
        if fits:
            self.best = tried
            self._trials_left -= 1
        else:
            self._too_large = tried
        self.size = self._next(tried)

    def _next(self, tried: int) -> int | None:
        if self._trials_left <= 0:
            return None
        if self._too_large is None:
            bigger = min(tried * 2, self.max_size)
            return bigger if bigger > tried else None
        if self.best is not None and self.mode == "power":
            return None
        between = ((self.best or 0) + self._too_large) // 2
        return between if between > (self.best or 0) else None
