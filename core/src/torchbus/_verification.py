"""What is checked of a plugin before it is registered: nothing that does not fit the contract gets in half-way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Any, cast, get_args

from torchbus_hookspecs import FailurePolicy
from torchbus_hookspecs.specs import HOOKS

from ._adapters import TARGET, Implementations, Refuse, hook_arguments, hookimpl_options, idle_body, refuse
from ._errors import PluginValidationError, did_you_mean

__all__ = ["order_option", "policy_of", "verified_hookimpls"]


def policy_of(plugin: object, name: str) -> FailurePolicy:
    """What a plugin's class says should happen when it raises."""
    policy = getattr(plugin, "on_failure", None)
    if not isinstance(policy, str):  # a method of that name, say
        return "raise"
    if policy not in get_args(FailurePolicy):
        raise PluginValidationError(
            f"{name}: `on_failure` is {policy!r}; it should be 'raise' or 'quarantine'.", plugin=name
        )
    return cast("FailurePolicy", policy)


def order_option(plugin: object, option: str, name: str) -> tuple[str, ...]:
    """The names in a callback class's ``before`` or ``after``."""
    names = getattr(type(plugin), option, ())
    if isinstance(names, str):
        raise PluginValidationError(
            f"{name}: `{option}` is {names!r}; it should be a tuple of plugin names, such as ({names!r},).", plugin=name
        )
    return tuple(names)


def verified_hookimpls(plugin: object, name: str, must_hear: bool, refuse: Refuse = refuse) -> Implementations:
    """The hookimpls of a plugin; what does not fit the contract is refused before pluggy changes anything."""
    found: dict[str, str] = {}
    implementations = Implementations(plugin=plugin)
    for attribute in dir(plugin):
        static = inspect.getattr_static(plugin, attribute, None)
        options = hookimpl_options(static)
        if options is None:
            continue
        hook = options.get("specname") or attribute
        if hook in found:
            refuse(
                PluginValidationError(
                    f"{name}: `{found[hook]}` and `{attribute}` both implement the hook `{hook}`. To fix: let one call"
                    " the other.",
                    plugin=name,
                )
            )
        found[hook] = attribute
        if hook not in HOOKS:
            if not options.get("optionalhook"):
                refuse(
                    PluginValidationError(
                        f"{name}: there is no hook `{hook}`.{did_you_mean(hook, HOOKS)}"
                        " `torchbus_hookspecs.specs` documents every hook.",
                        plugin=name,
                    )
                )
            continue
        function = getattr(plugin, attribute)
        if not hasattr(function, TARGET):  # what adapts a method has been looked at
            for error in idle_body(function, hook, name, options):
                refuse(error)
        for error in (*_wrong_arguments(function, hook, name), *_wrong_wrapper(function, hook, name, options)):
            refuse(error)
        setattr(implementations, attribute, function)
    for error in _unmarked(plugin, name, found):
        refuse(error)
    if must_hear and not found:
        fix = "mark its hook functions with `@hookimpl` (from torchbus_hookspecs import hookimpl), or derive its class from"
        told = f"register an instance, {plugin.__name__}(...)" if isinstance(plugin, type) else f"{fix} Callback"
        refuse(PluginValidationError(f"{name}: nothing in it implements a hook. To fix: {told}.", plugin=name))
    return implementations


def _unmarked(plugin: object, name: str, found: Collection[str]) -> Iterator[PluginValidationError]:
    """Functions of a module that have a hook's name and no mark: nobody would call them."""
    if not isinstance(plugin, ModuleType) or not found:  # where nothing is marked, another message says so
        return
    for attribute, value in vars(plugin).items():
        is_own = inspect.isfunction(value) and value.__module__ == plugin.__name__
        # `setup` or `configure_optimizers` may be a function of the module's own
        if is_own and attribute in HOOKS and attribute not in found and attribute.startswith("on_"):
            yield PluginValidationError(
                f"{name}: `{attribute}` would never be called, since it is not marked. To fix: write `@hookimpl` above it, or"
                " begin its name with an underscore if it is a function of your own.",
                plugin=name,
            )


def _wrong_arguments(function: Callable[..., Any], hook: str, name: str) -> Iterator[PluginValidationError]:
    known = hook_arguments(hook)
    first = next(iter(inspect.signature(function.__func__).parameters), "") if inspect.ismethod(function) else ""
    if first in known:
        yield PluginValidationError(
            f"{name}: the method `{hook}` has `{first}` in the place of `self`. To fix: write `def {hook}(self, {first}, ...)`.",
            plugin=name,
        )
    for one in inspect.signature(function).parameters.values():
        is_needed = one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        if is_needed and one.name not in known:
            yield PluginValidationError(
                f"{name}: `{hook}` has no argument `{one.name}`.{did_you_mean(one.name, known)}"
                f" It has: {', '.join(known) or 'none'}; take only those you need.",
                plugin=name,
            )


def _wrong_wrapper(
    function: Callable[..., Any], hook: str, name: str, options: dict[str, Any]
) -> Iterator[PluginValidationError]:
    styles = [style for style in ("wrapper", "hookwrapper") if options.get(style)]
    if len(styles) == 2:
        yield PluginValidationError(
            f"{name}: `{hook}` is marked with `wrapper` and `hookwrapper`: they exclude each other. To fix: keep"
            " `wrapper`.",
            plugin=name,
        )
    if styles and not inspect.isgeneratorfunction(function):
        yield PluginValidationError(
            f"{name}: `{hook}` is marked as a wrapper, and does not `yield`. To fix: write `result = yield` where the"
            " others run, and return the result.",
            plugin=name,
        )
