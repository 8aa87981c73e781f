"""The classes of all installed callback plugins, and the bases to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Callback, Checkpoint, ProgressBar

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_checkpointing import ModelCheckpoint as ModelCheckpoint
    from torchbus_checkpointing import OnExceptionCheckpoint as OnExceptionCheckpoint
    from torchbus_progress import ModelSummary as ModelSummary
    from torchbus_progress import RichModelSummary as RichModelSummary
    from torchbus_progress import RichProgressBar as RichProgressBar
    from torchbus_progress import RichProgressBarTheme as RichProgressBarTheme
    from torchbus_stopping import EarlyStopping as EarlyStopping
    from torchbus_stopping import Timer as Timer

__all__ = ["Callback", "Checkpoint", "ProgressBar"]

_get, _names = lazy_classes(__name__, "callbacks", {"RichProgressBarTheme": "rich_progress_bar"})


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_names()})
