"""Build a module or a datamodule from a checkpoint, without a trainer."""

from __future__ import annotations

import ast
import csv
import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import torch

from ._checkpoint_io import load_checkpoint

__all__ = ["LEFT_OUT", "class_only", "load_datamodule", "load_module", "load_weights"]

T = TypeVar("T")

LEFT_OUT = "_left_out"
"""Ends the key under which a checkpoint names the hyperparameters that it could not hold."""


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
                raise TypeError(
                    f"The classmethod `{name}` cannot be called on an instance, which would stay as it is: it makes a new"
                    " object. To fix: call it on the class, and use what it returns."
                )

            return refuse


def load_module(
    cls: type[T],
    path: str | Path | IO[bytes],
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
    strict = _agreed_strictness(module, strict)
    module.on_load_checkpoint(checkpoint)
    unmatched = load_weights(module, checkpoint["state_dict"], strict, path)
    for names, there, missing in zip(
        unmatched, ("model state dict", "checkpoint"), ("checkpoint", "model"), strict=True
    ):
        if names:
            warnings.warn(
                f"Found keys that are in the {there} but not in the {missing}: {names}. With strict=False they are passed over.",
                UserWarning,
                stacklevel=3,
            )
    device = next((one.device for one in checkpoint["state_dict"].values() if isinstance(one, torch.Tensor)), None)
    if device is not None and device.type != "meta":
        module.to(device)
    built: T = module
    return built


def _agreed_strictness(module: Any, strict: bool | None) -> bool:
    chosen = vars(module).get("strict_loading", None if module.strict_loading else False)  # None: nobody chose
    if strict is not None and chosen is not None and strict != chosen:
        raise ValueError(
            f"load_from_checkpoint(strict={strict}) is in conflict with {type(module).__name__}.strict_loading={chosen}."
            " To fix: leave `strict` out, or give both the same value."
        )
    return bool(module.strict_loading if strict is None else strict)


def load_datamodule(
    cls: type[T],
    path: str | Path | IO[bytes],
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


# ---- hyperparameters ----------------------------------------------------------------------------------------------------


def _construct(cls: Any, checkpoint: dict[str, Any], hparams_file: str | Path | None, overrides: dict[str, Any]) -> Any:
    """An object of the class, from what the checkpoint or the file says, and from what the caller says instead."""
    key = cls.CHECKPOINT_HYPER_PARAMS_KEY
    saved = dict(checkpoint.get(key, {}) if hparams_file is None else _read_hparams(Path(hparams_file)))
    checkpoint[key] = {**saved, **overrides}  # on_load_checkpoint finds what the object was made of
    parameters = inspect.signature(cls.__init__).parameters
    absent = [one for one in checkpoint.get(key + LEFT_OUT, ()) if one not in checkpoint[key] and one in parameters]
    if absent:
        example = ", ".join(f"{one}=..." for one in absent)
        warnings.warn(
            f"The checkpoint was saved without the hyperparameters {absent}, which it could not hold: {cls.__name__} gets its"
            f" defaults for them. To fix: load_from_checkpoint(..., {example}).",
            UserWarning,
            stacklevel=4,
        )
    name = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
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
    kind = path.suffix.lower()
    if kind not in (".csv", ".yml", ".yaml"):
        raise ValueError(f"hparams_file is {str(path)!r}; a .csv, .yml or .yaml is required.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no hyperparameter file {path}.")
    return _read_csv(path) if kind == ".csv" else _read_yaml(path)


def _read_csv(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"key", "value"}.issubset(rows.fieldnames or ()):
            raise ValueError(f"The hyperparameter file {path} must have the columns `key` and `value`.")
        return {row["key"]: _value_of(row["value"]) for row in rows}


def _value_of(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml  # only for those who pass such a file

    class Loader(yaml.SafeLoader):
        """Plain values, and tuples, as Lightning writes them."""

    def read_tuple(loader: yaml.SafeLoader, node: Any) -> tuple[Any, ...]:
        return tuple(loader.construct_sequence(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", read_tuple)
    read = yaml.load(path.read_text(encoding="utf-8"), Loader) or {}  # noqa: S506  # it is a safe loader
    if not isinstance(read, dict):
        raise ValueError(f"The hyperparameter file {path} must hold names and values, not a {type(read).__name__}.")
    return read


# ---- weights ------------------------------------------------------------------------------------------------------------


def load_weights(
    module: torch.nn.Module, state: Mapping[str, Any], strict: bool, source: Any
) -> tuple[list[str], list[str]]:
    """Load parameters and buffers; return the names that only the module has, and those that only the checkpoint has.

    Raises:
        RuntimeError: they do not match; the message tells which, and where they come from.
    """
    try:
        # a module that overrides it may return nothing
        unmatched = module.load_state_dict(state, strict=strict) or ((), ())
    except RuntimeError as error:
        raise RuntimeError(
            f"The checkpoint {source} is of another model than {type(module).__name__}: {error}\n"
            "To fix: load it into the model it was saved from, or pass strict=False (strict_loading=False in the module) to"
            " load only what fits."
        ) from error
    return list(unmatched[0]), list(unmatched[1])
