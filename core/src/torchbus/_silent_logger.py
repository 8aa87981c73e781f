"""The logger of a ``fast_dev_run``: it takes everything and keeps nothing."""

from __future__ import annotations

from typing import Any

from torchbus_hookspecs import Logger

__all__ = ["SilentLogger"]


class Silence:
    """An experiment of any library: each method may be called, items may be set and read, and nothing comes of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever copies or prints asks for what Python itself defines
            raise AttributeError(name)
        return _ignore

    def __getitem__(self, key: Any) -> Silence:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep nothing."""


class SilentLogger(Silence, Logger):
    """Stands in for the loggers of a dry run, so that a module that calls its logger by itself runs too."""

    def __init__(self) -> None:
        self.experiment = Silence()

    @property
    def name(self) -> str:
        """No experiment."""
        return ""

    @property
    def version(self) -> str:
        """No version."""
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep nothing."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keep nothing."""


def _ignore(*args: Any, **kwargs: Any) -> None:
    """Nothing happens."""
