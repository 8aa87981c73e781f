"""Find installed plugins by their entry points. Nothing is imported here: only package metadata is read."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import importlib_metadata as metadata
from packaging.requirements import InvalidRequirement, Requirement
from torchbus_hookspecs import CONTRACT_VERSION

from ._errors import PluginConflictError, PluginLoadError, PluginNotFoundError, did_you_mean

__all__ = [
    "ALLOW_VARIABLE",
    "DEFAULTS",
    "GROUPS",
    "STANDARD",
    "STANDARD_PROFILERS",
    "Offer",
    "PluginKind",
    "discover",
    "find_offer",
    "is_allowed",
    "load_offer",
    "normal_name",
    "standard_names",
]

PluginKind = Literal["callbacks", "loggers", "accelerators", "strategies", "profilers", "plugins"]
GROUPS: dict[PluginKind, str] = {kind: f"torchbus.{kind}" for kind in get_args(PluginKind)}

ALLOW_VARIABLE = "TORCHBUS_PLUGIN_ALLOW"
OWN = "torchbus-core"

STANDARD: dict[str, str] = {
    "early_stopping": "torchbus-stopping",
    "timer": "torchbus-stopping",
    "model_checkpoint": "torchbus-checkpointing",
    "on_exception_checkpoint": "torchbus-checkpointing",
    "learning_rate_monitor": "torchbus-monitoring",
    "device_stats_monitor": "torchbus-monitoring",
    "throughput_monitor": "torchbus-monitoring",
    "spike_detection": "torchbus-monitoring",
    "gradient_monitor": "torchbus-monitoring",
    "metrics_logger": "torchbus-monitoring",
    "metrics_plot": "torchbus-plotting",
    "trace": "torchbus-tracing",
    "gradient_accumulation_scheduler": "torchbus-training",
    "lambda_callback": "torchbus-training",
    "model_pruning": "torchbus-training",
    "nan_guard": "torchbus-training",
    "prediction_writer": "torchbus-prediction",
    "prediction_saver": "torchbus-prediction",
    "backbone_finetuning": "torchbus-finetuning",
    "freeze_unfreeze": "torchbus-finetuning",
    "multi_stage": "torchbus-finetuning",
    "stochastic_weight_averaging": "torchbus-averaging",
    "weight_averaging": "torchbus-averaging",
    "ema_weight_averaging": "torchbus-averaging",
    "batch_size_finder": "torchbus-tuning",
    "learning_rate_finder": "torchbus-tuning",
    "rich_progress_bar": "torchbus-progress",
    "tqdm_progress_bar": "torchbus-tqdm",
    "model_summary": "torchbus-progress",
    "rich_model_summary": "torchbus-progress",
    "csv": "torchbus-csv",
    "tensorboard": "torchbus-tensorboard",
    "cpu": "torchbus-cpu",
    "cuda": "torchbus-cuda",
    "mps": "torchbus-mps",
    "slow_plugins": "torchbus-profilers",
}
"""Names of standard plugins and the distribution that brings each: so that an error can say what to install."""

STANDARD_PROFILERS = dict.fromkeys(("simple", "advanced", "pytorch", "plugins"), "torchbus-profilers")
"""The same for profilers. Only ``profiler=`` looks for them, so that their plain names stay free for everything else."""

DEFAULTS: dict[str, tuple[str, ...]] = {
    "progress_bar": ("rich_progress_bar", "tqdm_progress_bar"),
    "checkpoint": ("model_checkpoint",),
    "summary": ("rich_model_summary", "model_summary"),
    "logger": ("tensorboard", "csv"),
    "observer": ("slow_plugins",),
}
"""What a trainer uses when nothing else is said: the first of these that is installed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One plugin that an installed distribution offers.

    Attributes:
        name: the entry point's name.
        kind: ``"callbacks"``, ``"loggers"``, …
        distribution: the distribution's name.
        version: its version.
        target: ``"package.module:attribute"``.
        fault: why it cannot be used, or empty.
    """

    name: str
    kind: PluginKind
    distribution: str
    version: str
    target: str
    fault: str = ""

    @property
    def origin(self) -> str:
        """Distribution and version, as text."""
        return f"{self.distribution} {self.version}".rstrip()


def discover() -> list[Offer]:
    """Every plugin that installed distributions offer, by kind and name.

    With the environment variable ``TORCHBUS_PLUGIN_ALLOW`` (distribution names, separated by commas), plugins of other
    distributions are marked as not allowed; torchbus-core itself is always allowed.
    """
    offers = []
    kinds = {group: kind for kind, group in GROUPS.items()}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        # an earlier path hides a later one, as for imports
        key = _key(distribution)
        if key in seen:
            continue
        seen.add(key)
        points = [point for point in _entry_points(distribution) if point.group in kinds]
        if not points:
            continue
        name, version, requires = _identity(distribution)
        fault = _contract_fault(name, version, requires)
        if not version:
            fault = f"{name} is damaged: its metadata lacks a name or a version. To fix: reinstall it."
        elif not is_allowed(name):
            fault = f"{name} is not among the distributions that {ALLOW_VARIABLE} allows."
        offers += [Offer(one.name, kinds[one.group], name, version, one.value, fault) for one in points]
    return sorted(offers, key=lambda offer: (offer.kind, offer.name, offer.distribution))


def is_allowed(distribution: str) -> bool:
    """Whether ``TORCHBUS_PLUGIN_ALLOW`` lets plugins of a distribution be used."""
    allowed = os.environ.get(ALLOW_VARIABLE)
    return allowed is None or normal_name(distribution) in {OWN, *map(normal_name, allowed.split(","))}


def _entry_points(distribution: Any) -> Iterable[Any]:  # Any: the types differ between versions of importlib-metadata
    try:
        found: Iterable[Any] = distribution.entry_points
        return found
    except Exception:  # a stranger's damaged file must not stop anybody; whom it belongs to cannot be told
        return ()


def _key(distribution: Any) -> str:
    """The normalised name, from the folder's name where there is one: reading all metadata would take too long."""
    stem, suffix = os.path.splitext(os.path.basename(str(getattr(distribution, "_path", ""))))
    return normal_name(stem.partition("-")[0] if suffix in (".dist-info", ".egg-info") else _identity(distribution)[0])


def _identity(distribution: Any) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements, from one reading of the metadata; the folder's name and "" if it is damaged."""
    try:
        about = distribution.metadata
        return about["Name"], about["Version"], tuple(about.get_all("Requires-Dist") or ())
    except Exception:  # no metadata at all, or fields missing
        folder = os.path.basename(str(getattr(distribution, "_path", "a distribution")))
        return folder, "", ()


def normal_name(name: str) -> str:
    """A distribution's name as all its spellings have it."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


@functools.cache
def _contract_fault(name: str, version: str, requires: tuple[str, ...]) -> str:
    """Say so if a distribution is made for another major version of the contract."""
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if normal_name(requirement.name) != "torchbus-hookspecs":
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(CONTRACT_VERSION, prereleases=True):
            return (
                f"{name} {version} is made for torchbus-hookspecs {requirement.specifier}, and {CONTRACT_VERSION} is"
                f" installed. To fix: install a version of {name} for contract {CONTRACT_VERSION.split('.')[0]}."
            )
    return ""


def standard_names(kind: PluginKind | None) -> dict[str, str]:
    """The standard plugins, and the distribution of each, among which a name of that kind is looked up."""
    return STANDARD_PROFILERS if kind == "profilers" else STANDARD


def one_of(kind: PluginKind) -> str:
    """A plugin of that kind, as a sentence calls it: ``a logger``."""
    single = {"strategies": "strategy"}.get(kind, kind.removesuffix("s"))
    return f"{'an' if single[0] in 'aeiou' else 'a'} {single}"


def find_offer(name: str, kind: PluginKind | None = None, offers: list[Offer] | None = None) -> Offer:
    """The one offer of that name.

    Args:
        name: an entry point's name, or ``"distribution:name"`` to pick one of several.
        kind: only plugins of this kind; default: of any.
        offers: where to look; default: what is installed.

    Raises:
        PluginNotFoundError: nobody offers it. The message gives near names and, for a standard plugin, what to install.
        PluginConflictError: several distributions do. The message names them.
    """
    offers = discover() if offers is None else offers
    distribution, _, bare = name.rpartition(":")
    found = [
        offer
        for offer in offers
        if offer.name == bare
        and (kind is None or offer.kind == kind)
        and (not distribution or normal_name(offer.distribution) == normal_name(distribution))
    ]
    if len(found) == 1:
        return found[0]
    what = "a plugin" if kind is None else one_of(kind)
    if found and len({offer.distribution for offer in found}) == 1:
        kinds = " and ".join(f"as {offer.kind}" for offer in found)
        raise PluginConflictError(
            f"{found[0].origin} offers `{bare}` {kinds}. To fix: enable it where only one kind is meant, such as"
            " callbacks= or logger=.",
            plugin=name,
        )
    if found:
        owners = ", ".join(offer.origin for offer in found)
        raise PluginConflictError(
            f"Several distributions offer {what} `{name}`: {owners}. To fix: write `{found[0].distribution}:{bare}`"
            " to pick one, or uninstall the other.",
            plugin=name,
        )
    standard = standard_names(kind)
    if bare in standard and not distribution:
        hint = f" It comes with {standard[bare]}: pip install {standard[bare]}"
    else:
        names = {offer.name for offer in offers if kind is None or offer.kind == kind}
        hint = did_you_mean(bare, names | set(standard)) or f" Installed are: {', '.join(sorted(names)) or 'none'}."
    raise PluginNotFoundError(
        f"No installed distribution offers {what} `{name}`.{hint} `torchbus plugins list` shows what is installed.",
        plugin=name,
    )


def load_offer(offer: Offer) -> Any:
    """Import what an offer points to.

    Raises:
        PluginLoadError: it may not be used, or importing it failed; the cause is attached.
    """
    if offer.fault:
        raise PluginLoadError(f"Plugin `{offer.name}` cannot be used: {offer.fault}", plugin=offer.name)
    try:
        return metadata.EntryPoint(name=offer.name, value=offer.target, group=GROUPS[offer.kind]).load()
    except (Exception, SystemExit) as error:  # one that exits must not end the script without a word
        raise PluginLoadError(
            f"Plugin `{offer.name}` ({offer.origin}) cannot be imported from {offer.target}:"
            f" {type(error).__name__}: {error}. To fix: reinstall or update {offer.distribution}, or do not enable it.",
            plugin=offer.name,
        ) from error
