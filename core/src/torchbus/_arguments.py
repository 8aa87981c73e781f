"""The arguments of ``Trainer`` that need more than a type to be right."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation, TypeAdapter, ValidationError
from torchbus_hookspecs import Accelerator
from torchbus_hookspecs.settings import Duration

from ._errors import MisconfigurationException

__all__ = [
    "AcceleratorChoice",
    "Count",
    "DeviceChoice",
    "Fraction",
    "Interval",
    "NotNegative",
    "NumberOfRuns",
    "Positive",
    "check_barebones",
    "check_clipping",
    "check_unavailable",
    "check_validation",
]


def _fraction(value: int | float) -> int | float:
    if value < 0:
        raise ValueError("it must be a number of batches (0 or more) or a fraction from 0.0 to 1.0")
    if isinstance(value, float) and value > 1.0:
        raise ValueError(f"a fraction is at most 1.0; for a number of batches write {int(value)}, without a point")
    return value


_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
_INTERVAL = (
    "a number of batches (1 or more), a fraction above 0.0 and up to 1.0, or a time: 'DD:HH:MM:SS', '1h30m', a timedelta"
    " or {'minutes': 30}"
)


def _interval_as_time(value: Any) -> Any:
    """Read what is no number as a time; a number in a text would be seconds there, and may have been meant as batches."""
    if isinstance(value, int | float):
        return value
    try:
        return _DURATION.validate_python(None if isinstance(value, str) and value.strip().isdecimal() else value)
    except ValidationError:
        raise ValueError(f"it must be {_INTERVAL}") from None


def _interval(value: Any) -> Any:
    if isinstance(value, timedelta):
        if value <= timedelta(0):
            raise ValueError("a time between validations must be longer than zero")
        return value
    if value <= 0:
        raise ValueError(f"it must be {_INTERVAL}")
    return _fraction(value)


def _count(value: int) -> int:
    if value < -1:
        raise ValueError("it must be -1 (no limit) or 0 or more")
    return value


def _runs(value: bool | int) -> bool | int:
    if value < 0:
        raise ValueError("it must be True, False or a number of batches")
    return value


Fraction = Annotated[int | float, AfterValidator(_fraction)]
"""A whole number of batches, or a fraction of them."""
Interval = Annotated[int | float | timedelta, BeforeValidator(_interval_as_time), AfterValidator(_interval)]
"""A number of batches, at least 1, a fraction of them, above 0, or a time."""
Count = Annotated[int, AfterValidator(_count)]
"""0 or more, or -1 for no limit."""
NumberOfRuns = Annotated[bool | int, AfterValidator(_runs)]
"""``True`` for one, or how many."""
Positive = Annotated[int, Field(ge=1)]
AcceleratorChoice = SkipValidation[str | Accelerator]
DeviceChoice = SkipValidation[list[int] | str | int]
"""Which forms are right, each accelerator knows."""
NotNegative = Annotated[int, Field(ge=0)]


def check_clipping(caller: str, value: Any, algorithm: Any) -> None:
    """Refuse what is no number to clip by.

    Args:
        caller: who was given these arguments, for the error.
        value: the limit.
        algorithm: how to clip.

    Raises:
        TypeError: ``gradient_clip_val`` is no number.
        MisconfigurationException: the algorithm is unknown.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(
            f"{caller}(gradient_clip_val={value!r}): it should be an int or a float, or None, not {type(value).__name__}."
        )
    if algorithm is not None and str(algorithm).lower() not in ("norm", "value"):
        raise MisconfigurationException(
            f"{caller}(gradient_clip_algorithm={algorithm!r}): it is invalid; it must be 'norm' or 'value'."
        )


def check_unavailable(num_nodes: int) -> None:
    """Refuse what no installed plugin can do, rather than pass over it.

    Raises:
        MisconfigurationException: so it is.
    """
    if num_nodes > 1:
        raise MisconfigurationException(
            f"Trainer(num_nodes={num_nodes}): training on several machines needs a strategy for it, and there is none yet."
        )


def check_validation(interval: Any, every_n_epoch: int | None) -> None:
    """Refuse a fraction of an epoch where validation counts over all epochs.

    Raises:
        MisconfigurationException: so it is.
    """
    if every_n_epoch is None and isinstance(interval, float):
        raise MisconfigurationException(
            f"Trainer(val_check_interval={interval}, check_val_every_n_epoch=None): across epochs there is nothing to take"
            " a fraction of. To fix: give an integer, a number of batches, or a time such as '00:00:30:00'."
        )


_OFF_IN_BAREBONES = (
    "logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps",
    "log_every_n_steps", "fast_dev_run", "detect_anomaly", "profiler",
)  # fmt: skip


def check_barebones(given: Mapping[str, Any]) -> None:
    """Refuse features together with ``barebones=True``, which switches them off.

    Args:
        given: the trainer's arguments by name.

    Raises:
        ValueError: one was asked for.
    """
    wanted = [f"{name}={given[name]!r}" for name in _OFF_IN_BAREBONES if given[name]]
    if wanted:
        raise ValueError(
            f"Trainer(barebones=True) runs without anything beside the loop, and cannot be combined with {', '.join(wanted)}."
        )
