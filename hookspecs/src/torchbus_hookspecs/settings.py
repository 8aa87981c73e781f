"""How a plugin declares its settings: once, as the typed signature of its ``__init__``.

    from typing import Annotated
    from pydantic import Field
    from torchbus_hookspecs.settings import validated

    @validated
    class Patience(Callback):
        def __init__(self, monitor: str, patience: Annotated[int, Field(ge=0, description="Checks to wait.")] = 3): ...

From it come the checks of ``Patience(patience=-1)``, those of ``plugins={"patience": {...}}``, the JSON schema and the
settings table of the docs. A class without the decorator is checked in the same way when it is enabled by name.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .errors import Fault, MisconfigurationException, did_you_mean

__all__ = ["Duration", "Setting", "check_settings", "describe_settings", "settings_model", "validated"]

T = TypeVar("T")


# ---- types of settings ----------------------------------------------------------------------------------------------

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMPACT = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def _duration(value: Any) -> Any:
    """Read ``"1h30m"`` and ``"DD:HH:MM:SS"`` beside what pydantic reads itself; leave the rest to pydantic."""
    if isinstance(value, Mapping):
        try:
            return timedelta(**value)
        except TypeError as error:  # pydantic takes only a ValueError for a wrong value
            raise ValueError(str(error)) from None
    if isinstance(value, str):
        text = value.strip().lower()
        if text and not _COMPACT.sub("", text).strip():
            return timedelta(**{_UNITS[unit]: float(amount) for amount, unit in _COMPACT.findall(text)})
        if re.fullmatch(r"\d+:\d{2}:\d{2}:\d{2}", text):
            days, hours, minutes, seconds = map(int, text.split(":"))
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A ``timedelta``; also read from ``"1h30m"``, ``"DD:HH:MM:SS"``, ISO 8601, ``{"hours": 1}`` and seconds as a number."""


# ---- from a signature to a model --------------------------------------------------------------------------------------


def _resolve_annotation(annotation: Any, names: dict[str, Any]) -> Any:
    """The annotation as an object. One that cannot be evaluated (a type-checking-only import) accepts anything."""
    probe = type("Probe", (), {"__annotations__": {"it": annotation}})
    try:
        return get_type_hints(probe, names, names, include_extras=True)["it"]
    except Exception:  # evaluating a stranger's annotation may raise anything
        return Any


@functools.cache
def settings_model(cls: Callable[..., Any]) -> type[BaseModel]:
    """The pydantic model of a class's (or factory's) settings, built from the signature of its ``__init__``.

    Unknown fields are refused, unless the signature has ``**kwargs``: ``check_settings`` looks at those. Parameters without
    annotation accept anything.
    """
    init: Any = inspect.unwrap(cls.__init__) if isinstance(cls, type) else cls  # type: ignore[misc]  # only looked at
    names = {**getattr(init, "__globals__", {}), cls.__name__: cls}
    fields: dict[str, Any] = {}
    open_ended = False
    # object's own takes nothing, whatever its signature says
    parameters = [] if init is object.__init__ else list(inspect.signature(init).parameters.values())
    for parameter in parameters[1:] if isinstance(cls, type) else parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
            default = ... if parameter.default is parameter.empty else parameter.default
            # aliased, since pydantic reserves names such as `model_*` and a leading underscore
            info = Field(default, alias=parameter.name)
            fields[f"field_{len(fields)}"] = (_resolve_annotation(annotation, names), info)
    config = ConfigDict(arbitrary_types_allowed=True, extra="allow" if open_ended else "forbid")
    title = f"{cls.__name__}Settings"
    try:
        model: type[BaseModel] = create_model(title, __config__=config, __doc__=inspect.getdoc(cls), **fields)
    except PydanticUserError:  # a type that pydantic cannot check, such as a function's own class
        unchecked: dict[str, Any] = {name: (Any, info) for name, (_, info) in fields.items()}
        model = create_model(title, __config__=config, __doc__=inspect.getdoc(cls), **unchecked)
    return model


def _names_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a plugin, as shown in tables."""

    name: str
    type: str
    default: str
    required: bool
    description: str


def _type_text(annotation: Any) -> str:
    """A type as its author would write it, without what pydantic does with it."""
    if annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_text, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if isinstance(annotation, list):  # the parameters of a callable
        return f"[{', '.join(map(_type_text, annotation))}]"
    if origin is not None and arguments:
        return f"{_type_text(origin)}[{', '.join(map(_type_text, arguments))}]"
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:typing|collections\.abc|datetime|pathlib|torchbus_hookspecs\.\w+)\.", "", text)


def describe_settings(cls: Callable[..., Any]) -> list[Setting]:
    """The settings of a plugin in the order of its signature, for tables and help texts.

    A description comes from the signature (``Field(description=...)``), else from ``Args:`` in the class's docstring.
    """
    rows, told = [], _told_in_docstring(cls)
    for name, info in _names_of(settings_model(cls)).items():
        required = info.is_required()
        # a function's repr holds its address, which tells nobody anything
        default = "" if required else getattr(info.default, "__name__", repr(info.default))
        description = info.description or told.get(name, "")
        rows.append(Setting(name, _type_text(info.annotation), default, required, description))
    return rows


def _told_in_docstring(cls: Callable[..., Any]) -> dict[str, str]:
    """What the section ``Args:`` of a docstring says of each argument."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", inspect.getdoc(cls) or "", re.MULTILINE)
    told: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section[1]).splitlines() if section else ():
        begins = re.match(r"(\w+): (.*)", line)
        if begins:
            name, text = begins.groups()
            told[name] = text[:1].upper() + text[1:]
        elif name and line.strip():
            told[name] += f" {line.strip()}"
    return {name: text.replace("``", "`") for name, text in told.items()}


# ---- checking ---------------------------------------------------------------------------------------------------------


_EXPECTED = {"path_type": "it should be a path"}
"""What pydantic says in words of its own."""


def _problem(kind: str, message: str, value: Any) -> str:
    expectation = message[0].lower() + message[1:]
    expectation = expectation.replace("input should be", "it should be").removeprefix("value error, ")
    expectation = expectation.partition(", unable to ")[0]  # such as to parse, which the value shows
    expectation = _EXPECTED.get(kind, expectation)
    if kind == "missing":
        return "is required and was not given."
    return f"is {value!r}; {expectation}."


def check_settings(
    cls: Callable[..., Any], values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[Fault]]:
    """Check settings against a class's declaration.

    Args:
        cls: the plugin's class or factory.
        values: settings by name.
        sources: where each was read, by name; default: the script.

    Returns:
        The settings as they should be passed on (converted where the declaration asks for it; defaults are left out),
        and every fault found. The settings are only good when there is no fault.
    """
    model = settings_model(cls)
    known = _names_of(model)
    sources = sources or {}
    misspelt = list(_misspelt(cls, model, values, sources))
    try:
        checked = model.model_validate(dict(values))
    except ValidationError as error:
        faults = []
        for one in _of_their_own(error.errors(include_url=False)):
            name, *rest = [str(part) for part in one["loc"]]
            source = sources.get(name, "the script")
            dotted = ".".join([name, *_path_below(values.get(name), one["loc"][1:], is_absent=one["type"] in _ABSENT)])
            if one["type"] == "extra_forbidden" and not rest:
                problem = f"is not a setting of {cls.__name__}.{did_you_mean(name, known)}"
                faults.append(Fault(name, problem, one["input"], source))
            else:
                problem = _problem(one["type"], one["msg"], one["input"])
                is_missing = one["type"] == "missing"
                faults.append(
                    Fault(dotted, problem, None if is_missing else one["input"], "" if is_missing else source)
                )
        return {}, [*_merge_alternatives(faults), *misspelt]
    names = {field: info.alias or field for field, info in model.model_fields.items()}
    passed = {names[field]: getattr(checked, field) for field in checked.model_fields_set if field in names}
    return {**passed, **(checked.model_extra or {})}, misspelt


def _misspelt(
    cls: Callable[..., Any], model: type[BaseModel], values: Mapping[str, Any], sources: Mapping[str, str]
) -> Iterator[Fault]:
    """What ``**kwargs`` would swallow although it is nearly a setting."""
    if model.model_config.get("extra") != "allow":
        return
    known = _names_of(model)
    letters = {re.sub(r"\d", "", name) for name in known}
    for name in values.keys() - known.keys():
        hint = did_you_mean(name, known, cutoff=0.88)
        if hint and re.sub(r"\d", "", name) not in letters:  # `size_2` beside `size_1` is meant
            problem = f"is not a setting of {cls.__name__}.{hint}"
            yield Fault(name, problem, values[name], sources.get(name, "the script"))


def _of_their_own(errors: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without those that only follow from others: a list whose wrong items leave it too short."""
    for one in errors:
        if one["type"] != "too_short" or not any(
            one["loc"] == other["loc"][: len(one["loc"])] for other in errors if other is not one
        ):
            yield one


_ABSENT = ("missing", "missing_argument", "missing_keyword_only_argument")


def _path_below(value: Any, location: tuple[int | str, ...], is_absent: bool) -> list[str]:
    """The names on the way to a part of a setting; pydantic's also has the alternatives of a union that it tried."""
    path = []
    for part in location:
        if isinstance(value, Mapping) and part in value:
            path.append(str(part))
            value = value[part]
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
    return [*path, str(location[-1])] if is_absent and location else path


def _merge_alternatives(faults: list[Fault]) -> list[Fault]:
    """Pydantic reports each alternative of a union by itself: tell them as one fault per setting."""
    merged: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        head = fault.field.split(".")[0]
        key = (head, repr(fault.value))
        if key in merged:
            earlier = merged[key]
            extra = fault.problem.split("; ", 1)[-1].removeprefix("it should be ").rstrip(".")
            if extra not in earlier.problem:
                problem = f"{earlier.problem.rstrip('.')}, or {extra}."
                merged[key] = Fault(earlier.field, problem, fault.value, fault.source)
        else:
            merged[key] = fault
    return list(merged.values())


def misconfigured(plugin: str, faults: list[Fault]) -> MisconfigurationException:
    """One error for all faults of one plugin's settings."""
    count = "a setting is" if len(faults) == 1 else f"{len(faults)} settings are"
    lines = [f"{plugin}: {count} wrong.", *(f"  - {fault}" for fault in faults)]
    return MisconfigurationException("\n".join(lines), plugin=plugin, faults=faults)


def validated(cls: type[T]) -> type[T]:
    """Check the arguments of a class's constructor against its typed signature, each time it is called.

    Raises (from the constructor):
        TypeError: an argument is unknown or missing; the message gives the nearest name.
        MisconfigurationException: values are wrong; the message lists all of them.
    """
    original = cls.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def checked_init(self: T, *args: Any, **kwargs: Any) -> None:
        owner = type(self).__name__
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            unknown = [name for name in kwargs if name not in signature.parameters]
            hint = "".join(did_you_mean(name, signature.parameters) for name in unknown)
            raise TypeError(f"{owner}: {error}.{hint}") from None
        starred = {
            one.name for one in signature.parameters.values() if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        }
        given = {name: value for name, value in list(bound.arguments.items())[1:] if name not in starred}
        values, faults = check_settings(cls, given)
        if faults:
            raise misconfigured(owner, faults)
        bound.arguments.update(values)
        original(*bound.args, **bound.kwargs)

    setattr(cls, "__init__", checked_init)  # noqa: B010  # the decorator's very purpose, which type checkers forbid
    return cls
