"""All about one plugin. Unlike the list of plugins, it imports the plugin."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from torchbus_hookspecs import Callback, Logger
from torchbus_hookspecs.settings import Setting, describe_settings, settings_model
from torchbus_hookspecs.specs import HOOKS

from .._adapters import hookimpl_options, overridden_methods
from .._bus import CALLBACK_SHAPE, LOGGER_SHAPE
from .._discovery import Offer, load_offer
from .._plugins import KIND_CLASSES, load_kind

__all__ = ["Facts", "facts_of", "gather_facts", "is_constructed", "load_quietly"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plugin says of itself.

    Attributes:
        summary: the first line of its docstring.
        settings: in the order of its constructor.
        hooks: the hooks it implements, in the order of a run.
        schema: the JSON schema of its settings.
    """

    summary: str
    settings: list[Setting]
    hooks: list[str]
    schema: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def gather_facts(offer: Offer) -> Facts:
    """Import a plugin and look at it.

    Raises:
        PluginLoadError: it may not be used, cannot be imported, or is of another kind than it says.
    """
    plugin = load_quietly(offer)
    if isinstance(plugin, type) and offer.kind in KIND_CLASSES:
        load_kind(f"{offer.distribution}:{offer.name}", offer.kind)  # raises for a class of another kind
    return facts_of(plugin)


def load_quietly(offer: Offer) -> Any:
    """Import a plugin; what it prints goes to stderr, since stdout is for what was asked."""
    with contextlib.redirect_stdout(sys.stderr):
        return load_offer(offer)


def is_constructed(plugin: Any) -> bool:
    """Whether something is left to construct, from settings."""
    return callable(plugin) and not isinstance(plugin, ModuleType | Callback | Logger)


def facts_of(plugin: Any) -> Facts:
    """Look at a plugin that is imported."""
    summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
    if not is_constructed(plugin):
        return Facts(summary, [], _hooks(plugin), {})
    schema = settings_model(plugin).model_json_schema(by_alias=True, schema_generator=_TolerantSchema)
    return Facts(summary, describe_settings(plugin), _hooks(plugin), schema)


class _TolerantSchema(GenerateJsonSchema):
    """Says nothing (``{}``) of a type that JSON schema has no words for, such as a class of the plugin's own."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def timedelta_schema(self, schema: Any) -> dict[str, Any]:
        """A duration, in all the ways that ``Duration`` is read: not only as ISO 8601 has it."""
        return {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "object"}]}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}


def _hooks(plugin: Any) -> list[str]:
    found = set(_marked(plugin))
    for shape in (CALLBACK_SHAPE, LOGGER_SHAPE):
        if issubclass(plugin if isinstance(plugin, type) else type(plugin), shape.base):
            found.update(overridden_methods(plugin, shape.base, shape.hooks))
    return [hook for hook in HOOKS if hook in found]


def _marked(plugin: Any) -> Iterator[str]:
    for attribute in dir(plugin):
        static = inspect.getattr_static(plugin, attribute, None)
        options = hookimpl_options(static)
        if options is not None:
            yield options.get("specname") or attribute
