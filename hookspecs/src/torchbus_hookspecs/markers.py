"""The two markers of the contract, ``hookspec`` and ``hookimpl``, and the three kinds of hook.

Both are pluggy's own markers for the project name ``torchbus``; see https://pluggy.readthedocs.io for what
``tryfirst``, ``trylast``, ``wrapper`` and ``specname`` mean. torchbus adds three options to ``hookimpl``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TypeVar, overload

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

hookspec = pluggy.HookspecMarker(PROJECT)


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
        self,
        function: None = ...,
        hookwrapper: bool = ...,
        optionalhook: bool = ...,
        tryfirst: bool = ...,
        trylast: bool = ...,
        specname: str | None = ...,
        wrapper: bool = ...,
        *,
        before: Iterable[str] = ...,
        after: Iterable[str] = ...,
        ranks: Literal["all", "zero"] = ...,
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
        before: Iterable[str] = (),
        after: Iterable[str] = (),
        ranks: Literal["all", "zero"] = "all",
    ) -> F | Callable[[F], F]:
        """Mark a function, or make a decorator that does; see the class for the options."""
        if ranks not in ("all", "zero"):
            raise ValueError(f"hookimpl(ranks={ranks!r}): expected 'all' or 'zero'.")

        def mark(target: F) -> F:
            marker = self._marker(None, hookwrapper, optionalhook, tryfirst, trylast, specname, wrapper)
            marked: F = marker(target)
            options = getattr(marked, f"{PROJECT}_impl")
            options.update(before=_names("before", before), after=_names("after", after), ranks=ranks)
            return marked

        return mark if function is None else mark(function)


def _names(option: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"hookimpl({option}={names!r}): expected a tuple of plugin names, such as ({names!r},).")
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
