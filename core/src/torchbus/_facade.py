"""Classes of installed plugins under one roof: ``from torchbus.callbacks import EarlyStopping``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ._discovery import PluginKind, discover, find_offer, load_offer, standard_names
from ._errors import MisconfigurationException, PluginNotFoundError, did_you_mean
from ._plugins import instance_name

__all__ = ["lazy_classes"]


def lazy_classes(
    module: str, kind: PluginKind, own: list[str], companions: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for a module whose classes come from installed plugins.

    ``__all__`` is such an attribute too: the module's own names and the standard plugins that can be imported. So
    ``import *`` gives what Lightning's gives, and imports no stranger's code.

    Args:
        module: the module's name.
        kind: which plugins it shows.
        own: the names that the module has itself.
        companions: further names, with the entry point whose package has them (bases, themes, …).

    Raises (from ``__getattr__``):
        ImportError: the standard plugin with that class is not installed; the message says what to install.
        AttributeError: no plugin has such a class; the message gives the nearest.
    """
    resolved: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted({*own, *filter(is_there, standard_classes())})
        if name not in resolved:
            resolved[name] = resolve(name)
        return resolved[name]

    def resolve(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        offers = discover()
        by_class = [one.name for one in offers if one.kind == kind and _class_of(one.target) == name]
        entry = companions.get(name) or (by_class[0] if len(by_class) == 1 else _entry_name(name))
        try:
            offer = find_offer(entry, kind, offers)
        except PluginNotFoundError as error:
            if entry in standard_names(kind):
                # no AttributeError: Python would drop its text in `from torchbus.callbacks import ...`
                raise ImportError(f"{module}.{name} is not installed. {error}") from None
            known = [_class_of(one.target) for one in offers if one.kind == kind]
            hint = did_you_mean(name, [*known, *companions])
            raise AttributeError(f"module {module!r} has no {name!r}.{hint} {error}") from None
        if _class_of(offer.target) == name:
            return load_offer(offer)
        package = importlib.import_module(offer.target.partition(":")[0])
        try:
            return getattr(package, name)
        except AttributeError:
            raise AttributeError(f"module {module!r} has no {name!r}: {offer.origin} does not have it.") from None

    def standard_classes() -> list[str]:
        standard = standard_names(kind)
        offers = [one for one in discover() if one.kind == kind and standard.get(one.name) == one.distribution]
        with_companions = {one.name for one in offers}
        return [_class_of(one.target) for one in offers] + [
            name for name, entry in companions.items() if entry in with_companions
        ]

    def is_there(name: str) -> bool:
        try:
            get(name)
        except (ImportError, AttributeError, MisconfigurationException):
            return False
        return True

    def entry_names() -> list[str]:
        offered = {_class_of(one.target) for one in discover() if one.kind == kind}
        return sorted({"__all__", *own, *companions, *offered})

    return get, entry_names


def _class_of(target: str) -> str:
    return target.rpartition(":")[2]


def _entry_name(name: str) -> str:
    """The entry point of a class: ``EarlyStopping`` is ``early_stopping``, ``CSVLogger`` is ``csv``."""
    snake = instance_name(type(name, (), {}))
    for suffix in ("_logger", "_accelerator", "_strategy", "_profiler"):
        snake = snake.removesuffix(suffix)
    return {"tensor_board": "tensorboard", "py_torch": "pytorch", "plugin": "plugins"}.get(snake, snake)
