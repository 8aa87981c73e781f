"""What enables a plugin, in the words of a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .._discovery import DEFAULTS, Offer, PluginKind

__all__ = ["enable_text", "example_text", "full_name", "given_by_trainer", "remark", "twins", "used_by_default"]

ARGUMENTS: dict[PluginKind, str] = {
    "callbacks": "plugins",
    "plugins": "plugins",
    "loggers": "logger",
    "accelerators": "accelerator",
    "strategies": "strategy",
    "profilers": "profiler",
}


def enable_text(kind: PluginKind, name: str) -> str:
    """The trainer's argument that enables a plugin: ``logger="csv"``."""
    argument = ARGUMENTS[kind]
    return f'{argument}=["{name}"]' if argument == "plugins" else f'{argument}="{name}"'


def example_text(kind: PluginKind, name: str, required: Iterable[str]) -> str:
    """The same with a place for each required setting: ``plugins={"early_stopping": {"monitor": ...}}``."""
    settings = ", ".join(f'"{setting}": ...' for setting in required)
    return f'{ARGUMENTS[kind]}={{"{name}": {{{settings}}}}}' if settings else enable_text(kind, name)


def given_by_trainer(kind: PluginKind) -> tuple[str, ...]:
    """Settings that the trainer fills in where the script does not."""
    return ("accelerator", "devices") if kind == "strategies" else ("save_dir",)


def used_by_default(offers: Sequence[Offer]) -> set[str]:
    """The plugins that a trainer uses when the script says nothing."""
    offered = {offer.name for offer in offers}
    return {next((name for name in names if name in offered), "") for names in DEFAULTS.values()}


def full_name(offer: Offer, offers: Iterable[Offer]) -> str:
    """The name that means this plugin: ``distribution:name`` where the name alone means several."""
    return f"{offer.distribution}:{offer.name}" if twins(offer, offers) else offer.name


def remark(offer: Offer, offers: Sequence[Offer]) -> str:
    """What keeps a plugin from being used by its name, or ""."""
    if offer.fault:
        return f"Cannot be used: {offer.fault}"
    others = ", ".join(twin.origin for twin in twins(offer, offers))
    return f"Also offered by {others}: write `{full_name(offer, offers)}` to pick this one." if others else ""


def twins(offer: Offer, offers: Iterable[Offer]) -> list[Offer]:
    """Plugins of other distributions that have the same name."""
    return [other for other in offers if other.name == offer.name and other.distribution != offer.distribution]
