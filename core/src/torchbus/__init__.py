"""torchbus: Lightning's API without its weight.

The training loop only trains, and emits typed events onto a pluggy hook bus; everything else is a plugin.

    import torchbus as L

    trainer = L.Trainer(max_epochs=20, plugins={"early_stopping": {"monitor": "val_loss"}})
    trainer.fit(model, loader)

Names are imported when they are first used, so that the command line can list plugins without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchbus_hookspecs import Callback as Callback
    from torchbus_hookspecs import hookimpl as hookimpl

    from . import accelerators as accelerators
    from . import callbacks as callbacks
    from . import loggers as loggers
    from . import plugins as plugins
    from . import profilers as profilers
    from . import strategies as strategies
    from . import tuner as tuner
    from . import utilities as utilities
    from ._bus import Bus as Bus
    from ._data.combined import CombinedLoader as CombinedLoader
    from ._datamodule import LightningDataModule as LightningDataModule
    from ._errors import CheckpointError as CheckpointError
    from ._errors import MisconfigurationException as MisconfigurationException
    from ._errors import TorchbusError as TorchbusError
    from ._module import LightningModule as LightningModule
    from ._rng import seed_everything as seed_everything
    from ._trainer import Trainer as Trainer

__version__ = "0.1.0"

_HOMES = {
    "Bus": "._bus",
    "Callback": "torchbus_hookspecs",
    "CheckpointError": "._errors",
    "CombinedLoader": "._data.combined",
    "LightningDataModule": "._datamodule",
    "LightningModule": "._module",
    "MisconfigurationException": "._errors",
    "TorchbusError": "._errors",
    "Trainer": "._trainer",
    "hookimpl": "torchbus_hookspecs",
    "seed_everything": "._rng",
}
_ROOMS = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies", "tuner", "utilities")

__all__ = [
    "Bus",
    "Callback",
    "CheckpointError",
    "CombinedLoader",
    "LightningDataModule",
    "LightningModule",
    "MisconfigurationException",
    "TorchbusError",
    "Trainer",
    "accelerators",
    "callbacks",
    "hookimpl",
    "loggers",
    "plugins",
    "profilers",
    "seed_everything",
    "strategies",
    "tuner",
    "utilities",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name], __name__), name)
        globals()[name] = found  # the next use is a plain look-up
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
