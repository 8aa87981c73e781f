"""A torchbus callback that shows which classes a classifier takes for which."""

from ._callback import ConfusionMatrix

__all__ = ["ConfusionMatrix"]
