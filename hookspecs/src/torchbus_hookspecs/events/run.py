"""Events of run: one for each hook of ``specs/run.py``."""

from __future__ import annotations

from ._base import RunEvent, event

__all__ = [
    "ConfigureCallbacks",
    "PrepareData",
    "Setup",
    "ConfigureShardedModel",
    "ConfigureModel",
    "ConfigureOptimizers",
    "FitStart",
    "FitEnd",
    "Teardown",
    "ExceptionRaised",
]


@event("configure_callbacks")
class ConfigureCallbacks(RunEvent):
    """``configure_callbacks`` fires."""


@event("prepare_data")
class PrepareData(RunEvent):
    """``prepare_data`` fires."""


@event("setup")
class Setup(RunEvent):
    """``setup`` fires."""

    stage: str


@event("configure_sharded_model")
class ConfigureShardedModel(RunEvent):
    """``configure_sharded_model`` fires."""


@event("configure_model")
class ConfigureModel(RunEvent):
    """``configure_model`` fires."""


@event("configure_optimizers")
class ConfigureOptimizers(RunEvent):
    """``configure_optimizers`` fires."""


@event("on_fit_start")
class FitStart(RunEvent):
    """``on_fit_start`` fires."""


@event("on_fit_end")
class FitEnd(RunEvent):
    """``on_fit_end`` fires."""


@event("teardown")
class Teardown(RunEvent):
    """``teardown`` fires."""

    stage: str


@event("on_exception")
class ExceptionRaised(RunEvent):
    """``on_exception`` fires."""

    exception: BaseException
