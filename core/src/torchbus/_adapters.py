"""Turn classes written in Lightning's style into plugins that pluggy can register.

A ``Callback``, a ``Logger``, a module or a datamodule implements a hook by overriding a method. ``adapt`` finds those
methods and gives pluggy one small function for each, with the hook's own argument names; the bus then calls the method
itself, by position, so its parameters may have any names, defaults or ``*args``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torchbus_hookspecs.callback import Callback
from torchbus_hookspecs.markers import PROJECT
from torchbus_hookspecs.specs import HOOKS

from ._dispatch import Scope
from ._errors import PluginValidationError, did_you_mean

__all__ = [
    "Implementations",
    "Refuse",
    "Shape",
    "Target",
    "adapt",
    "hook_arguments",
    "hookimpl_options",
    "idle_body",
    "idle_hooks",
    "overridden_methods",
    "refuse",
    "target_of",
]

OPTIONS = f"{PROJECT}_impl"
TARGET = "torchbus_target"

Refuse = Callable[[PluginValidationError], None]
"""Told of each thing that does not fit. It raises, or returns to hear of the next."""


def refuse(error: PluginValidationError) -> None:
    """What happens to a plugin that does not fit, where nobody asks for all its faults."""
    raise error


@functools.cache
def hook_arguments(hook: str) -> tuple[str, ...]:
    """The names of a hook's arguments."""
    return tuple(inspect.signature(HOOKS[hook]).parameters)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kind of class implements hooks.

    Attributes:
        base: the class whose methods are overridden.
        hooks: the hooks it may implement so.
        leading: whether methods take ``trainer, pl_module`` first.
        last: hooks in which it runs after all others.
        final: whether its providers have the last word.
        misspelt: whether a method whose name is nearly a hook's is refused.
    """

    base: type
    hooks: tuple[str, ...]
    leading: bool = True
    last: frozenset[str] = frozenset()
    final: bool = False
    misspelt: bool = False


class Implementations(SimpleNamespace):
    """A plugin's hook implementations, as pluggy is given them. Equal to no other, whatever the plugin equals."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]  # SimpleNamespace has none


@dataclass(frozen=True, slots=True)
class Target:
    """What the bus calls for an implementation, and with which of the hook's arguments."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    final: bool


def hookimpl_options(member: object) -> dict[str, Any] | None:
    """The options that ``hookimpl`` wrote on a function or method; ``None``: it marked none."""
    options = getattr(getattr(member, "__func__", member), OPTIONS, None)
    return options if isinstance(options, dict) else None  # a mock has every attribute


def target_of(hook: str, function: Callable[..., Any]) -> Target:
    """How to call what pluggy lists: an adapted method, or a hookimpl, which gets those arguments that it names."""
    target: Target | None = getattr(function, TARGET, None)
    return target or _target_by_names(hook, function)


def _target_by_names(hook: str, function: Callable[..., Any]) -> Target:
    # whoever names an argument of the hook gets it, also where there is a default
    positional, keywords, has_gap = [], [], False
    for one in inspect.signature(function).parameters.values():
        if one.name not in hook_arguments(hook) or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            has_gap = True  # it keeps its default, so what follows goes by keyword
        elif one.kind is not one.KEYWORD_ONLY and not has_gap:
            positional.append(one.name)
        elif one.kind is not one.POSITIONAL_ONLY:
            keywords.append(one.name)
    return Target(function, tuple(positional), tuple(keywords), final=False)


def overridden_methods(plugin: object, base: type, names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The methods among ``names`` that a plugin's class (or the instance itself) defines in place of ``base``'s."""
    found = {}
    for name in names:
        method = getattr(plugin, name, None)
        if callable(method) and getattr(method, "__func__", method) is not getattr(base, name, None):
            found[name] = method
    return found


def adapt(plugin: object, shape: Shape, name: str, scope: Scope, refuse: Refuse = refuse) -> Implementations:
    """A namespace of hook implementations, one for each hook method that ``plugin`` overrides.

    Raises:
        PluginValidationError: a method takes fewer or needs more arguments than it will be called with, or (for
            callbacks) a method's name is nearly that of a hook.
    """
    if shape.misspelt:
        for near_miss in _near_misses(plugin, shape, name):
            refuse(near_miss)
    namespace = Implementations(plugin=plugin)
    for hook, method in overridden_methods(plugin, shape.base, shape.hooks).items():
        options = _inherited_options(plugin, hook)
        if hook in shape.last:
            options["trylast"] = True
        arguments = hook_arguments(hook)
        own = arguments if shape.leading or arguments[:1] != ("trainer",) else arguments[2:]
        for error in idle_body(method, hook, name, options):
            refuse(error)
        try:
            target = _target(hook, method, own, shape, name, scope)
        except PluginValidationError as error:
            refuse(error)
            continue
        setattr(namespace, hook, _shim(hook, arguments, target, options))
    for hook, method in _decorated_methods(plugin, shape):
        setattr(namespace, hook, method)
    return namespace


def idle_hooks(plugin: object, shape: Shape, name: str) -> list[str]:
    """What a callback says that it has no need of, where no subclass has another opinion.

    Raises:
        PluginValidationError: there is no such hook.
    """
    idle = list(plugin.idle_hooks) if isinstance(plugin, Callback) else []
    for hook in idle:
        if hook not in shape.hooks:
            raise PluginValidationError(
                f"{name}: `idle_hooks` has {hook!r}, and there is no such hook.{did_you_mean(hook, shape.hooks)} To fix:"
                " correct the name.",
                plugin=name,
            )
    # whoever is first to define one of the two knows of the other
    owners = [vars(plugin), *map(vars, type(plugin).__mro__)]
    return [hook for hook in idle if "idle_hooks" in next(one for one in owners if hook in one or "idle_hooks" in one)]


_LAZY = frozenset(
    {"forward", "predict_step"} | {f"{stage}_dataloader" for stage in ("train", "val", "test", "predict")}
)
"""Hooks whose result may be a generator: it is iterated, or handed to the user."""


def idle_body(
    function: Callable[..., Any], hook: str, name: str, options: Mapping[str, Any]
) -> Iterator[PluginValidationError]:
    """What calling an implementation would only make an object of, whose body nobody runs."""
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004  # its own
    if hook != "forward" and (inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)):
        yield PluginValidationError(
            f"{name}: `{hook}` is an `async def`, and hooks are not awaited: its body would never run. To fix: write `def`.",
            plugin=name,
        )
    is_wrapper = options.get("wrapper") or options.get("hookwrapper")
    if inspect.isgeneratorfunction(called) and not is_wrapper and hook not in _LAZY:
        yield PluginValidationError(
            f"{name}: `{hook}` has a `yield` and is no wrapper: its body would never run. To fix: mark it with"
            " `@hookimpl(wrapper=True)`, or leave `yield` out.",
            plugin=name,
        )


def _decorated_methods(plugin: object, shape: Shape) -> list[tuple[str, Callable[..., Any]]]:
    """Methods marked with ``hookimpl`` for hooks that the class's base does not know: called by argument name."""
    found: dict[str, Callable[..., Any]] = {}
    for owner in type(plugin).__mro__:
        for attribute, marked in vars(owner).items():
            options = hookimpl_options(marked)
            if options is not None and (options.get("specname") or attribute) not in shape.hooks:
                found.setdefault(attribute, _marked(getattr(plugin, attribute), options))
    return list(found.items())


def _marked(method: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """The method with its own options, or with those of the method that it overrides."""
    if hookimpl_options(method) is not None:
        return method

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    setattr(call, OPTIONS, dict(options))
    return call


def _inherited_options(plugin: object, hook: str) -> dict[str, Any]:
    """The ``hookimpl`` options of the nearest class that gives any: an override keeps its parent's place in the order."""
    for owner in type(plugin).__mro__:
        options = hookimpl_options(vars(owner).get(hook))
        if options is not None:
            return dict(options)
    return {}


def _shim(hook: str, arguments: Sequence[str], target: Target, options: dict[str, Any]) -> Callable[..., Any]:
    """A function with the hook's argument names, for pluggy to look at."""
    call = ", ".join([*target.positional, *(f"{key}={key}" for key in target.keywords)])
    namespace = {"target": target.function}
    # pluggy takes only generator functions for wrappers
    result = "(yield from target" if inspect.isgeneratorfunction(target.function) else "(target"
    source = f"def {hook}({', '.join(arguments)}): return {result}({call}))"
    exec(source, namespace)  # noqa: S102  # made of the contract's own names
    shim: Callable[..., Any] = namespace[hook]
    setattr(shim, TARGET, target)
    setattr(shim, OPTIONS, options)
    return shim


def _target(
    hook: str, method: Callable[..., Any], arguments: tuple[str, ...], shape: Shape, plugin: str, scope: Scope
) -> Target:
    if "args" in arguments and "kwargs" in arguments:
        return Target(_spread(method, arguments), arguments, (), shape.final)
    try:
        # inspect would compare an object that can be called with classes, which a mock would remember
        called: Any = method
        if not (inspect.isroutine(method) or isinstance(method, functools.partial)):
            called = called.__call__
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # a builtin or a mock without a signature: trust it
        return Target(method, arguments, (), shape.final)
    kinds = {one.kind for one in parameters}
    by_keyword = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    passed = _BY_KEYWORD.get(hook, frozenset())
    by_keyword |= {one.name for one in parameters if one.name in passed and one.kind is one.POSITIONAL_OR_KEYWORD}
    by_keyword |= passed if inspect.Parameter.VAR_KEYWORD in kinds else frozenset()
    named = tuple(name for name in arguments if name in by_keyword)
    positional = tuple(name for name in arguments if name not in by_keyword)
    places = [one for one in parameters if one.kind in _PLACES and one.name not in named]
    starred = inspect.Parameter.VAR_POSITIONAL in kinds
    optional = 2 if hook.endswith("_step") else 1 if "dataloader_idx" in positional else 0
    if len(places) < len(positional) - optional and not starred:
        raise PluginValidationError(
            f"{plugin}: `{hook}` takes {len(places) + len(named)} arguments, and is called with {len(arguments)}: "
            f"{', '.join(arguments)}. To fix: write `def {hook}(self, {', '.join(arguments)})`.",
            plugin=plugin,
        )
    needed = [*places[len(positional) :], *(one for one in parameters if one.kind is one.KEYWORD_ONLY)]
    for one in needed:
        if one.default is one.empty and one.name not in named:
            raise PluginValidationError(
                f"{plugin}: `{hook}` needs `{one.name}`, and is called with: {', '.join(arguments) or 'nothing'}."
                f"{did_you_mean(one.name, arguments)} To fix: give `{one.name}` a default, or leave it out.",
                plugin=plugin,
            )
    if starred:
        # hooks of evaluation are told the loader where there are several; hooks of the transfer, always
        is_indexed = positional[-2:] == ("batch_idx", "dataloader_idx")
        function = _without_needless_index(method, scope) if is_indexed else method
        return Target(function, positional, named, shape.final)
    return Target(method, positional[: len(places)], named, shape.final)


_BY_KEYWORD: dict[str, frozenset[str]] = {
    "setup": frozenset({"stage"}),
    "teardown": frozenset({"stage"}),
    "configure_gradient_clipping": frozenset({"gradient_clip_val", "gradient_clip_algorithm"}),
    "log_metrics": frozenset({"metrics", "step"}),
}
"""Arguments that Lightning passes by keyword, where a method has them under that name."""

_PLACES = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _spread(method: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """Pass a hook's ``args`` and ``kwargs`` on as real ones."""
    own = len(arguments) - 2

    def spread(*values: Any) -> Any:
        return method(*values[:own], *values[own], **values[own + 1])

    return spread


def _without_needless_index(method: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    """For ``*args``: leave out ``dataloader_idx``, the last argument, while it is that of the only loader."""

    def call(*values: Any, **named: Any) -> Any:
        return method(*(values if values[-1] or scope.several_loaders else values[:-1]), **named)

    return call


def _near_misses(plugin: object, shape: Shape, name: str) -> Iterator[PluginValidationError]:
    """Methods that look like hooks, and that nobody would ever call."""
    owners = itertools.takewhile(lambda owner: owner not in shape.base.__mro__, type(plugin).__mro__)
    members: dict[str, tuple[type, Any]] = {}
    for owner in owners:
        members = {attribute: (owner, value) for attribute, value in vars(owner).items()} | members
    for attribute, (owner, value) in members.items():
        if attribute.startswith("_") or hasattr(shape.base, attribute) or not inspect.isfunction(value):
            continue
        if any(hookimpl_options(vars(each).get(attribute)) for each in type(plugin).__mro__):
            continue
        where = f"{name}: {owner.__qualname__}.{attribute} would never be called"
        if attribute in HOOKS:
            # `save` or `forward` may be a method of its own; with these names or arguments it is meant for the bus
            is_meant = {"trainer", "pl_module"} <= inspect.signature(value).parameters.keys()
            if is_meant or attribute.startswith(("on_", "configure_")):
                yield PluginValidationError(
                    f"{where}, since {shape.base.__name__} has no method of that name. To fix: mark it with `@hookimpl`;"
                    f" it may then take: {', '.join(hook_arguments(attribute))}.",
                    plugin=name,
                )
            continue
        hint = did_you_mean(attribute, shape.hooks, cutoff=0.88)
        if hint:
            yield PluginValidationError(
                f"{where}, since there is no such hook.{hint} To fix: correct the name, or begin it with an underscore if"
                " it is a method of your own.",
                plugin=name,
            )
