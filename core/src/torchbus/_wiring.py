"""The trainer's plugins: which are used, in which order, and their registration on the bus."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Callback, Checkpoint, Logger, Profiler
from torchbus_hookspecs.progress_bar import ProgressBar

from . import _defaults
from ._adapters import Shape, hookimpl_options
from ._bus import DEFAULTS_NAME, Bus
from ._datamodule import DATAMODULE_SHAPE
from ._discovery import DEFAULTS
from ._errors import MisconfigurationException, TorchbusError
from ._module import MODULE_SHAPE
from ._plugins import Enabled, Enabler, as_list, free_name, instance_name

if TYPE_CHECKING:
    from ._trainer import Trainer

__all__ = ["Wiring"]


class Wiring:
    """Brings what was enabled onto the bus, and keeps the bus in step with the trainer's lists.

    Attributes:
        callbacks: callbacks in calling order; checkpoints are last.
        loggers: loggers in calling order.
        others: modules and objects of hookimpls.
    """

    def __init__(self, trainer: Trainer, bus: Bus, enabler: Enabler) -> None:
        self.trainer = trainer
        self.bus = bus
        self.enabler = enabler
        self.callbacks: list[Callback] = []
        self.loggers: list[Logger] = []
        self.others: list[Any] = []
        self._registered: list[Any] = []  # so far; the rest is on the bus by somebody else
        bus.register(_defaults, DEFAULTS_NAME, is_user_code=True)

    # ---- what is used ------------------------------------------------------------------------------------------------

    def enable_all(
        self,
        callbacks: Any,
        plugins: Any,
        logger: Any,
        options: dict[str, bool | None],
        without: frozenset[str] = frozenset(),
    ) -> None:
        """Enable what the script, the configuration file and the defaults ask for.

        Args:
            callbacks, plugins, logger: the trainer's arguments.
            options: for ``"checkpoint"``, ``"progress_bar"`` and ``"summary"``: asked for, refused, or unsaid.
            without: those of which no default is added.

        Raises:
            MisconfigurationException: settings are wrong, or a default is refused and given at once.
        """
        self.decide(callbacks, plugins, logger, options, without)
        self.enabler.check_configured_names()
        self._refuse_twins()
        self.synchronise()

    def decide(
        self, callbacks: Any, plugins: Any, logger: Any, options: dict[str, bool | None], without: frozenset[str]
    ) -> None:
        """Who takes part, as the table "Who decides" of docs/plugins.md has it; arguments as for ``enable_all``."""
        enabler = self.enabler
        requests = [*as_list(callbacks), *as_list(plugins)]
        enabler.read_switches(
            [*requests, *enabler.config.enabled, *as_list(logger if not isinstance(logger, bool) else None)]
        )
        built = enabler.enable(callbacks, kind="callbacks") + enabler.enable(plugins)
        source = f"{enabler.config.path}"
        for name in enabler.config.enabled:
            if name not in enabler.enabled:
                try:
                    built += enabler.enable(name, source)
                except TorchbusError as error:
                    error.add_note(f"Read from: {source}, `enable`.")
                    raise
        for one in built:
            self._place(one)
        self._add_loggers(logger)
        for one in enabler.enable_run_options():
            if one not in self.taking_part:
                self._place(one)
        if (logger is None or logger is True) and not self.loggers:
            for one in enabler.enable_default(DEFAULTS["logger"], explicit=logger is True):
                self._place(one)
        enabler.raise_faults()
        for role in ("checkpoint", "progress_bar", "summary"):
            self._add_default(role, options[role], role not in without)
        self._add_observers()

    @property
    def taking_part(self) -> list[Enabled]:
        """Those that were enabled and placed: ``logger=False`` leaves out loggers that were enabled."""
        placed = {id(one) for one in (*self.callbacks, *self.loggers, *self.others)}
        return [one for one in self.enabler.enabled.values() if id(one.object) in placed]

    def having_role(self, role: str) -> list[Enabled]:
        """Who has a role of ``DEFAULTS``, so that its default stays out."""
        if role == "observer":
            return [one for one in self.taking_part if one.name in DEFAULTS[role]]
        return [
            one
            for one in self.taking_part
            if (isinstance(one.object, Logger) if role == "logger" else _role(one.object) == role)
        ]

    def _place(self, one: Enabled) -> None:
        if isinstance(one.object, Callback):
            self.callbacks.append(one.object)
        elif isinstance(one.object, Logger):
            self.loggers.append(one.object)
        elif isinstance(one.object, Profiler):
            raise MisconfigurationException(f"`{one.name}` is a profiler. To fix: pass it as Trainer(profiler=...).")
        elif one.object is not None:  # None: its settings are at fault, told later
            self.others.append(one.object)

    def _add_loggers(self, logger: Any) -> None:
        if logger is False:
            self.loggers.clear()
        if logger is None or isinstance(logger, bool):
            return
        for one in self.enabler.enable(logger, kind="loggers"):
            if one.object is not None and not isinstance(one.object, Logger):
                raise MisconfigurationException(
                    f"Trainer(logger={one.object!r}): it is no logger. To fix: pass an instance of a Logger, its plugin"
                    " name, a list of these, or False."
                )
            self._place(one)

    def _add_default(self, role: str, wanted: bool | None, has_default: bool) -> None:
        """Add the default of a role where nobody fills it, and refuse one that fills a role which is switched off."""
        found = [one for one in self.callbacks if _role(one) == role]
        asked = [self.enabler.enabled[name].object for name in self.enabler.run.plugins if name in self.enabler.enabled]
        refused = [one for one in found if not any(one is other for other in asked)]
        if wanted is False and refused and role != "summary":
            option = {"checkpoint": "enable_checkpointing", "progress_bar": "enable_progress_bar"}[role]
            raise MisconfigurationException(
                f"Trainer was given `{option}=False` but found `{type(refused[0]).__name__}` among its callbacks. To fix:"
                " remove one of them."
            )
        if role == "progress_bar" and len(found) > 1:
            names = ", ".join(type(one).__name__ for one in found)
            raise MisconfigurationException(
                f"You added multiple progress bar callbacks, and a trainer has one: {names}."
            )
        if wanted is not False and not found and has_default:
            for one in self.enabler.enable_default(DEFAULTS[role], explicit=wanted is True):
                self._place(one)

    def _add_observers(self) -> None:
        """Who looks on in every run but a bare one, unless switched off, or enabled with settings of one's own."""
        names = DEFAULTS["observer"]
        if not self.trainer.barebones and not self.enabler.enabled.keys() & set(names):
            for one in self.enabler.enable_default(names, explicit=False):
                self._place(one)

    def _refuse_twins(self) -> None:
        """Two callbacks whose states would be kept under one key."""
        keys: dict[str, Callback] = {}
        for one in self.callbacks:
            if type(one).state_dict is Callback.state_dict:
                continue
            name = next(
                (each.name for each in self.enabler.enabled.values() if each.object is one and each.is_named), None
            )
            key = name or one.state_key
            if key in keys:
                raise RuntimeError(
                    f"Two callbacks keep their state under one key, {key!r}: {type(keys[key]).__name__} and"
                    f" {type(one).__name__}. To fix: name them, as in plugins={{'first': {{'plugin': ...}}}}, or give"
                    " their class a `state_key` that tells them apart."
                )
            keys[key] = one

    # ---- on the bus --------------------------------------------------------------------------------------------------

    def synchronise(self) -> None:
        """Register what is new in the lists, unregister what left them, and set the calling order."""
        bus, trainer = self.bus, self.trainer
        self.callbacks.sort(key=lambda one: isinstance(one, Checkpoint))  # stable: the rest keeps its order
        wanted = [*self.callbacks, *self.others, *self.loggers, *_strategy_plugins(trainer)]
        wanted_ids = {id(one) for one in wanted}
        foreign = self._foreign()
        for name, plugin in bus.plugins.items():
            if not plugin.is_user_code and id(plugin.object) not in wanted_ids and name not in foreign:
                bus.unregister(name)
        registered = {id(plugin.object) for plugin in bus.plugins.values()}
        quarantined = {id(plugin.object) for plugin in bus.quarantined}
        for one in wanted:
            if id(one) not in registered and id(one) not in quarantined:
                self._register(one)
        for one in self.callbacks:
            one.__dict__["_pl_module"] = trainer.lightning_module
        order = ["datamodule", *(bus.name_of(one) or "" for one in wanted), "lightning_module", DEFAULTS_NAME]
        bus.arrange(order)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Inside, there are no callbacks, loggers and other plugins; what is on the bus by itself stays there."""
        plugins = self.callbacks, self.others, self.loggers
        self.callbacks, self.others, self.loggers = [], [], []
        self.synchronise()
        try:
            yield
        finally:
            self.callbacks, self.others, self.loggers = plugins
            self.synchronise()

    def _foreign(self) -> set[str]:
        """Plugins that somebody registered on the bus directly."""
        known = {id(one) for one in self._registered}
        return {name for name, plugin in self.bus.plugins.items() if id(plugin.object) not in known}

    def _register(self, one: Any) -> None:
        enabled = next((each for each in self.enabler.enabled.values() if each.object is one), None)
        if enabled is None:
            enabled = Enabled(free_name(instance_name(one), self.bus.plugins), one)
        self.bus.register(
            one, enabled.name, policy=enabled.policy, origin=enabled.origin, is_named=enabled.is_named,
        )  # fmt: skip
        self._registered.append(one)

    def attach(self, module: Any, datamodule: Any) -> None:
        """Put the run's module and datamodule in the place of the last run's."""
        for name in ("lightning_module", "datamodule"):
            if name in self.bus.plugins:
                self.bus.unregister(name)
        shape = MODULE_SHAPE
        if datamodule is not None:
            self.bus.register(datamodule, "datamodule", shape=DATAMODULE_SHAPE, is_user_code=True)
            # a datamodule is where loaders come from; a transfer hook of it stands in for the module's
            taken = _LOADERS | _TRANSFER.intersection(self.bus.hooks_of("datamodule"))
            shape = Shape(shape.base, tuple(h for h in shape.hooks if h not in taken), shape.leading, final=shape.final)
        self.bus.register(module, "lightning_module", shape=shape, is_user_code=True)
        self.synchronise()

    def detach(self) -> None:
        """The run is over: callbacks log nowhere now."""
        for one in self.callbacks:
            one.__dict__.pop("_pl_module", None)

    def attach_module_callbacks(self) -> None:
        """Add the module's own callbacks; one of a type replaces the trainer's of that type, or of a parent type."""
        from torchbus_hookspecs.events import ConfigureCallbacks

        given = self.bus.emitter(ConfigureCallbacks)(self.trainer, self.trainer.lightning_module)
        own = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        if not own:
            return
        for one in own:
            exact = [each for each in self.callbacks if type(each) is type(one)]
            parents = [each for each in self.callbacks if type(each) is not Callback and isinstance(one, type(each))]
            for each in exact or parents:
                if each not in own:
                    self.callbacks.remove(each)
        self.callbacks.extend(one for one in own if one not in self.callbacks)
        self.synchronise()


_LOADERS = {"train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"}
_TRANSFER = {"on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"}


def _role(callback: object) -> str:
    if isinstance(callback, Checkpoint):
        return "checkpoint"
    if isinstance(callback, ProgressBar):
        return "progress_bar"
    return "summary" if any(one.__name__ == "ModelSummary" for one in type(callback).__mro__) else ""


def _strategy_plugins(trainer: Trainer) -> list[Any]:
    """The strategy and the accelerator, where they have hookimpls."""
    found = []
    for one in (getattr(trainer, "strategy", None), getattr(trainer, "accelerator", None)):
        members = inspect.getmembers_static(type(one)) if one is not None else []
        if any(hookimpl_options(member) is not None for _, member in members):
            found.append(one)
    return found
