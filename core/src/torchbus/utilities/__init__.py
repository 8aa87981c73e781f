"""Small things that scripts use: combined loaders, moving data, gradient norms, rank zero."""

from __future__ import annotations

from .._compile import from_compiled, to_uncompiled
from .._data.combined import CombinedLoader
from .._data.transfer import move_data_to_device
from .._errors import MisconfigurationException
from .._hparams import AttributeDict, HyperparametersMixin
from .._optimizer import LightningOptimizer
from .._types import LRSchedulerConfig
from .grads import grad_norm
from .parameter_tying import find_shared_parameters, set_shared_parameters
from .rank_zero import rank_zero_debug, rank_zero_deprecation, rank_zero_info, rank_zero_only, rank_zero_warn

__all__ = [
    "AttributeDict",
    "CombinedLoader",
    "HyperparametersMixin",
    "LRSchedulerConfig",
    "LightningOptimizer",
    "MisconfigurationException",
    "find_shared_parameters",
    "from_compiled",
    "grad_norm",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
    "set_shared_parameters",
    "to_uncompiled",
]
