"""The two markers of the contract, ``hookspec`` and ``hookimpl``, and the three kinds of hook.

Both are pluggy's own markers for the project name ``torchbus``; see https://pluggy.readthedocs.io for what
``tryfirst``, ``trylast``, ``wrapper`` and ``specname`` mean. torchbus adds three options to ``hookimpl``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack, overload

import pluggy

__all__ = [
    "PROJECT",
    "HookKind",
    "HookimplMarker",
    "broadcast",
    "hookimpl",
    "hookspec",
    "kind_of",
    "provider",
    "transform",
]

PROJECT: Final = "torchbus"
HookKind = Literal["broadcast", "provider", "transform"]
F = TypeVar("F", bound=Callable[..., Any])
W = TypeVar("W", bound=Callable[..., Generator[None, Any, Any]])
Names = tuple[str, ...] | list[str] | AbstractSet[str]  # not Iterable: a single name is one of letters

hookspec = pluggy.HookspecMarker(PROJECT)


class Options(TypedDict, total=False):
    """The options of ``hookimpl`` that every implementation may have."""

    optionalhook: bool
    tryfirst: bool
    trylast: bool
    specname: str | None
    before: Names
    after: Names
    ranks: Literal["all", "zero"]


class HookimplMarker:
    """pluggy's marker with three more options, all about who runs when and where.

    Args (beside pluggy's own):
        before: instance names of plugins whose implementation of this hook must run later; absent ones are ignored.
        after: instance names of plugins whose implementation of this hook must run earlier; absent ones are ignored.
        ranks: ``"all"`` (default), or ``"zero"`` to run on global rank zero only.
    """

    def __init__(self, project: str) -> None:
        self._marker = pluggy.HookimplMarker(project)

    @overload
    def __call__(self, function: F) -> F: ...
    @overload
    def __call__(
        self, function: None = None, *, wrapper: Literal[True], **options: Unpack[Options]
    ) -> Callable[[W], W]: ...
    @overload
    def __call__(
        self, function: None = None, *, hookwrapper: Literal[True], **options: Unpack[Options]
    ) -> Callable[[W], W]: ...
    @overload
    def __call__(
        self,
        function: None = None,
        *,
        wrapper: Literal[False] = ...,
        hookwrapper: Literal[False] = ...,
        **options: Unpack[Options],
    ) -> Callable[[F], F]: ...
    def __call__(
        self,
        function: F | None = None,
        hookwrapper: bool = False,
        optionalhook: bool = False,
        tryfirst: bool = False,
        trylast: bool = False,
        specname: str | None = None,
        wrapper: bool = False,
        *,
        before: Names = (),
        after: Names = (),
        ranks: Literal["all", "zero"] = "all",
    ) -> F | Callable[[F], F]:
        """Mark a function, or make a decorator that does; see the class for the options.

        Raises:
            TypeError: what it marks is no function, or ``before`` or ``after`` is no collection of names.
            ValueError: ``ranks`` is something else.
        """

        def mark(target: F) -> F:
            marked: Any = target.__func__ if isinstance(target, staticmethod | classmethod) else target
            where = _where(marked)
            if ranks not in ("all", "zero"):
                raise ValueError(f"hookimpl(ranks={ranks!r}){where}: expected 'all' or 'zero'.")
            names = {"before": _names("before", before, where), "after": _names("after", after, where)}
            self._marker(None, hookwrapper, optionalhook, tryfirst, trylast, specname, wrapper)(marked)
            getattr(marked, f"{PROJECT}_impl").update(names, ranks=ranks)
            return target

        return mark if function is None else mark(function)


def _where(marked: Any) -> str:
    """Which function is marked, for messages.

    Raises:
        TypeError: it is none.
    """
    if isinstance(marked, type) or not callable(marked):
        hint = f" To fix: write @hookimpl(specname={marked!r})." if isinstance(marked, str) else ""
        raise TypeError(f"hookimpl({marked!r}): it marks functions and methods.{hint}")
    name = getattr(marked, "__qualname__", repr(marked))
    return f" on `{getattr(marked, '__module__', '')}.{name}`"


def _names(option: str, names: Names, where: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"hookimpl({option}={names!r}){where}: expected a tuple of plugin names, such as ({names!r},).")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"hookimpl({option}={names!r}){where}: expected names of plugins.")
    return tuple(names)


hookimpl = HookimplMarker(PROJECT)


def _kind(function: F, kind: HookKind) -> F:
    marked = hookspec(function, firstresult=kind == "provider")
    marked.torchbus_kind = kind  # type: ignore[attr-defined]  # read back by kind_of
    return marked


def broadcast(function: F) -> F:
    """A hook that everyone hears; results are ignored but where its text says otherwise."""
    return _kind(function, "broadcast")


def provider(function: F) -> F:
    """A hook whose first result that is not ``None`` is used: the user's code, else a plugin's, else the default."""
    return _kind(function, "provider")


def transform(function: F) -> F:
    """A hook that passes its first value (after ``trainer, pl_module``) from one implementation to the next."""
    return _kind(function, "transform")


def kind_of(specification: Callable[..., Any]) -> HookKind:
    """The kind of a hook specification."""
    kind: HookKind = specification.torchbus_kind  # type: ignore[attr-defined]  # set by the decorators above
    return kind
