"""From what a script writes to plugins ready to register: names, settings, instances, modules and files.

``plugins=``, ``callbacks=`` and ``logger=`` of the trainer all come through ``enable``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torchbus_hookspecs import Accelerator, Callback, FailurePolicy, Logger, Profiler, Strategy

from ._discovery import STANDARD, Offer, PluginKind, discover, find_offer, load_offer, one_of, standard_names
from ._errors import (
    Fault,
    MisconfigurationException,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    did_you_mean,
)
from ._run_options import RUN_SOURCE, RunOptions, read_run_options
from ._settings import PREFIX, ConfigFile, gather, read_config_file, setting_variable

__all__ = ["Enabled", "Enabler", "as_list", "free_name", "instance_name", "load_kind", "refuse_wrong_kind"]

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
        is_given: whether the script made it itself, so that no settings reach it.
    """

    name: str
    object: Any
    origin: str = ""
    source: str = "the script"
    policy: FailurePolicy | None = None
    is_named: bool = False
    is_given: bool = False


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


def refuse_wrong_kind(offer: Offer, loaded: object) -> None:
    """Raise if what was loaded is of another kind than its entry point says."""
    if offer.kind not in KIND_CLASSES:
        return
    expected = KIND_CLASSES[offer.kind]
    fits = issubclass(loaded, expected) if isinstance(loaded, type) else isinstance(loaded, expected)
    if not fits and not (callable(loaded) and not isinstance(loaded, type)):
        raise _wrong_kind(offer, loaded)


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
        run: what ``torchbus run`` asks for; default: what it handed over, if anything.

    Attributes:
        only_decides: whether plugins are only loaded, not built: to see who would take part, whatever their settings.
    """

    default_root_dir: str
    config: ConfigFile = field(default_factory=read_config_file)
    run: RunOptions = field(default_factory=read_run_options)
    enabled: dict[str, Enabled] = field(default_factory=dict)
    switched_off: set[str] = field(default_factory=set)
    faults: list[tuple[str, list[Fault]]] = field(default_factory=list)
    only_decides: bool = False
    _offers: list[Offer] | None = None

    def __post_init__(self) -> None:
        self.switched_off.update(self.run.off)

    # ---- asking ------------------------------------------------------------------------------------------------------

    def read_switches(self, requests: Any) -> None:
        """Note every ``"no:NAME"`` first: what is switched off is not even imported. ``torchbus run`` has the last word."""
        named = {name for request in as_list(requests) if isinstance(request, Mapping) for name in request}
        named |= {instance_name(request) for request in as_list(requests) if not isinstance(request, str | Mapping)}
        for request in as_list(requests):
            if isinstance(request, str) and request.startswith("no:"):
                try:
                    self._switch_off(request[3:], named)
                except PluginNotFoundError as error:
                    if request in self.config.enabled:
                        error.add_note(f"Read from: {self.config.path}, `enable`.")
                    raise
            elif isinstance(request, Mapping):
                for name, settings in request.items():
                    if settings is False:
                        self._switch_off(name, set())
        for name in self.run.off:
            self._switch_off(name, named)
        self.switched_off -= self.run.plugins.keys()

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
        for request in as_list(requests):
            if isinstance(request, Mapping):
                for name, settings in request.items():
                    built += self._by_name(name, settings, source, kind)
            elif isinstance(request, str):
                built += self._by_name(request, {}, source, kind)
            elif isinstance(request, os.PathLike):
                built += self._by_name(os.fspath(request), {}, source, kind)
            elif isinstance(request, type):
                raise MisconfigurationException(
                    f"{request.__name__} is a class. To fix: pass an instance, {request.__name__}(...), or its plugin name."
                )
            elif request is not None and not self._is_off(request):
                own = free_name(instance_name(request), self.enabled)
                built += self._add(Enabled(own, request, source=source, is_given=True))
        return built

    def enable_run_options(self) -> list[Enabled]:
        """Enable what ``torchbus run`` asks for, after everything that the script and the file ask for.

        Returns:
            All of it, that which was enabled before included.

        Raises:
            MisconfigurationException: there are settings for an instance of the script's own.
        """
        found = []
        for name, settings in self.run.plugins.items():
            known = self.enabled.get(name)
            if known is None:
                plugin = {"plugin": settings["plugin"]} if "plugin" in settings else {}
                found += self._by_name(name, plugin, RUN_SOURCE, None)
                continue
            if known.is_given and settings:
                raise MisconfigurationException(
                    f"`torchbus run --plugin {name}.{next(iter(settings))}=...`: the script makes `{name}` itself, as an"
                    " instance, so that settings do not reach it. To fix: enable it by name in the script, or switch it off"
                    f" with --no {name} and add another, as in --plugin other.plugin=NAME.",
                    plugin=name,
                )
            found.append(known)
        return found

    def enable_default(self, names: Iterable[str], explicit: bool) -> list[Enabled]:
        """Enable the first of ``names`` that is installed. None of them is an error only if ``explicit``."""
        names = list(names)
        usable = [offer for offer in self.offers if not offer.fault]
        for name in names:
            if name in self.switched_off:
                return []
            if any(offer.name == name for offer in usable):
                own = STANDARD.get(name)
                # a stranger's plugin of the same name must not touch a run that did not ask for it
                is_ours = any(offer.name == name and offer.distribution == own for offer in usable)
                return self._by_name(f"{own}:{name}" if is_ours else name, {}, "default", None)
        if explicit:
            self._load(names[-1], None)
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

    def check_configured_names(self) -> None:
        """Refuse settings in the configuration file or the environment for what is nearly a plugin's name.

        Other unknown names are let be: they may be instance names of another script in the same folder.

        Raises:
            PluginNotFoundError: so it is; the message gives the nearest name.
            MisconfigurationException: a variable has one underscore between plugin and setting.
        """
        known = {offer.name for offer in self.offers} | set(STANDARD) | set(self.enabled)
        named = {name for name, table in self.config.plugins.items() if "plugin" not in table}
        sources = {name: f"{self.config.path}, [plugins.{name}]" for name in named - known}
        variables = {setting_variable(name, "") for name in known | set(self.config.plugins)}
        for variable in os.environ:
            owner, separator, _ = variable.upper().partition("__")
            if owner.startswith(PREFIX) and separator and f"{owner}__" not in variables:
                sources[owner.removeprefix(PREFIX).lower()] = f"environment variable {variable}"
        self._refuse_single_underscores()
        for name, source in sources.items():
            hint = did_you_mean(name, known, cutoff=0.8)
            if hint:
                raise PluginNotFoundError(
                    f"There are settings for `{name}`, and there is no such plugin.{hint} Read from: {source}.",
                    plugin=name,
                )

    def _refuse_single_underscores(self) -> None:
        for name, plugin in self.enabled.items():
            start = setting_variable(name, "").removesuffix("_")
            for variable in os.environ:
                setting = variable.upper().removeprefix(start).lower()
                if variable.upper().startswith(start) and setting in inspect.signature(type(plugin.object)).parameters:
                    raise MisconfigurationException(
                        f"Environment variable {variable} sets nothing: between plugin and setting are two underscores."
                        f" To fix: write {setting_variable(name, setting)}."
                    )

    # ---- building ----------------------------------------------------------------------------------------------------

    def _switch_off(self, name: str, named: Iterable[str]) -> None:
        known = {offer.name for offer in self.offers}.union(self.config.plugins, STANDARD, named)
        hint = did_you_mean(name, known)
        if name not in known and hint:
            raise PluginNotFoundError(f"`no:{name}` switches nothing off.{hint}", plugin=name)
        self.switched_off.add(name)

    def _is_off(self, plugin: object) -> bool:
        """Whether an instance is switched off: by its instance name, or by the name under which its class is offered."""
        targets = [offer.target.partition(":") for offer in self.offers if offer.name in self.switched_off]
        return instance_name(plugin) in self.switched_off or any(
            getattr(sys.modules.get(module), attribute, None) is type(plugin) for module, _, attribute in targets
        )

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
        is_off = name in self.switched_off or name.rpartition(":")[2] in self.switched_off
        if name.startswith("no:") or settings is False or is_off:
            return []
        if settings is None or settings is True:
            settings = {}
        if not isinstance(settings, Mapping):  # {"name": an instance}
            return self._add(Enabled(name, settings, source=source, is_named=True, is_given=True))
        given = dict(settings)
        wanted = given.pop("plugin", None) or self.config.plugins.get(name, {}).get("plugin") or name
        loaded, offer = self._load(wanted, kind)
        own = name if wanted != name else offer.name if offer else instance_name(loaded)
        built = self._build(own, loaded, offer, given, source)
        built.is_named = wanted != name
        return self._add(built)

    def _load(self, wanted: str, kind: PluginKind | None) -> tuple[Any, Offer | None]:
        """What a name means: an entry point, ``module:attribute``, a file or a module, in this order."""
        # `plugins` or `simple` may be a module of the script's, and a profiler or an accelerator belongs elsewhere anyway
        kinds = {kind} if kind else {"callbacks", "loggers", "plugins"}
        offers = [one for one in self.offers if one.kind in kinds]
        try:
            offer = find_offer(wanted, kind, offers)
        except PluginNotFoundError:
            if kind is not None:
                _refuse_other_kind(wanted, self.offers)
            # a standard name means that plugin and nothing else, though Python itself has a module `csv`
            loaded = None if wanted in standard_names(kind) else _load_by_import(wanted)
            if loaded is None:
                _refuse_other_kind(wanted, self.offers)
                raise
            return loaded, None
        loaded = load_offer(offer)
        refuse_wrong_kind(offer, loaded)
        return loaded, offer

    def _build(self, name: str, loaded: Any, offer: Offer | None, given: dict[str, Any], source: str) -> Enabled:
        origin = offer.origin if offer else ""
        label = f"`{name}` ({origin})" if origin else f"`{name}`"
        is_ready = isinstance(loaded, ModuleType) or not callable(loaded) or isinstance(loaded, Callback | Logger)
        if self.only_decides:
            return Enabled(name, loaded if is_ready else _unbuilt(loaded), origin, source)
        values, sources = gather(
            name, _takes_nothing if is_ready else loaded, given, self.config, self.run.plugins.get(name)
        )
        values.pop("plugin", None)
        policy = values.pop("on_failure", None)
        faults = []
        if policy not in (None, "raise", "quarantine"):
            problem = f"is {policy!r}; it should be 'raise' or 'quarantine'."
            faults.append(Fault("on_failure", problem, policy, sources["on_failure"]))
        if is_ready:
            problem = "is not a setting: this plugin takes none."
            faults += [Fault(key, problem, value, sources[key]) for key, value in values.items()]
        else:
            values, found = self._check(loaded, values, sources)
            faults += found
        if faults:
            self.faults.append((label, faults))
            return Enabled(name, None, origin, source)
        return Enabled(name, loaded if is_ready else _construct(name, label, loaded, values), origin, source, policy)

    def _check(
        self, loaded: Any, values: dict[str, Any], sources: dict[str, str]
    ) -> tuple[dict[str, Any], list[Fault]]:
        from torchbus_hookspecs.settings import check_settings, describe_settings

        required = {setting.name for setting in describe_settings(loaded) if setting.required}
        if "save_dir" in required and "save_dir" not in values:
            values["save_dir"] = self.default_root_dir
        return check_settings(loaded, values, sources)


def _takes_nothing() -> None:
    """The declaration of modules and objects: they have no settings."""


def _unbuilt(loaded: Any) -> Any:
    """Something that is what would be built, to ask for its kind and no more."""
    try:
        return object.__new__(loaded)
    except TypeError:  # a function that makes one, or an abstract class
        return loaded


def _construct(name: str, label: str, loaded: Any, settings: dict[str, Any]) -> Any:
    try:
        return loaded(**settings)
    except MisconfigurationException as error:
        error.add_note(f"While building plugin {label}.")
        raise
    except (Exception, SystemExit) as error:
        raise PluginLoadError(
            f"Plugin {label} cannot be built: {type(error).__name__}: {error}.", plugin=name
        ) from error


def free_name(name: str, taken: Container[str]) -> str:
    """``name``, or ``name_2``, ``name_3`` and so on where that is taken."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def as_list(requests: Any) -> list[Any]:
    """The requests of an argument that takes nothing, one, or a list."""
    if requests is None:
        return []
    return list(requests) if isinstance(requests, list | tuple) else [requests]


ARGUMENTS = {"loggers": "logger", "accelerators": "accelerator", "strategies": "strategy", "profilers": "profiler"}
"""The argument of the trainer that takes plugins of a kind; default: ``plugins``."""


def _refuse_other_kind(wanted: str, offers: list[Offer]) -> None:
    """Say so if the name, which is that of nothing asked for, is that of a plugin of another kind."""
    other = next((offer for offer in offers if offer.name == wanted), None)
    if other is not None:
        raise PluginNotFoundError(
            f"`{wanted}` ({other.origin}) is {one_of(other.kind)}. To fix: pass it as"
            f" Trainer({ARGUMENTS.get(other.kind, 'plugins')}={wanted!r}).",
            plugin=wanted,
        )


def _load_by_import(wanted: str) -> Any:
    """A ``.py`` file, ``package.module:attribute`` or a module, or ``None`` if it is none of these.

    Raises:
        PluginLoadError: it is there and cannot be imported.
    """
    module, _, attribute = wanted.partition(":")
    try:
        if wanted.endswith(".py"):
            return _load_file(Path(wanted))
        if not all(part.isidentifier() for part in module.split(".")):
            return None
        if module not in sys.modules and importlib.util.find_spec(module) is None:
            return None
        loaded: Any = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            loaded = getattr(loaded, part)
    except (PluginLoadError, PluginNotFoundError):
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return None
        raise _import_failure(wanted, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failure(wanted, error) from error
    return loaded


def _import_failure(wanted: str, error: BaseException) -> PluginLoadError:
    return PluginLoadError(f"Plugin `{wanted}` cannot be imported: {type(error).__name__}: {error}.", plugin=wanted)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginNotFoundError(f"There is no plugin file {path} (looked in {Path.cwd()}).", plugin=str(path))
    # under a name of its own, since dataclasses and pickle look a class's module up
    name = ".".join(["torchbus_plugin_files", *path.resolve().with_suffix("").parts[1:]])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # true for every .py file
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
