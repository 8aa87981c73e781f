"""Build a module or a datamodule from a checkpoint, without a trainer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ._checkpoint_io import load_checkpoint

__all__ = ["class_only", "load_datamodule", "load_module", "load_weights"]

T = TypeVar("T")


if TYPE_CHECKING:
    class_only = classmethod
else:

    class class_only(classmethod):  # used like classmethod
        """A class method that an instance refuses: it makes a new object, and would leave the instance as it is."""

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return super().__get__(instance, owner)
            name = f"{type(instance).__name__}.{self.__func__.__name__}"

            def refuse(*args: Any, **kwargs: Any) -> None:
                raise TypeError(f"{name} makes a new object: call it on the class, and use what it returns.")

            return refuse


def load_module(
    cls: type[T],
    path: str | Path,
    map_location: Any,
    hparams_file: str | Path | None,
    strict: bool | None,
    weights_only: bool | None,
    overrides: dict[str, Any],
) -> T:
    """See ``LightningModule.load_from_checkpoint``."""
    checkpoint = load_checkpoint(path, map_location, weights_only)
    module: Any = _construct(cls, checkpoint, hparams_file, overrides)
    if hasattr(module, "configure_model"):
        module.configure_model()
    module.on_load_checkpoint(checkpoint)
    load_weights(module, checkpoint["state_dict"], module.strict_loading if strict is None else strict, path)
    device = next((one.device for one in checkpoint["state_dict"].values() if isinstance(one, torch.Tensor)), None)
    if device is not None and device.type != "meta":
        module.to(device)
    built: T = module
    return built


def load_datamodule(
    cls: type[T],
    path: str | Path,
    map_location: Any,
    hparams_file: str | Path | None,
    weights_only: bool | None,
    overrides: dict[str, Any],
) -> T:
    """See ``LightningDataModule.load_from_checkpoint``."""
    checkpoint = load_checkpoint(path, map_location, weights_only)
    datamodule: Any = _construct(cls, checkpoint, hparams_file, overrides)
    if cls.__qualname__ in checkpoint:
        datamodule.load_state_dict(checkpoint[cls.__qualname__])
    built: T = datamodule
    return built


def _construct(
    cls: Any, checkpoint: Mapping[str, Any], hparams_file: str | Path | None, overrides: dict[str, Any]
) -> Any:
    saved = dict(checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}))
    if hparams_file is not None:
        saved = {**_read_hparams(Path(hparams_file)), **saved}
    name = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
    parameters = inspect.signature(cls.__init__).parameters
    if name and name != "kwargs" and name in parameters:
        # saved as one object: given back as one
        inner = {key: value for key, value in overrides.items() if key not in parameters}
        outer = {key: value for key, value in overrides.items() if key in parameters}
        return cls(**{name: {**saved, **inner}, **outer})
    arguments = {**saved, **overrides}
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        arguments = {key: value for key, value in arguments.items() if key in parameters}
    return cls(**arguments)


def _read_hparams(path: Path) -> dict[str, Any]:
    import yaml  # only for those who pass such a file

    if not path.is_file():
        raise FileNotFoundError(f"There is no hyperparameter file {path}.")
    read: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return read


def load_weights(module: torch.nn.Module, state: Mapping[str, Any], strict: bool, source: str | Path) -> None:
    """Load parameters and buffers.

    Raises:
        RuntimeError: they do not match; the message tells which, and where they come from.
    """
    try:
        module.load_state_dict(state, strict=strict)
    except RuntimeError as error:
        raise RuntimeError(
            f"The checkpoint {source} is of another model than {type(module).__name__}: {error}\n"
            "To fix: load it into the model it was saved from, or pass strict=False (strict_loading=False in the module) to"
            " load only what fits."
        ) from error
