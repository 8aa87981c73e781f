"""The events of a run in two files, JSON lines and a trace for Perfetto: ``Trainer(plugins=["trace"])``."""

from __future__ import annotations

from ._trace import Trace

__all__ = ["Trace"]
