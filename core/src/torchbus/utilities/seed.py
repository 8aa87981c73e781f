"""Random generators."""

from __future__ import annotations

from .._rng import isolate_rng, seed_everything

__all__ = ["isolate_rng", "seed_everything"]
