"""Every error torchbus raises by its own judgement.

    TorchbusError
    ├── MisconfigurationException        a setting, an argument or a class that cannot work; a ValueError too
    │   ├── PluginValidationError        a plugin's hooks do not fit the contract
    │   ├── PluginNotFoundError          nobody offers a plugin of that name
    │   ├── PluginConflictError          several distributions offer it, or one instance name is used twice
    │   ├── PluginLoadError              it is installed and cannot be imported or built
    │   ├── PluginOrderError             `before` and `after` contradict each other
    │   └── MissingEntryError            what was asked for by name is not there; a KeyError too
    └── CheckpointError                  a checkpoint is damaged, foreign, or cannot be written

Where Lightning raises a built-in type that users catch (``FileNotFoundError`` for a missing checkpoint, ``TypeError`` for
an unknown argument, ``ValueError`` for an unknown accelerator, ``RuntimeError`` for a state that does not fit), torchbus
raises the same.
"""

from __future__ import annotations

from torchbus_hookspecs.errors import EndRun, Fault, MisconfigurationException, TorchbusError, did_you_mean

__all__ = [
    "ENDINGS",
    "CheckpointError",
    "Fault",
    "MisconfigurationException",
    "MissingEntryError",
    "PluginConflictError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PluginOrderError",
    "PluginValidationError",
    "TorchbusError",
    "did_you_mean",
]


ENDINGS = (KeyboardInterrupt, SystemExit, GeneratorExit, EndRun)
"""What a plugin raises to end something: no failure, and nobody is to blame for it."""


class PluginValidationError(MisconfigurationException):
    """A plugin's hooks do not fit the contract: an unknown hook or argument, or nothing that could ever be called."""


class PluginNotFoundError(MisconfigurationException):
    """Nobody offers a plugin of that name."""


class PluginConflictError(MisconfigurationException):
    """One name means several plugins."""


class PluginLoadError(MisconfigurationException):
    """A plugin is installed, was asked for, and cannot be imported, built, or is made for another contract."""


class PluginOrderError(MisconfigurationException):
    """The plugins' ``before`` and ``after`` contradict each other."""


class MissingEntryError(MisconfigurationException, KeyError):
    """What was asked for by name is not there."""

    __str__ = Exception.__str__  # that of KeyError would put the message in quotes


class CheckpointError(TorchbusError):
    """A checkpoint is damaged, foreign, or cannot be written."""
