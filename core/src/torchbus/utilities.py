"""Small things that scripts use: combined loaders, moving data, gradient norms, rank zero."""

from __future__ import annotations

from ._compile import from_compiled, to_uncompiled
from ._data.combined import CombinedLoader
from ._data.transfer import move_data_to_device
from ._errors import MisconfigurationException
from ._hparams import AttributeDict
from ._optimizer import LightningOptimizer
from ._types import LRSchedulerConfig

__all__ = [
    "AttributeDict",
    "CombinedLoader",
    "LRSchedulerConfig",
    "LightningOptimizer",
    "MisconfigurationException",
    "from_compiled",
    "move_data_to_device",
    "to_uncompiled",
]
