"""Handlers of typed events, and their filters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Generic, TypeVar, get_args

from torchbus_hookspecs.events import EVENTS, Event

from ._errors import did_you_mean

__all__ = ["Subscription", "refuse_wrong_event", "refuse_wrong_filters", "refuse_wrong_handler"]

E = TypeVar("E", bound=Event)


@dataclass(slots=True, eq=False)
class Subscription(Generic[E]):
    """A handler of events. ``cancel()`` ends it.

    Attributes:
        every: hear only each n-th event.
        once: hear only the n-th event.
        before: hear only events before the n-th.
        after: hear only events after the n-th.
    """

    event: type[E]
    handler: Callable[[E], object]
    end: Callable[[Subscription[E]], None]
    every: int = 1
    once: int | None = None
    before: int | None = None
    after: int = 0
    count: int = 0
    is_cancelled: bool = False

    def __call__(self, event: E) -> None:
        if self.is_cancelled:  # by somebody who heard the same event earlier
            return
        self.count += 1
        count = self.count
        if (
            count % self.every == 0
            and (self.once is None or count == self.once)
            and (self.before is None or count < self.before)
            and count > self.after
        ):
            try:
                self.handler(event)
            except Exception as error:
                error.add_note(f"Raised by `{_name_of(self.handler)}`, which hears `{type(event).__name__}`.")
                raise

    def cancel(self) -> None:
        """Stop hearing, at once."""
        self.is_cancelled = True
        self.end(self)


def _name_of(handler: object) -> str:
    return str(getattr(handler, "__name__", repr(handler)))


# ---- what is refused --------------------------------------------------------------------------------------------------


def refuse_wrong_event(event: object, caller: str) -> None:
    """Raise if it is not an event's class; the message gives the nearest."""
    if isinstance(event, type) and issubclass(event, Event):
        return
    message = f"{caller} takes an event class of torchbus_hookspecs.events, not {event!r}."
    if isinstance(event, Event):
        raise TypeError(f"{message} To fix: pass the class, {type(event).__name__}.")
    name = event if isinstance(event, str) else str(getattr(event, "__name__", ""))
    # hooks and events are the same words
    spoken = "".join(part[:1].upper() + part[1:] for part in name.removeprefix("on_").split("_"))
    hint = did_you_mean(spoken, [one.__name__ for one in EVENTS.values()])
    raise TypeError(message + (hint or " To fix: pass one, such as TrainBatchEnd."))


def refuse_wrong_handler(event: type[Event], handler: Any) -> None:
    """Raise if a handler could not be called with the event, or would do nothing when it is."""
    name = _name_of(handler)
    label = f"subscribe({event.__name__}, {name})"
    if not callable(handler):
        raise TypeError(f"{label}: a handler is a function that takes the event.")
    called = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004  # an object's own
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
        kind = "a generator" if inspect.isgeneratorfunction(called) else "an `async def`"
        raise TypeError(f"{label}: the handler is {kind}, and its body would never run. To fix: make it a plain `def`.")
    signature = _signature(handler)
    if signature is None:
        return
    try:
        signature.bind(event)
    except TypeError as error:
        names = ", ".join(one.name for one in fields(event))
        raise TypeError(
            f"{label}: a handler is called with the event alone, and {error}. To fix: write `def {name}(event)`, and read"
            f" the event's fields: {names or 'it has none'}."
        ) from None
    first = next(iter(signature.parameters.values()))
    wanted = list(_events_in(first.annotation))
    if wanted and not any(issubclass(event, one) for one in wanted):
        told = " or ".join(one.__name__ for one in wanted)
        raise TypeError(
            f"{label}: the handler takes {told}. To fix: subscribe to that, or annotate `{first.name}: {event.__name__}`."
        )


def _signature(handler: Callable[..., Any]) -> inspect.Signature | None:
    """Its signature, with annotations as objects where they can be evaluated; ``None`` for a builtin without one."""
    try:
        return inspect.signature(handler, eval_str=True)
    except Exception:  # an annotation for type checkers only may raise anything
        try:
            return inspect.signature(handler)
        except (TypeError, ValueError):
            return None


def _events_in(annotation: object) -> Iterator[type[Event]]:
    """The event classes of an annotation, or of its alternatives; nothing where others are among them."""
    alternatives = get_args(annotation) or (annotation,)
    if all(isinstance(one, type) and issubclass(one, Event) for one in alternatives):
        yield from alternatives


def refuse_wrong_filters(event: type[Event], **filters: Any) -> None:
    """Raise if ``every``, ``once``, ``before`` or ``after`` is no number of events, or if together they let nothing through."""
    for option, value in filters.items():
        least = 0 if option == "after" else 1
        label = f"subscribe({event.__name__}, {option}={value!r})"
        if value is None and option in ("once", "before"):
            continue
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError(f"{label}: it must be a whole number, at least {least}.")
        if value < least:
            raise ValueError(f"{label}: it must be at least {least}.")
    every, once, before, after = (filters[option] for option in ("every", "once", "before", "after"))
    first = (after // every + 1) * every if once is None else once
    if first % every or first <= after or (before is not None and first >= before):
        told = ", ".join(f"{option}={value}" for option, value in filters.items() if value is not None)
        raise ValueError(f"subscribe({event.__name__}, {told}): no event would ever be heard.")
