"""A torchbus logger for Weights & Biases: ``Trainer(logger="wandb")``."""

from ._logger import WandbLogger

__all__ = ["WandbLogger"]
