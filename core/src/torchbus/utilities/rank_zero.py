"""Things that only one of several processes should do: print, warn, write."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from torch import distributed

__all__ = ["rank_zero_debug", "rank_zero_deprecation", "rank_zero_info", "rank_zero_only", "rank_zero_warn"]

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("torchbus")

VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class _RankZeroOnly:
    """A decorator: the function is called on rank zero, and elsewhere nothing happens."""

    def __init__(self) -> None:
        self._rank: int | None = None

    @property
    def rank(self) -> int:
        """The number of this process among all. It may be set; ``None``: find it out again."""
        if self._rank is not None:
            return self._rank
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank()
        return next((int(os.environ[name]) for name in VARIABLES if name in os.environ), 0)

    @rank.setter
    def rank(self, rank: int | None) -> None:
        self._rank = rank

    def __call__(self, function: F, default: Any = None) -> F:
        """``function``, which returns ``default`` on other ranks."""

        @wraps(function)
        def on_rank_zero(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs) if self.rank == 0 else default

        return on_rank_zero  # type: ignore[return-value]  # it has the signature that wraps copies


rank_zero_only = _RankZeroOnly()


@rank_zero_only
def rank_zero_info(*args: Any, **kwargs: Any) -> None:
    """``logging.Logger.info``, on rank zero."""
    _log.info(*args, **{"stacklevel": 3, **kwargs})


@rank_zero_only
def rank_zero_debug(*args: Any, **kwargs: Any) -> None:
    """``logging.Logger.debug``, on rank zero."""
    _log.debug(*args, **{"stacklevel": 3, **kwargs})


@rank_zero_only
def rank_zero_warn(
    message: str | Warning, stacklevel: int = 3, category: type[Warning] = UserWarning, **kwargs: Any
) -> None:
    """``warnings.warn``, on rank zero; by default it points at the caller."""
    warnings.warn(message, category=category, stacklevel=stacklevel, **kwargs)


@rank_zero_only
def rank_zero_deprecation(message: str | Warning, stacklevel: int = 4, **kwargs: Any) -> None:
    """Warn of something that will go, on rank zero."""
    rank_zero_warn(message, stacklevel=stacklevel + 1, **{"category": DeprecationWarning, **kwargs})
