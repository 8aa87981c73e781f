"""Events of setting a run up and taking it down: one for each hook of ``specs/run.py``."""

from __future__ import annotations

from ._base import RunEvent, event

__all__ = [
    "ConfigureCallbacks",
    "ConfigureModel",
    "ConfigureOptimizers",
    "ConfigureShardedModel",
    "ExceptionRaised",
    "FitEnd",
    "FitStart",
    "PrepareData",
    "Setup",
    "Teardown",
]


@event("configure_callbacks")
class ConfigureCallbacks(RunEvent):
    """The module is asked for its own callbacks: ``configure_callbacks`` fires."""


@event("prepare_data")
class PrepareData(RunEvent):
    """Data is to be fetched to disk: ``prepare_data`` fires."""


@event("setup")
class Setup(RunEvent):
    """An entry point begins: ``setup`` fires."""

    stage: str


@event("configure_sharded_model")
class ConfigureShardedModel(RunEvent):
    """The model is to be completed, under the hook's old name: ``configure_sharded_model`` fires."""


@event("configure_model")
class ConfigureModel(RunEvent):
    """The model is to be completed: ``configure_model`` fires."""


@event("configure_optimizers")
class ConfigureOptimizers(RunEvent):
    """A fit needs its optimizers: ``configure_optimizers`` fires."""


@event("on_fit_start")
class FitStart(RunEvent):
    """A fit begins: ``on_fit_start`` fires."""


@event("on_fit_end")
class FitEnd(RunEvent):
    """A fit ends: ``on_fit_end`` fires."""


@event("teardown")
class Teardown(RunEvent):
    """An entry point ends: ``teardown`` fires."""

    stage: str


@event("on_exception")
class ExceptionRaised(RunEvent):
    """The run is about to end with an exception: ``on_exception`` fires."""

    exception: BaseException
