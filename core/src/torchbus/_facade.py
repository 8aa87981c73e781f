"""Classes of installed plugins under one roof: ``from torchbus.callbacks import EarlyStopping``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ._discovery import Offer, PluginKind, discover, find_offer, load_offer, standard_names
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
    facade = _Facade(module, kind, own, companions)
    return facade.get, facade.names


@dataclass(slots=True)
class _Facade:
    module: str
    kind: PluginKind
    own: list[str]
    companions: dict[str, str]
    resolved: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        if name == "__all__":
            return sorted({*self.own, *filter(self.is_there, self.standard_classes())})
        if name not in self.resolved:
            self.resolved[name] = self.resolve(name)
        return self.resolved[name]

    def names(self) -> list[str]:
        offered = {_class_of(one.target) for one in self.offers()}
        return sorted({"__all__", *self.own, *self.companions, *offered})

    def offers(self) -> list[Offer]:
        return [one for one in discover() if one.kind == self.kind]

    def resolve(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}")
        offers = self.offers()
        by_class = [one.name for one in offers if _class_of(one.target) == name]
        entry = self.companions.get(name) or (by_class[0] if len(by_class) == 1 else _entry_name(name))
        try:
            offer = find_offer(entry, self.kind, offers)
        except PluginNotFoundError as error:
            if entry in standard_names(self.kind):
                # no AttributeError: Python would drop its text in `from torchbus.callbacks import ...`
                raise ImportError(f"{self.module}.{name} is not installed. {error}") from None
            hint = did_you_mean(name, [*(_class_of(one.target) for one in offers), *self.companions])
            raise AttributeError(f"module {self.module!r} has no {name!r}.{hint} {error}") from None
        if _class_of(offer.target) == name:
            return load_offer(offer)
        package = importlib.import_module(offer.target.partition(":")[0])
        try:
            return getattr(package, name)
        except AttributeError:
            raise AttributeError(f"module {self.module!r} has no {name!r}: {offer.origin} does not have it.") from None

    def standard_classes(self) -> list[str]:
        standard = standard_names(self.kind)
        offers = [one for one in self.offers() if standard.get(one.name) == one.distribution]
        entries = {one.name for one in offers}
        with_them = [name for name, entry in self.companions.items() if entry in entries]
        return [_class_of(one.target) for one in offers] + with_them

    def is_there(self, name: str) -> bool:
        try:
            self.get(name)
        except (ImportError, AttributeError, MisconfigurationException):
            return False
        return True


def _class_of(target: str) -> str:
    return target.rpartition(":")[2]


def _entry_name(name: str) -> str:
    """The entry point of a class: ``EarlyStopping`` is ``early_stopping``, ``CSVLogger`` is ``csv``."""
    snake = instance_name(type(name, (), {}))
    for suffix in ("_logger", "_accelerator", "_strategy", "_profiler"):
        snake = snake.removesuffix(suffix)
    return {"tensor_board": "tensorboard", "py_torch": "pytorch", "plugin": "plugins"}.get(snake, snake)
