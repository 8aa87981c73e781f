"""Turn classes written in Lightning's style into plugins that pluggy can register.

A ``Callback``, a ``Logger``, a module or a datamodule implements a hook by overriding a method. ``adapt`` finds those
methods and gives pluggy one small function for each, with the hook's own argument names; the bus then calls the method
itself, by position, so its parameters may have any names, defaults or ``*args``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torchbus_hookspecs.markers import PROJECT
from torchbus_hookspecs.specs import HOOKS

from ._errors import PluginValidationError, did_you_mean

__all__ = ["Shape", "Target", "adapt", "hook_arguments", "overridden_methods"]

OPTIONS = f"{PROJECT}_impl"
TARGET = "torchbus_target"


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


@dataclass(frozen=True, slots=True)
class Target:
    """What the bus really calls for an adapted method."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    final: bool


def overridden_methods(plugin: object, base: type, names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The methods among ``names`` that a plugin's class (or the instance itself) defines in place of ``base``'s."""
    found = {}
    for name in names:
        method = getattr(plugin, name, None)
        if callable(method) and getattr(method, "__func__", method) is not getattr(base, name, None):
            found[name] = method
    return found


def adapt(plugin: object, shape: Shape, name: str) -> SimpleNamespace:
    """A namespace of hook implementations, one for each hook method that ``plugin`` overrides.

    Raises:
        PluginValidationError: a method takes fewer arguments than it will be called with, or (for callbacks) a method's
            name is nearly that of a hook.
    """
    if shape.misspelt:
        _refuse_near_misses(plugin, shape, name)
    namespace = SimpleNamespace(plugin=plugin)
    for hook, method in overridden_methods(plugin, shape.base, shape.hooks).items():
        options = _inherited_options(plugin, hook)
        if hook in shape.last:
            options["trylast"] = True
        arguments = hook_arguments(hook)
        own = arguments if shape.leading or arguments[:1] != ("trainer",) else arguments[2:]
        target = _target(hook, method, own, shape, name)
        setattr(namespace, hook, _shim(hook, arguments, target, options))
    for hook, method in _decorated_methods(plugin, shape):
        setattr(namespace, hook, method)
    return namespace


def _decorated_methods(plugin: object, shape: Shape) -> list[tuple[str, Callable[..., Any]]]:
    """Methods marked with ``hookimpl`` for hooks that the class's base does not know: called by argument name."""
    found = {}
    for owner in type(plugin).__mro__:
        for attribute, marked in vars(owner).items():
            options = getattr(marked, OPTIONS, None)
            if isinstance(options, dict) and (options.get("specname") or attribute) not in shape.hooks:
                found[attribute] = getattr(plugin, attribute)
    return list(found.items())


def _inherited_options(plugin: object, hook: str) -> dict[str, Any]:
    """The ``hookimpl`` options of the nearest class that gives any: an override keeps its parent's place in the order."""
    for owner in type(plugin).__mro__:
        options = getattr(vars(owner).get(hook), OPTIONS, None)
        if options is not None:
            return dict(options)
    return {}


def _shim(hook: str, arguments: Sequence[str], target: Target, options: dict[str, Any]) -> Callable[..., Any]:
    """A function with the hook's argument names, for pluggy to look at."""
    call = ", ".join([*target.positional, *(f"{key}={key}" for key in target.keywords)])
    namespace = {"target": target.function}
    source = f"def {hook}({', '.join(arguments)}): return target({call})"
    exec(source, namespace)  # noqa: S102  # made of the contract's own names
    shim: Callable[..., Any] = namespace[hook]
    setattr(shim, TARGET, target)
    setattr(shim, OPTIONS, options)
    return shim


def _target(hook: str, method: Callable[..., Any], arguments: tuple[str, ...], shape: Shape, plugin: str) -> Target:
    final = shape.final
    if "args" in arguments and "kwargs" in arguments:
        return Target(_spread(method, arguments), arguments, (), final)
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a builtin or a mock without a signature: trust it
        return Target(method, arguments, (), final)
    kinds = [parameter.kind for parameter in parameters]
    by_keyword = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    if hook in ("setup", "teardown") and ("stage" in by_keyword or inspect.Parameter.VAR_KEYWORD in kinds):
        return Target(method, tuple(name for name in arguments if name != "stage"), ("stage",), final)
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        if "dataloader_idx" in arguments:
            return Target(_without_needless_index(method), arguments, (), final)
        return Target(method, arguments, (), final)
    keyword_only = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    named = tuple(name for name in arguments if name in keyword_only)
    positional = tuple(name for name in arguments if name not in keyword_only)
    room = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    optional = 2 if hook.endswith("_step") else 1 if "dataloader_idx" in positional else 0
    if room < len(positional) - optional:
        raise PluginValidationError(
            f"{plugin}: `{hook}` takes {room} arguments, and is called with {len(positional)}: "
            f"{', '.join(positional)}. To fix: write `def {hook}(self, {', '.join(positional)})`.",
            plugin=plugin,
        )
    return Target(method, positional[:room], named, final)


def _spread(method: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """Pass a hook's ``args`` and ``kwargs`` on as real ones."""
    own = len(arguments) - 2

    def spread(*values: Any) -> Any:
        return method(*values[:own], *values[own], **values[own + 1])

    return spread


def _without_needless_index(method: Callable[..., Any]) -> Callable[..., Any]:
    """For ``*args``: leave out ``dataloader_idx``, the last argument, while it is that of the only loader."""

    def call(*values: Any) -> Any:
        return method(*values) if values[-1] else method(*values[:-1])

    return call


def _refuse_near_misses(plugin: object, shape: Shape, name: str) -> None:
    for owner in type(plugin).__mro__:
        if owner in shape.base.__mro__:
            break
        for attribute, value in vars(owner).items():
            if attribute.startswith("_") or attribute in HOOKS or hasattr(shape.base, attribute):
                continue
            options = getattr(value, OPTIONS, None)
            hint = did_you_mean(attribute, shape.hooks, cutoff=0.88)
            if inspect.isfunction(value) and options is None and hint:
                raise PluginValidationError(
                    f"{name}: {owner.__qualname__}.{attribute} would never be called, since there is no such hook.{hint}"
                    " To fix: correct the name, or begin it with an underscore if it is a method of your own.",
                    plugin=name,
                )
