"""Several loaders as one."""

from __future__ import annotations

from .._data.combined import CombinedLoader

__all__ = ["CombinedLoader"]
