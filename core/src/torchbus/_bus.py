"""The bus: plugins in, typed events out.

pluggy keeps the register: who is there, whether signatures fit, ``tryfirst`` and ``trylast``, wrappers, blocking. The bus
compiles what pluggy knows into flat functions (``_dispatch``) and hands those out as typed emitters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar

import pluggy
from torchbus_hookspecs import Callback, FailurePolicy, Logger, specs
from torchbus_hookspecs.events import EVENTS, Event, PluginFailed
from torchbus_hookspecs.markers import PROJECT, kind_of
from torchbus_hookspecs.profiler import Watch
from torchbus_hookspecs.specs import HOOKS

from ._adapters import Shape, adapt, hook_arguments, hookimpl_options, idle_hooks, target_of
from ._dispatch import Chain, Implementation, Scope, empty_function, install, install_later
from ._errors import PluginConflictError, PluginValidationError
from ._faults import Faults
from ._ordering import order_names
from ._record import Plugin
from ._subscriptions import Subscription, refuse_wrong_event, refuse_wrong_filters, refuse_wrong_handler
from ._verification import order_option, policy_of, verified_hookimpls

__all__ = ["CALLBACK_SHAPE", "DEFAULTS_NAME", "LOGGER_SHAPE", "Bus", "Subscription", "Watcher"]

P = ParamSpec("P")
E = TypeVar("E", bound=Event)

CALLBACK_SHAPE = Shape(Callback, tuple(name for name in HOOKS if hasattr(Callback, name)), misspelt=True)
LOGGER_SHAPE = Shape(Logger, tuple(name for name in HOOKS if hasattr(Logger, name)))

DEFAULTS_NAME = "torchbus"
"""The instance name of the built-in defaults."""

Watcher = Callable[[Plugin, str], Watch | None]
"""Tells who measures the calls of a plugin's implementation of a hook, if anybody does."""


@dataclass(slots=True, eq=False)
class _Hook:
    """One hook of one bus: the function that callers hold, and how it is made.

    Attributes:
        chain: what it is made of; ``None`` where that is not known (any longer).
        is_installed: whether the function is that chain.
    """

    name: str
    arguments: tuple[str, ...]
    function: FunctionType
    left_out: frozenset[str] = field(default_factory=frozenset)
    chain: Chain | None = None
    is_installed: bool = False


class Bus:
    """A register of plugins and the emitters that call them.

    Args:
        rank: global rank of this process; implementations for rank zero only are left out on others.

    Attributes:
        scope: which hook is running.
        changes: how often plugins, subscriptions, or what else loops decide by have changed: who has decided compares this.
    """

    def __init__(self, rank: int = 0) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(specs)
        self.rank = rank
        self.scope = Scope()
        self.changes = 0
        self._faults = Faults(self._switch_off, self._tell_of_failure)
        self._plugins: dict[str, Plugin] = {}
        self._order: list[str] = []
        self._order_of_last: list[str] = []  # of those with ``trylast``: pluggy calls the newest of them last
        self._hooks: dict[tuple[str, frozenset[str]], _Hook] = {}
        self._known: dict[tuple[str, str], Implementation] = {}  # by plugin and hook: made once
        self._subscriptions: list[Subscription[Any]] = []
        self._watcher: Watcher | None = None

    # ---- the register ------------------------------------------------------------------------------------------------

    def register(
        self,
        plugin: object,
        name: str | None = None,
        *,
        shape: Shape | None = None,
        policy: FailurePolicy | None = None,
        origin: str = "",
        is_user_code: bool = False,
        is_named: bool = False,
    ) -> str:
        """Add a plugin; as in pluggy, it runs before those registered earlier (see ``arrange``).

        Args:
            plugin: a ``Callback``, a ``Logger``, or any module or object with hookimpls.
            name: its instance name; default: that of its module or class.
            shape: how its class implements hooks; default: found out.
            policy: what happens when it raises; default: what its class says, else ``"raise"``.
            origin: its distribution and version, for messages.
            is_user_code: its failures are the script's own.
            is_named: the user chose the name.

        Returns:
            The instance name.

        Raises:
            PluginConflictError: the name or the plugin is registered already.
            PluginValidationError: its hooks do not fit the contract. Nothing of it stays registered.
        """
        name = name or _default_name(plugin)
        self._refuse_twins(plugin, name)
        shape = shape or _shape_of(plugin)
        implementations = self._verified(plugin, shape, name, origin)
        record = Plugin(
            name,
            plugin,
            policy or policy_of(plugin, name),
            origin,
            is_user_code,
            is_named,
            before=order_option(plugin, "before", name) if shape is CALLBACK_SHAPE else (),
            after=order_option(plugin, "after", name) if shape is CALLBACK_SHAPE else (),
        )
        self.manager.register(implementations, name)
        self._plugins[name] = record
        self._order.insert(0, name)
        self._order_of_last.append(name)
        hooks = self.hooks_of(name)
        self._forget(hooks)
        try:
            for hook in hooks:  # also those that nobody emits yet
                self._chain(hook)
        except BaseException:  # a circle in the order, say: leave nothing behind
            self.unregister(name)
            raise
        return name

    def _verified(self, plugin: object, shape: Shape | None, name: str, origin: str) -> object:
        """What pluggy registers for a plugin, once it is known to fit."""
        label = f"{name} ({origin})" if origin else name
        try:
            adapted: object = plugin
            if shape:
                adapted = adapt(plugin, shape, label, self.scope)
                for hook in idle_hooks(plugin, shape, label):
                    vars(adapted).pop(hook, None)
            return verified_hookimpls(adapted, label, must_hear=shape is None)
        except PluginValidationError as error:
            error.plugin = name
            raise

    def _refuse_twins(self, plugin: object, name: str) -> None:
        if name in self._plugins:
            raise PluginConflictError(
                f"There are two plugins named `{name}`. To fix: give one of them another instance name, as in"
                f' plugins={{"second_{name}": {{"plugin": "{name}", ...}}}}.',
                plugin=name,
            )
        if any(known.object is plugin for known in self._plugins.values()):
            raise PluginConflictError(
                f"The plugin `{name}` is registered already, as `{self.name_of(plugin)}`.", plugin=name
            )

    def unregister(self, plugin: object) -> None:
        """Remove a plugin, given by instance name or as the object itself.

        Raises:
            KeyError: it is not registered.
        """
        name = plugin if isinstance(plugin, str) else self.name_of(plugin)
        if name is None or name not in self._plugins:
            raise KeyError(f"no plugin {plugin!r} is registered; there are: {', '.join(self._plugins) or 'none'}")
        hooks = self.hooks_of(name)
        self.manager.unregister(name=name)
        del self._plugins[name]
        self._order.remove(name)
        self._order_of_last.remove(name)
        for hook in hooks:
            self._known.pop((name, hook), None)
        self._forget(hooks)

    def arrange(self, names: Iterable[str]) -> None:
        """Set the calling order of the named plugins; ``tryfirst``, ``trylast``, ``before`` and ``after`` still hold."""
        wanted = {name: None for name in names if name in self._plugins}
        order, last = (
            [*wanted, *(name for name in old if name not in wanted)] for old in (self._order, self._order_of_last)
        )
        if (order, last) != (self._order, self._order_of_last):
            self._order, self._order_of_last = order, last
            self._forget(None)

    @property
    def plugins(self) -> dict[str, Plugin]:
        """The registered plugins by instance name, in calling order."""
        return {name: self._plugins[name] for name in self._order}

    def record_of(self, plugin: object) -> Plugin | None:
        """What is known of a registered object."""
        for one in self._plugins.values():
            if one.object is plugin:
                return one
        return None

    def name_of(self, plugin: object) -> str | None:
        """The instance name of a registered object."""
        record = self.record_of(plugin)
        return record.name if record is not None else None

    # ---- emitting ----------------------------------------------------------------------------------------------------

    def emitter(self, event: Callable[P, Event]) -> Callable[P, Any]:
        """A function that emits ``event``: its parameters are those of the event's class, its result what the hook's
        specification says (a list for a broadcast, one value for a provider or a transform).

        It stays valid when plugins come and go. The event object is built only while somebody subscribes to it.
        """
        return self._function(event, frozenset())

    def emitter_without(self, plugin: str, event: Callable[P, Event]) -> Callable[P, Any]:
        """The same, as if the named plugin were not there: what a user's override reaches through ``super()``."""
        return self._function(event, frozenset({plugin}))

    def tell(self, event: Callable[P, Event], *values: P.args, **named: P.kwargs) -> None:
        """Have subscribers hear an event whose hook somebody calls in another way than through its emitter."""
        publish = self._chain(_event_class(event).hook_name).publish
        if publish is not None:
            publish(*values, **named)

    def emit(self, event: Event) -> Any:
        """Emit an event that exists already, such as one read from a recording."""
        values = (getattr(event, name) for name in hook_arguments(event.hook_name))
        return self.emitter(type(event))(*values)

    def subscribe(
        self,
        event: type[E],
        handler: Callable[[E], object],
        *,
        every: int = 1,
        once: int | None = None,
        before: int | None = None,
        after: int = 0,
    ) -> Subscription[E]:
        """Call ``handler`` with each ``event``, right before its hook's implementations run.

        Args:
            event: an event's class, or ``Event`` for all of them.
            handler: called with the event.
            every, once, before, after: hear only each n-th event, only the n-th, only those before or after the n-th.

        Raises:
            TypeError: the event is no event class, the handler cannot be called with it, or a filter is no whole number.
            ValueError: the filters would let nothing through.
        """
        refuse_wrong_event(event, "subscribe()")
        refuse_wrong_handler(event, handler)
        refuse_wrong_filters(event, every=every, once=once, before=before, after=after)
        subscription = Subscription(event, handler, self._unsubscribe, every, once, before, after)
        self._subscriptions.append(subscription)
        self._forget(_hooks_of_event(event))
        return subscription

    def _unsubscribe(self, subscription: Subscription[Any]) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._forget(_hooks_of_event(subscription.event))

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher | None, hooks: Iterable[str] | None = None) -> None:
        """Have the calls of implementations measured. The calls of those that are not measured stay as they are.

        Args:
            watcher: asked for each plugin and hook, now and when plugins change: who is told of its calls, or ``None``.
                Instead of the watcher, ``None`` ends the measuring.
            hooks: the hooks it is about; default: all.
        """
        self._watcher = watcher
        for hook in self._forget(hooks):
            self._install(hook)  # now, so that nobody measures it

    @property
    def is_watched(self) -> bool:
        """Whether calls are being measured."""
        return self._watcher is not None

    # ---- looking -----------------------------------------------------------------------------------------------------

    def is_heard(self, event: Callable[..., Event]) -> bool:
        """Whether anybody implements or subscribes to an event."""
        chain = self._chain(_event_class(event).hook_name)
        return bool(chain.implementations or chain.wrappers or chain.publish)

    def is_left_to(self, plugin: str, *events: Callable[..., Event]) -> bool:
        """Whether nobody but the named plugin implements any of these events, and nobody subscribes to them."""
        for event in events:
            chain = self._chain(_event_class(event).hook_name)
            if chain.publish or any(one.plugin != plugin for one in (*chain.wrappers, *chain.implementations)):
                return False
        return True

    def is_provided(self, hook: str) -> bool:
        """Whether anybody but the built-in default implements a hook: a plugin, or the user's module or datamodule."""
        chain = self._chain(hook)
        return any(one.plugin != DEFAULTS_NAME for one in (*chain.wrappers, *chain.implementations))

    def implementations(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        """Who implements a hook: instance name and function, in calling order (wrappers first)."""
        chain = self._chain(hook)
        return [(one.plugin, one.function) for one in (*chain.wrappers, *chain.implementations)]

    def hooks_of(self, name: str) -> list[str]:
        """The hooks that the plugin of that instance name implements."""
        callers = self.manager.get_hookcallers(self.manager.get_plugin(name)) or []
        return [caller.name for caller in callers]

    # ---- compiling ---------------------------------------------------------------------------------------------------

    def _function(self, event: Callable[..., Event], left_out: frozenset[str]) -> FunctionType:
        hook = self._hook(_event_class(event).hook_name, left_out)
        if not hook.is_installed:
            self._install(hook)
        return hook.function

    def _hook(self, name: str, left_out: frozenset[str]) -> _Hook:
        hook = self._hooks.get((name, left_out))
        if hook is None:
            arguments = hook_arguments(name)
            hook = self._hooks[name, left_out] = _Hook(name, arguments, empty_function(name, arguments), left_out)
        return hook

    def _forget(self, names: Iterable[str] | None) -> list[_Hook]:
        """What these hooks are made of has changed, or of all hooks: they are compiled when they are next called."""
        self.changes += 1
        wanted = None if names is None else set(names)
        changed = [hook for hook in self._hooks.values() if wanted is None or hook.name in wanted]
        for hook in changed:
            hook.chain = None
            if hook.is_installed:
                hook.is_installed = False
                install_later(hook.function, hook.name, hook.arguments, partial(self._install, hook))
        return changed

    def _install(self, hook: _Hook) -> None:
        chain = self._chain(hook.name, hook.left_out)
        if self._watcher is not None:
            chain = replace(
                chain,
                implementations=[self._watched(one, hook) for one in chain.implementations],
                wrappers=[self._watched(one, hook) for one in chain.wrappers],
            )
        install(hook.function, chain)
        hook.is_installed = True

    def _watched(self, one: Implementation, hook: _Hook) -> Implementation:
        plugin = self._plugins[one.plugin]
        # what a user's override reaches through super() is part of the override
        if self._watcher is None or (hook.left_out and plugin.is_user_code):
            return one
        return replace(one, watch=self._watcher(plugin, hook.name))

    def _chain(self, name: str, left_out: frozenset[str] = frozenset()) -> Chain:
        hook = self._hook(name, left_out)
        if hook.chain is None:
            hook.chain = self._made_chain(name, left_out)
        return hook.chain

    def _made_chain(self, name: str, left_out: frozenset[str]) -> Chain:
        caller: pluggy.HookCaller = getattr(self.manager.hook, name)
        listed = [
            one
            for one in reversed(caller.get_hookimpls())
            if one.plugin_name not in left_out and (self.rank == 0 or _options(one).get("ranks") != "zero")
        ]
        wrappers = [one for one in listed if one.hookwrapper or one.wrapper]
        others = [one for one in listed if not (one.hookwrapper or one.wrapper)]
        return Chain(
            name,
            hook_arguments(name),
            kind_of(HOOKS[name]),
            self.scope,
            self._implementations(name, others),
            self._implementations(name, wrappers),
            self._publisher(name) if not left_out else None,
        )

    def _implementations(self, hook: str, listed: Sequence[pluggy.HookImpl]) -> list[Implementation]:
        """In calling order, whatever order pluggy has them in."""
        implementations = {one.plugin_name: self._implementation(hook, one) for one in listed}
        groups = {one.plugin_name: _group(hook, one, implementations[one.plugin_name].final) for one in listed}
        middle, last = (
            {name: place for place, name in enumerate(order)} for order in (self._order, self._order_of_last)
        )
        names = sorted(groups, key=lambda name: (groups[name], (last if groups[name] == _LAST else middle)[name]))
        later: dict[str, set[str]] = {}
        for name in names:
            later.setdefault(name, set()).update(implementations[name].before)
            for earlier in implementations[name].after:
                later.setdefault(earlier, set()).add(name)
        return [implementations[name] for name in order_names(names, later)]

    def _implementation(self, hook: str, one: pluggy.HookImpl) -> Implementation:
        known = self._known.get((one.plugin_name, hook))
        if known is None:
            target, record, options = target_of(hook, one.function), self._plugins[one.plugin_name], _options(one)
            known = self._known[one.plugin_name, hook] = Implementation(
                one.plugin_name,
                target.function,
                target.positional,
                target.keywords,
                self.blamer(record, hook),
                wrapper="old" if one.hookwrapper else "new" if one.wrapper else "",
                final=target.final,
                before=(*record.before, *options.get("before", ())),
                after=(*record.after, *options.get("after", ())),
            )
        return known

    def _publisher(self, name: str) -> Callable[..., None] | None:
        event = EVENTS[name]
        handlers = [one for one in self._subscriptions if issubclass(event, one.event)]
        if not handlers:
            return None

        def publish(*values: Any, **named: Any) -> None:
            happened = event(*values, **named)
            for handler in handlers:
                handler(happened)

        return publish

    # ---- faults ------------------------------------------------------------------------------------------------------

    @property
    def quarantined(self) -> list[Plugin]:
        """Plugins that were unregistered for failing too often, in that order."""
        return self._faults.quarantined

    def blamer(self, plugin: Plugin, hook: str) -> Callable[[BaseException], bool]:
        """What is called with an exception out of ``plugin``'s part in ``hook``: whether the run goes on."""
        return self._faults.blamer(plugin, hook)

    def call_as(self, plugin: Plugin, hook: str, function: Callable[..., Any], *values: Any) -> Any:
        """Call a function as ``plugin``'s part in ``hook``; ``None`` where it fails and the run goes on."""
        try:
            return function(*values)
        except BaseException as error:
            if not self.blamer(plugin, hook)(error):
                raise
            return None

    def _switch_off(self, plugin: Plugin) -> bool:
        is_there = self._plugins.get(plugin.name) is plugin
        if is_there:
            self.unregister(plugin.name)
        return is_there

    def _tell_of_failure(self, plugin: str, hook: str, error: Exception, quarantined: bool) -> None:
        self.tell(PluginFailed, plugin, hook, error, quarantined)
        self.emitter_without(plugin, PluginFailed)(plugin, hook, error, quarantined)


def _event_class(event: Callable[..., Event]) -> type[Event]:
    if isinstance(event, type) and issubclass(event, Event) and event.hook_name:
        return event
    refuse_wrong_event(event, "emitter()")
    raise TypeError(f"emitter() takes an event class of a hook, such as TrainBatchEnd, not {event!r}.")


def _hooks_of_event(event: type[Event]) -> list[str]:
    return [name for name, one in EVENTS.items() if issubclass(one, event)]


def _default_name(plugin: object) -> str:
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return plugin.__name__ if isinstance(plugin, type) else type(plugin).__name__


def _shape_of(plugin: object) -> Shape | None:
    if isinstance(plugin, Callback):
        return CALLBACK_SHAPE
    return LOGGER_SHAPE if isinstance(plugin, Logger) else None


def _options(one: pluggy.HookImpl) -> dict[str, Any]:
    return hookimpl_options(one.function) or {}


_LAST = 2


def _group(hook: str, one: pluggy.HookImpl, final: bool) -> int:
    if final and kind_of(HOOKS[hook]) == "provider":
        return -1  # the user's code wins over every plugin
    return 0 if one.tryfirst else _LAST if one.trylast else 1
