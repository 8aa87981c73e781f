"""Compile one hook's chain: pluggy's semantics at the price of direct calls.

A chain becomes the body of one flat function, written out call by call:

    def on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx, _scope=..., _f0=..., _f1=..., _rest=...):
        outer = _scope.hook
        _scope.hook = 'on_train_batch_end'
        results = []
        try:
            if (result := _f0(trainer, batch_idx)) is not None: results.append(result)
            if (result := _f1(batch_idx=batch_idx)) is not None: results.append(result)
        except BaseException as error:
            ...

The function that callers hold stays the same object when plugins come and go: its code and its bound values are replaced
(``install``), when it is next called (``install_later``). So an emitter can be bound before the loop, costs one Python call, and
is never out of date.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import pluggy
from torchbus_hookspecs.markers import HookKind
from torchbus_hookspecs.profiler import Watch

__all__ = ["Chain", "Implementation", "Scope", "empty_function", "install", "install_later"]


class Scope:
    """What is going on.

    Attributes:
        hook: which hook is running. ``self.log`` reads it to choose its defaults.
        several_loaders: whether batches come from several loaders in turn, so that a batch needs its loader's index.
    """

    __slots__ = ("hook", "several_loaders")

    def __init__(self) -> None:
        self.hook = ""
        self.several_loaders = False


@dataclass(slots=True)
class Implementation:
    """One plugin's implementation of one hook, as it will be called.

    Attributes:
        plugin: the plugin's instance name.
        function: what to call.
        positional: names of the hook's arguments to pass by position, in order.
        keywords: names of the hook's arguments to pass by keyword.
        wrapper: ``""``, or ``"new"`` / ``"old"`` for pluggy's two styles of wrapper.
        final: the user's own provider: its result counts even when it is ``None``, and nobody after it is asked.
        watch: who measures its calls, if anybody does.
        before, after: names of plugins that it runs before and after.
        blame: called with an exception it raised; tells whether to go on as if it had returned ``None``.
    """

    plugin: str
    function: Callable[..., Any]
    positional: tuple[str, ...]
    keywords: tuple[str, ...]
    blame: Callable[[BaseException], bool]
    wrapper: str = ""
    final: bool = False
    watch: Watch | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def call(self) -> str:
        return ", ".join([*self.positional, *(f"{name}={name}" for name in self.keywords)])


@dataclass(slots=True)
class Chain:
    """All that one hook's function is made of.

    Attributes:
        hook: the hook's name.
        arguments: names of the hook's arguments.
        kind: what results mean.
        implementations: in calling order, wrappers apart.
        wrappers: outermost first.
        publish: called with the hook's arguments before the chain, when somebody subscribed to the event.
    """

    hook: str
    arguments: tuple[str, ...]
    kind: HookKind
    scope: Scope
    implementations: Sequence[Implementation] = ()
    wrappers: Sequence[Implementation] = ()
    publish: Callable[..., None] | None = None


def empty_function(hook: str, arguments: Sequence[str]) -> FunctionType:
    """The function that callers of a hook hold; ``install`` or ``install_later`` give it its body."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in arguments]
    function = _define(hook, arguments, ["return []"], {})
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # hide the bound values
    return function


def install(function: FunctionType, chain: Chain) -> None:
    """Give ``function`` the body of ``chain``. Calls that are under way finish with the body they began with."""
    _take_over(function, _compile(chain))


def install_later(function: FunctionType, hook: str, arguments: Sequence[str], make: Callable[[], None]) -> None:
    """Have ``function`` call ``make``, which installs its body, when it is next called."""
    body = ["_make()", f"return _again({', '.join(arguments)})"]
    _take_over(function, _define(hook, arguments, body, {"_make": make, "_again": function}))


def _take_over(function: FunctionType, made: FunctionType) -> None:
    function.__code__ = made.__code__
    function.__defaults__ = made.__defaults__


def _define(name: str, arguments: Sequence[str], body: Sequence[str], bound: dict[str, Any]) -> FunctionType:
    # bound values are defaults of positional parameters: CPython fills those in faster than any other kind of look-up
    parameters = [*arguments, *(f"{key}=None" for key in bound)]
    code = _code(name, "\n    ".join([f"def {name}({', '.join(parameters)}):", *body]))
    return FunctionType(code, {"__builtins__": builtins}, name, tuple(bound.values()))


@functools.lru_cache(maxsize=1024)  # chains that differ in nothing but whom they call have the same code
def _code(name: str, source: str) -> CodeType:
    namespace: dict[str, Any] = {}
    exec(compile(source, f"<torchbus chain of {name}>", "exec"), namespace)  # noqa: S102  # source is made of checked names
    code: CodeType = namespace[name].__code__
    return code


def _compile(chain: Chain) -> FunctionType:
    bound: dict[str, Any] = {}
    body: list[str] = []
    if chain.publish is not None:
        bound["_publish"] = chain.publish
        body.append(f"_publish({', '.join(chain.arguments)})")
    if chain.wrappers:
        bound["_call"] = _wrapped(chain)
        body.append(f"return _call({', '.join(chain.arguments)})")
    else:
        body += _plain_body(chain, bound, first_line=2 + len(body))
    return _define(chain.hook, chain.arguments, body, bound)


_EMPTY = {"broadcast": "[]", "provider": "None"}


def _plain_body(chain: Chain, bound: dict[str, Any], first_line: int) -> list[str]:
    """The lines of a chain without wrappers; the line of the function's source at which they begin tells who raised."""
    value = _value_of(chain)
    so_far = {"broadcast": "results", "provider": "None", "transform": value}[chain.kind]
    if not chain.implementations:
        return [f"return {value or _EMPTY[chain.kind]}"]
    bound["_scope"] = chain.scope
    body = ["outer = _scope.hook", f"_scope.hook = {chain.hook!r}"]
    if chain.kind == "broadcast":
        body.append("results = []")
    body.append("try:")
    at: dict[int, int] = {}
    for index, one in enumerate(chain.implementations):
        bound[f"_f{index}"] = one.function
        begin, end = _watching(one, index, bound)
        at[first_line + len(body) + len(begin)] = index
        body += [f"    {line}" for line in [*begin, f"result = _f{index}({one.call})", *end, *_use(chain, one, value)]]
    bound["_rest"] = _Rest(chain, at)
    return [
        *body,
        "except BaseException as error:",
        "    _scope.hook = outer",  # whoever hears of it or catches it goes on in the outer hook
        "    failed = _rest.blame(error)",
        "    if failed is None: raise",
        f"    return _rest.go_on(failed, {so_far}, {', '.join(chain.arguments)})",
        "_scope.hook = outer",
        f"return {so_far}",
    ]


def _use(chain: Chain, one: Implementation, value: str) -> list[str]:
    """What is made of an implementation's result."""
    if chain.kind == "broadcast":
        return ["if result is not None: results.append(result)"]
    if chain.kind == "transform":
        return [f"if result is not None: {value} = result"]
    answer = "_scope.hook = outer; return result"
    return [answer if one.final else f"if result is not None: {answer}"]


def _watching(one: Implementation, index: int, bound: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The lines before and after the call of an implementation that is measured; none for others."""
    if one.watch is None:
        return [], []
    bound[f"_s{index}"], bound[f"_e{index}"] = one.watch.begin, one.watch.end
    return [f"_s{index}()"], [f"_e{index}()"]


def _value_of(chain: Chain) -> str:
    """The argument that a transform passes on: the first after ``trainer, pl_module``."""
    return chain.arguments[2] if chain.kind == "transform" else ""


# ---- when one has raised ------------------------------------------------------------------------------------------------


class _Rest:
    """What becomes of a chain in which somebody has raised. Rare, so it is interpreted.

    Args:
        chain: the chain.
        at: which implementation is called in which line of the chain's function.
    """

    __slots__ = ("_at", "_chain")

    def __init__(self, chain: Chain, at: Mapping[int, int]) -> None:
        self._chain = chain
        self._at = at

    def blame(self, error: BaseException) -> int | None:
        """Tell whoever raised; return its number if the chain goes on behind it."""
        assert error.__traceback__ is not None  # of the chain's function, which has caught it
        failed = self._at.get(error.__traceback__.tb_lineno)
        if failed is None:  # nobody: an interrupt between two calls
            return None
        return failed if self._is_forgiven(self._chain.implementations[failed], error) else None

    @staticmethod
    def _is_forgiven(one: Implementation, error: BaseException) -> bool:
        if one.watch is not None:
            one.watch.end()
        return one.blame(error)

    def go_on(self, failed: int, so_far: Any, *values: Any) -> Any:
        """Call those behind number ``failed``; return what the chain returns."""
        chain = self._chain
        scope, outer, name = chain.scope, chain.scope.hook, _value_of(chain)
        arguments = dict(zip(chain.arguments, values, strict=True))
        for one in chain.implementations[failed + 1 :]:
            scope.hook = chain.hook
            if one.watch is not None:
                one.watch.begin()
            try:
                result = one.function(
                    *(arguments[key] for key in one.positional), **{key: arguments[key] for key in one.keywords}
                )
            except BaseException as error:
                scope.hook = outer
                if not self._is_forgiven(one, error):
                    raise
                continue
            scope.hook = outer
            if one.watch is not None:
                one.watch.end()
            if chain.kind == "provider" and (one.final or result is not None):
                return result
            if result is not None and chain.kind == "transform":
                so_far = arguments[name] = result
            elif result is not None:
                so_far.append(result)
        return so_far


# ---- wrappers ---------------------------------------------------------------------------------------------------------


def _wrapped(chain: Chain) -> Callable[..., Any]:
    """A chain inside its wrappers. Rare, so it is interpreted: one generator per wrapper, around the flat inner chain."""
    bound: dict[str, Any] = {}
    inner = _define(chain.hook, chain.arguments, _plain_body(chain, bound, first_line=2), bound)
    scope = chain.scope

    def call(*values: Any) -> Any:
        arguments = dict(zip(chain.arguments, values, strict=True))
        running: list[tuple[Implementation, Generator[None, Any, Any]]] = []
        outer = scope.hook
        scope.hook = chain.hook
        result: Any = None
        error: BaseException | None = None
        try:
            try:
                for one in chain.wrappers:
                    generator = _measured(_start, one, arguments)
                    if generator is not None:
                        running.append((one, generator))
                result = inner(*values)
            except BaseException as raised:  # handed to the wrappers, then raised again
                error = raised
            while running:
                result, error = _measured(_finish, *running.pop(), result, error)
        finally:
            scope.hook = outer
        if error is not None:
            raise error
        return result

    return call


_ENDED = object()


def _measured(part: Callable[..., Any], one: Implementation, *values: Any) -> Any:
    """Run one half of a wrapper; where its plugin is measured, each half counts as a call."""
    if one.watch is None:
        return part(one, *values)
    one.watch.begin()
    try:
        return part(one, *values)
    finally:
        one.watch.end()


def _start(one: Implementation, arguments: dict[str, Any]) -> Generator[None, Any, Any] | None:
    """Run a wrapper up to its ``yield``; ``None`` if it failed and the call goes on without it."""
    positional = [arguments[name] for name in one.positional]
    try:
        generator: Generator[None, Any, Any] = one.function(
            *positional, **{key: arguments[key] for key in one.keywords}
        )
        if next(generator, _ENDED) is _ENDED:
            raise RuntimeError(f"hook wrapper of plugin {one.plugin!r} must yield once, and did not yield")
    except BaseException as error:
        if not one.blame(error):
            raise
        return None
    return generator


def _finish(
    one: Implementation, generator: Generator[None, Any, Any], result: Any, error: BaseException | None
) -> tuple[Any, BaseException | None]:
    """Let a wrapper see how the inner call ended; what it makes of it is the new result or error."""
    old = one.wrapper == "old"
    outcome = pluggy.Result(result, error) if old else None
    try:
        if outcome is not None:
            generator.send(outcome)
        elif error is None:
            generator.send(result)
        else:
            generator.throw(error)
        generator.close()
        raise RuntimeError(f"hook wrapper of plugin {one.plugin!r} must yield once, and has a second yield")
    except StopIteration as stop:
        if outcome is None:
            return stop.value, None
        try:
            return outcome.get_result(), None
        except BaseException as kept:  # the inner error, or one that the wrapper forced
            return result, kept
    except BaseException as raised:
        # Python turns a StopIteration that crosses a generator into a RuntimeError: undo that
        if isinstance(raised, RuntimeError) and isinstance(error, StopIteration) and raised.__cause__ is error:
            return result, error
        if raised is not error and one.blame(raised):
            return result, error  # as if it had let the call pass
        return result, raised
