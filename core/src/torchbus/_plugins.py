"""From what a script writes to plugins ready to register: names, settings, instances, modules and files.

``plugins=``, ``callbacks=`` and ``logger=`` of the trainer all come through ``enable``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torchbus_hookspecs import Accelerator, Callback, FailurePolicy, Logger, Profiler, Strategy

from ._discovery import STANDARD, Offer, PluginKind, discover, find_offer, load_offer
from ._errors import (
    Fault,
    MisconfigurationException,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    did_you_mean,
)
from ._settings import ConfigFile, gather, read_config_file

__all__ = ["Enabled", "Enabler", "instance_name", "load_kind"]

KIND_CLASSES: dict[PluginKind, type] = {
    "callbacks": Callback,
    "loggers": Logger,
    "accelerators": Accelerator,
    "strategies": Strategy,
    "profilers": Profiler,
}


@dataclass(slots=True, eq=False)
class Enabled:
    """A plugin that a run will use.

    Attributes:
        name: its instance name.
        object: the callback, logger, module of hookimpls, …
        origin: distribution and version, as text; empty for the script's own objects.
        source: what enabled it, such as ``"the script"`` or ``"default"``.
        policy: what happens when it raises, where the settings say so.
        is_named: whether the user chose the instance name.
    """

    name: str
    object: Any
    origin: str = ""
    source: str = "the script"
    policy: FailurePolicy | None = None
    is_named: bool = False


def instance_name(plugin: object) -> str:
    """The default instance name of an object: a module's name, or its class's in snake case, as entry points have it."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__.rpartition(".")[2]
    name = plugin.__name__ if isinstance(plugin, type) else type(plugin).__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def load_kind(name: str, kind: PluginKind, offers: list[Offer] | None = None) -> type:
    """The class that an installed plugin of that kind and name offers."""
    offer = find_offer(name, kind, offers)
    loaded = load_offer(offer)
    if not (isinstance(loaded, type) and issubclass(loaded, KIND_CLASSES[kind])):
        raise _wrong_kind(offer, loaded)
    return loaded


def _wrong_kind(offer: Offer, loaded: object) -> PluginLoadError:
    return PluginLoadError(
        f"Plugin `{offer.name}` ({offer.origin}) points to {loaded!r} at {offer.target}, and its kind `{offer.kind}`"
        f" needs a class derived from {KIND_CLASSES[offer.kind].__name__}. To fix: tell the authors of"
        f" {offer.distribution}.",
        plugin=offer.name,
    )


@dataclass(slots=True)
class Enabler:
    """Collects what is asked for, level by level, then builds it.

    Args:
        default_root_dir: given to plugins with a required setting ``save_dir`` that nobody sets.
        config: what the configuration file says; default: the nearest file is read.
    """

    default_root_dir: str
    config: ConfigFile = field(default_factory=read_config_file)
    enabled: dict[str, Enabled] = field(default_factory=dict)
    switched_off: set[str] = field(default_factory=set)
    faults: list[tuple[str, list[Fault]]] = field(default_factory=list)
    _offers: list[Offer] | None = None

    # ---- asking ------------------------------------------------------------------------------------------------------

    def read_switches(self, requests: Any) -> None:
        """Note every ``"no:NAME"`` first: what is switched off is not even imported."""
        for request in _as_list(requests):
            if isinstance(request, str) and request.startswith("no:"):
                self._switch_off(request[3:])
            elif isinstance(request, Mapping):
                for name, settings in request.items():
                    if settings is False:
                        self._switch_off(name)

    def enable(self, requests: Any, source: str = "the script", kind: PluginKind | None = None) -> list[Enabled]:
        """Build what is asked for.

        Args:
            requests: one request or a list: a name, ``{name: settings}``, an instance, a module,
                ``"package.module:attribute"``, a path to a ``.py`` file, or ``"no:NAME"``.
            source: what asks.
            kind: only plugins of this kind are found by name.

        Returns:
            What was built, in the order asked for. Faults in settings are collected: see ``raise_faults``.
        """
        built = []
        for request in _as_list(requests):
            if isinstance(request, Mapping):
                for name, settings in request.items():
                    built += self._by_name(name, settings, source, kind)
            elif isinstance(request, str):
                built += self._by_name(request, {}, source, kind)
            elif isinstance(request, os.PathLike):
                built += self._by_name(os.fspath(request), {}, source, kind)
            elif isinstance(request, type):
                raise MisconfigurationException(
                    f"{request.__name__} is a class; pass an instance: {request.__name__}(...), or its plugin name."
                )
            elif request is not None:
                built += self._add(Enabled(self._free_name(instance_name(request)), request, source=source))
        return built

    def enable_default(self, names: Iterable[str], explicit: bool) -> list[Enabled]:
        """Enable the first of ``names`` that is installed. None of them is an error only if ``explicit``."""
        names = list(names)
        offered = {offer.name for offer in self.offers}
        for name in names:
            if name in self.switched_off:
                return []
            if name in offered:
                return self._by_name(name, {}, "default", None)
        if explicit:
            find_offer(names[-1], None, self.offers)
        return []

    def raise_faults(self) -> None:
        """Raise one error for all faults of all plugins' settings, if there are any."""
        if not self.faults:
            return
        from torchbus_hookspecs.settings import misconfigured

        errors = [misconfigured(name, faults) for name, faults in self.faults]
        everything = [fault for error in errors for fault in error.faults]
        raise MisconfigurationException("\n".join(map(str, errors)), plugin=errors[0].plugin, faults=everything)

    @property
    def offers(self) -> list[Offer]:
        """What is installed; read once per trainer."""
        if self._offers is None:
            self._offers = discover()
        return self._offers

    # ---- building ----------------------------------------------------------------------------------------------------

    def _switch_off(self, name: str) -> None:
        known = {offer.name for offer in self.offers} | set(self.config.plugins) | set(STANDARD)
        hint = did_you_mean(name, known)
        if name not in known and hint:
            raise PluginNotFoundError(f"`no:{name}` switches nothing off.{hint}", plugin=name)
        self.switched_off.add(name)

    def _free_name(self, name: str) -> str:
        free, count = name, 1
        while free in self.enabled:
            count += 1
            free = f"{name}_{count}"
        return free

    def _add(self, plugin: Enabled) -> list[Enabled]:
        if plugin.name in self.enabled:
            raise PluginConflictError(
                f"The plugin `{plugin.name}` is enabled twice. To fix: remove one, or name the second, as in"
                f' plugins={{"second": {{"plugin": "{plugin.name}", ...}}}}.',
                plugin=plugin.name,
            )
        self.enabled[plugin.name] = plugin
        return [plugin]

    def _by_name(self, name: str, settings: Any, source: str, kind: PluginKind | None) -> list[Enabled]:
        if not isinstance(name, str):
            raise MisconfigurationException(f"plugins={{{name!r}: ...}}: plugin names are strings.")
        if name.startswith("no:") or settings is False or name in self.switched_off:
            return []
        if settings is None or settings is True:
            settings = {}
        if not isinstance(settings, Mapping):  # {"name": an instance}
            return self._add(Enabled(name, settings, source=source, is_named=True))
        given = dict(settings)
        wanted = given.pop("plugin", None) or self.config.plugins.get(name, {}).get("plugin") or name
        loaded, offer = self._load(wanted, kind)
        own = name if wanted != name else offer.name if offer else instance_name(loaded)
        built = self._build(own, loaded, offer, given, source)
        built.is_named = wanted != name
        return self._add(built)

    def _load(self, wanted: str, kind: PluginKind | None) -> tuple[Any, Offer | None]:
        """What a name means: an entry point, ``module:attribute``, a file or a module, in this order."""
        try:
            offer = find_offer(wanted, kind, self.offers)
        except PluginNotFoundError:
            loaded = _load_by_import(wanted)
            if loaded is None:
                raise
            return loaded, None
        loaded = load_offer(offer)
        if offer.kind in KIND_CLASSES:
            expected = KIND_CLASSES[offer.kind]
            fits = issubclass(loaded, expected) if isinstance(loaded, type) else isinstance(loaded, expected)
            if not fits and not (callable(loaded) and not isinstance(loaded, type)):
                raise _wrong_kind(offer, loaded)
        return loaded, offer

    def _build(self, name: str, loaded: Any, offer: Offer | None, given: dict[str, Any], source: str) -> Enabled:
        origin = offer.origin if offer else ""
        policy = given.pop("on_failure", None)
        if policy not in (None, "raise", "quarantine"):
            fault = Fault("on_failure", f"is {policy!r}; it should be 'raise' or 'quarantine'.", policy, source)
            self.faults.append((name, [fault]))
        if isinstance(loaded, ModuleType) or not callable(loaded) or isinstance(loaded, Callback | Logger):
            if given:
                faults = [
                    Fault(key, "is not a setting: this plugin takes none.", value) for key, value in given.items()
                ]
                self.faults.append((name, faults))
            return Enabled(name, loaded, origin, source, policy)
        return Enabled(name, self._construct(name, loaded, origin, given), origin, source, policy)

    def _construct(self, name: str, loaded: Any, origin: str, given: dict[str, Any]) -> Any:
        from torchbus_hookspecs.settings import check_settings, describe_settings

        values, sources = gather(name, loaded, given, self.config)
        values.pop("plugin", None)
        values = {field: value for field, value in values.items() if field != "plugin"}
        required = {setting.name for setting in describe_settings(loaded) if setting.required}
        if "save_dir" in required and "save_dir" not in values:
            values["save_dir"] = self.default_root_dir
        checked, faults = check_settings(loaded, values, sources)
        label = f"`{name}` ({origin})" if origin else f"`{name}`"
        if faults:
            self.faults.append((label, faults))
            return None
        try:
            built = loaded(**checked)
        except MisconfigurationException as error:
            error.add_note(f"While building plugin {label}.")
            raise
        except Exception as error:
            raise PluginLoadError(
                f"Plugin {label} cannot be built: {type(error).__name__}: {error}.", plugin=name
            ) from error
        return built


def _as_list(requests: Any) -> list[Any]:
    if requests is None:
        return []
    return list(requests) if isinstance(requests, list | tuple) else [requests]


def _load_by_import(wanted: str) -> Any:
    """A ``.py`` file, ``package.module:attribute`` or a module, or ``None`` if it is none of these.

    Raises:
        PluginLoadError: it is there and cannot be imported.
    """
    try:
        if wanted.endswith(".py"):
            return _load_file(Path(wanted))
        module, _, attribute = wanted.partition(":")
        if not all(part.isidentifier() for part in module.split(".")):
            return None
        if module not in sys.modules and importlib.util.find_spec(module) is None:
            return None
        loaded: Any = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            loaded = getattr(loaded, part)
    except (PluginLoadError, FileNotFoundError):
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and wanted.partition(":")[0].startswith(error.name):
            return None
        raise _import_failure(wanted, error) from error
    except Exception as error:
        raise _import_failure(wanted, error) from error
    return loaded


def _import_failure(wanted: str, error: Exception) -> PluginLoadError:
    return PluginLoadError(f"Plugin `{wanted}` cannot be imported: {type(error).__name__}: {error}.", plugin=wanted)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginNotFoundError(f"There is no plugin file {path} (looked in {Path.cwd()}).", plugin=str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # true for every .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
