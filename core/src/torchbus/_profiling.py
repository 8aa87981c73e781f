"""What a profiler hears of a run: every call of a hook, and the loops' own actions, under Lightning's names.

The loops ask for measured functions when they bind what a run needs, and get the functions themselves back where nobody
profiles: a run without a profiler does not pay for those that could be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from torchbus_hookspecs import Callback, Logger, PassThroughProfiler, Profiler
from torchbus_hookspecs.profiler import Action, Watch

from ._bus import DEFAULTS_NAME
from ._discovery import STANDARD_PROFILERS
from ._errors import MisconfigurationException, PluginNotFoundError
from ._plugins import Enabler
from ._record import Plugin

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["begin_profile", "choose_profiler", "end_profile", "is_profiled", "strategy_action", "timed", "timed_items"]

P = ParamSpec("P")
T = TypeVar("T")

STEPS = frozenset({"training_step", "validation_step", "test_step", "predict_step"})


# ---- which profiler ---------------------------------------------------------------------------------------------------


def choose_profiler(wanted: Any, enabler: Enabler) -> Profiler:
    """The profiler that was asked for: by name (in upper or lower case), as ``{name: settings}`` or as an instance.

    Raises:
        MisconfigurationException: nobody offers it, or it is no profiler.
    """
    if wanted is None:
        return PassThroughProfiler()
    if isinstance(wanted, str) and ":" not in wanted:
        wanted = wanted.lower()
    try:
        enabled = enabler.enable(wanted, kind="profilers")
    except PluginNotFoundError as error:
        known = sorted({one.name for one in enabler.offers if one.kind == "profilers"} | set(STANDARD_PROFILERS))
        raise PluginNotFoundError(
            "When passing string value for the `profiler` parameter of `Trainer`, it can only be one of"
            f" {known}. {error}",
            plugin=error.plugin,
        ) from None
    objects = [one.object for one in enabled if one.object is not None]  # without one, faults in settings come later
    if len(objects) > 1 or not all(isinstance(one, Profiler) for one in objects):
        raise MisconfigurationException(
            f"Trainer(profiler={wanted!r}): it takes one profiler. To fix: pass an instance of a Profiler, its plugin name,"
            " or {name: settings}."
        )
    return objects[0] if objects else PassThroughProfiler()


def is_profiled(trainer: Trainer) -> bool:
    """Whether there is a profiler that measures something."""
    return not isinstance(trainer.profiler, PassThroughProfiler)


# ---- a run ------------------------------------------------------------------------------------------------------------


def begin_profile(trainer: Trainer) -> None:
    """A run begins, its module and datamodule on the bus: from here on, every call of a hook is measured."""
    if not is_profiled(trainer):
        return
    profiler = trainer.profiler
    profiler.lightning_module = trainer.lightning_module
    rank = trainer.local_rank if trainer.world_size > 1 else None
    profiler.setup(stage=_stage(trainer), local_rank=rank, log_dir=trainer.log_dir)
    trainer.bus.watch(partial(_watch, trainer))


def end_profile(trainer: Trainer) -> None:
    """The run is over, well or not: report."""
    if not (is_profiled(trainer) and trainer.bus.is_watched):
        return
    trainer.bus.watch(None)
    trainer.profiler.describe()
    trainer.profiler.teardown(stage=_stage(trainer))
    trainer.profiler.lightning_module = None


def _stage(trainer: Trainer) -> str:
    return str(trainer.state.fn.value if trainer.state.fn else "")


def _watch(trainer: Trainer, plugin: Plugin, hook: str) -> Watch | None:
    return trainer.profiler.watch(Action(_name(trainer, plugin, hook), plugin.name, plugin.origin, hook))


# ---- names ------------------------------------------------------------------------------------------------------------


def _name(trainer: Trainer, plugin: Plugin, hook: str) -> str:
    """The name of a plugin's hook as Lightning's profilers have it, in square brackets what kind of thing it belongs to."""
    if hook in STEPS:
        return strategy_action(trainer, hook)
    one = plugin.object
    if plugin.name in ("lightning_module", DEFAULTS_NAME):  # in Lightning, the defaults are the module's own methods
        owner = f"[LightningModule]{type(trainer.lightning_module).__name__}"
    elif plugin.name == "datamodule":
        owner = f"[LightningDataModule]{type(one).__name__}"
    elif isinstance(one, Callback):
        owner = f"[Callback]{one.state_key}"
    else:
        owner = f"[{'Logger' if isinstance(one, Logger) else 'Plugin'}]{plugin.name}"
    return f"{owner}.{hook}"


def strategy_action(trainer: Trainer, what: str) -> str:
    """The name of something that Lightning's strategies do: the steps, the backward pass, moving batches."""
    return f"[Strategy]{type(trainer.strategy).__name__}.{what}"


# ---- what the loops do ------------------------------------------------------------------------------------------------


def timed(trainer: Trainer, name: str, function: Callable[P, T]) -> Callable[P, T]:
    """The function itself, or one that measures its calls as an action of that name."""
    watch = trainer.profiler.watch(Action(name)) if is_profiled(trainer) else None
    if watch is None:
        return function

    def measured(*args: P.args, **kwargs: P.kwargs) -> T:
        watch.begin()
        try:
            return function(*args, **kwargs)
        finally:
            watch.end()

    return wraps(function)(measured) if hasattr(function, "__name__") else measured


def timed_items(trainer: Trainer, name: str, items: Iterator[T]) -> Iterator[T]:
    """The iterator itself, or one that measures how long each item is waited for."""
    fetch = timed(trainer, name, next)
    if fetch is next:
        return items
    return _fetched(fetch, items)


def _fetched(fetch: Callable[..., T], items: Iterator[T]) -> Iterator[T]:
    while (item := fetch(items, _NOTHING)) is not _NOTHING:
        yield item


_NOTHING: Any = object()
