"""What to say when the metric that a plugin watches is not among those that were logged.

For plugins with a ``monitor`` setting: ``look_early`` as soon as something was logged, to catch a misspelt name before
an hour of training is lost to it, and ``not_logged`` for the error when the value is needed and is not there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .errors import did_you_mean

if TYPE_CHECKING:
    from torchbus import Trainer

__all__ = ["early_advice", "look_early", "not_logged"]

_STAGES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LISTED = 20


def _base(name: str) -> str:
    """The name under which a metric was logged, without what a fork into steps and epochs adds to it."""
    return name.removesuffix("_step").removesuffix("_epoch")


def _subject(name: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """What tells two metrics apart however alike their names are: the stages and the numbers in them."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    # also where it is the stage that is misspelt: `vall_loss`
    near = (get_close_matches(word, _STAGES, n=1, cutoff=0.8) for word in words)
    return frozenset(_STAGES[one[0]] for one in near if one), tuple(re.findall(r"\d+", name))


def _per_loader(monitor: str, logged: Collection[str]) -> list[str]:
    return sorted(name for name in logged if name.startswith(f"{monitor}/dataloader_idx_"))


def _hint(monitor: str, names: Collection[str], cutoff: float) -> str:
    split = _per_loader(monitor, names)
    return (
        f" Did you mean {' or '.join(f'`{name}`' for name in split)}?"
        if split
        else did_you_mean(monitor, names, cutoff)
    )


def early_advice(plugin: str, monitor: str, logged: Collection[str]) -> str | None:
    """A warning when ``monitor`` looks like a misspelling of a metric that was logged, else ``None``.

    That a name is missing proves little before it is needed: it may be logged at the epoch's end, or in validation.
    So only a near match counts, and none that differs in its stage (``train_loss``, ``val_loss``), in a number
    (``top1``, ``top5``) or in the suffix of a fork (``loss_step``, ``loss_epoch``).

    Args:
        plugin: who says so, in messages.
        monitor: the name that was set.
        logged: the names logged so far.
    """
    if monitor in logged or any(_base(name) == _base(monitor) for name in logged):
        return None
    alike = [name for name in logged if _subject(name) == _subject(monitor)]
    hint = _hint(monitor, _per_loader(monitor, logged) or alike, cutoff=0.75)
    if not hint:
        return None
    return (
        f"{plugin}: `monitor` is {monitor!r}, and no metric of that name has been logged so far.{hint}"
        " If it is logged later, all is well."
    )


def look_early(plugin: str, monitor: str, trainer: Trainer) -> bool:
    """Warn, on rank zero, if ``monitor`` looks misspelt. To be called on every rank when something has been logged.

    Two moments tell something: ``on_validation_end`` of the sanity check, when all that validation logs is known (it is
    cleared before ``on_sanity_check_end``), and after the first training batch (``trainer.before_batch``, with ``skip=1``).

    Returns:
        Whether the matter is settled. It is not after a sanity check that shows neither the metric nor a near match,
        since the metric may be one of training.
    """
    # read on every rank, as reducing metrics may take all of them
    logged = trainer.callback_metrics
    advice = early_advice(plugin, monitor, logged)
    if advice and trainer.is_global_zero and not trainer.fast_dev_run:
        warnings.warn(advice, stacklevel=2)
    return not trainer.sanity_checking or advice is not None or monitor in logged


def not_logged(plugin: str, monitor: str, logged: Collection[str], remedy: str) -> str:
    """The message of an error or a warning: the metric is needed now and is not there.

    Args:
        plugin: who says so.
        monitor: the name that was set.
        logged: the names logged so far; all of them are listed, up to 20.
        remedy: what to do other than to log it or to correct the name, such as ``"set `strict=False`"``; may be empty.
    """
    names = [f"`{name}`" for name in sorted(logged)]
    if len(names) > _LISTED:
        names = [*names[:_LISTED], f"and {len(names) - _LISTED} more"]
    hint = _hint(monitor, logged, cutoff=0.6)
    listed = f"Logged so far: {', '.join(names)}." if names else "Nothing has been logged so far."
    remedies = [f"log it with `self.log({monitor!r}, ...)`", "correct `monitor`", *([remedy] if remedy else [])]
    return (
        f"{plugin}: `monitor` is {monitor!r}, and no metric of that name has been logged.{hint}\n"
        f"{listed}\nTo fix: {', or '.join(remedies)}."
    )
