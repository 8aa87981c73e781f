"""Hyperparameters: collected from a constructor, kept in checkpoints, given back to it."""

from __future__ import annotations

import copy
import inspect
import warnings
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import FrameType
from typing import Any

from torch import nn
from torchbus_hookspecs.hparams_file import as_mapping

from ._errors import MissingEntryError

__all__ = ["AttributeDict", "HyperparametersMixin", "merged_hparams"]


class AttributeDict(dict[str, Any]):
    """A dictionary whose items can be read and set as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            there = ", ".join(map(str, self)) or "nothing"
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}; it has: {there}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def __repr__(self) -> str:
        rows = sorted((f'"{key}":', value) for key, value in self.items())
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}} {value}" for name, value in rows)

    def __deepcopy__(self, memo: dict[int, Any]) -> AttributeDict:
        return AttributeDict({key: copy.deepcopy(value, memo) for key, value in self.items()})


class HyperparametersMixin:
    """``save_hyperparameters`` and ``hparams``, for modules and datamodules."""

    _log_hyperparams = False

    @property
    def hparams(self) -> AttributeDict:
        """The hyperparameters saved so far. Changes to it are kept and go into checkpoints."""
        found: AttributeDict | None = self.__dict__.get("_hparams")
        if found is None:
            found = AttributeDict()
            object.__setattr__(self, "_hparams", found)
        return found

    @property
    def hparams_initial(self) -> AttributeDict:
        """A copy of the hyperparameters as they were saved, before any change."""
        initial: AttributeDict = copy.deepcopy(self.__dict__.get("_hparams_initial", AttributeDict()))
        return initial

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Iterable[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep arguments of the calling ``__init__`` as hyperparameters.

        Args:
            *args: names of arguments to keep, or one dictionary, ``Namespace``, dataclass or ``None`` to keep instead;
                default: all arguments of the constructor, of subclasses' constructors too.
            ignore: names to leave out.
            frame: the constructor's frame; default: the caller's.
            logger: whether loggers are told.

        Raises:
            KeyError: a given name is no argument of the constructor.
        """
        object.__setattr__(self, "_log_hyperparams", logger)
        caller = frame or inspect.currentframe().f_back  # type: ignore[union-attr]  # CPython has frames
        ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
        given = collect_init_arguments(caller, type(self))
        name = None
        if not args:
            collected = given
        elif all(isinstance(one, str) for one in args):
            missing = [one for one in args if one not in given]
            if missing:
                raise MissingEntryError(
                    f"save_hyperparameters: {type(self).__name__}.__init__ has no argument {', '.join(map(repr, missing))};"
                    f" it has: {', '.join(given) or 'none'}."
                )
            collected = {one: given[one] for one in args}
        else:
            collected = _as_mapping(args[0])
            name = next((key for key, value in given.items() if value is args[0]), None)
        kept = {key: value for key, value in collected.items() if key not in ignored}
        for key, value in kept.items():
            if isinstance(value, nn.Module):
                warnings.warn(
                    f"save_hyperparameters: {key!r} is an instance of `nn.Module` and is already saved during checkpointing,"
                    " as part of the model; as a hyperparameter it is left out of checkpoints."
                    f" To fix: save_hyperparameters(ignore=[{key!r}]).",
                    UserWarning,
                    stacklevel=2,
                )
        object.__setattr__(self, "_hparams_name", name or ("kwargs" if not args or isinstance(args[0], str) else None))
        self.hparams.update(kept)
        initial = copy.copy(self.__dict__.get("_hparams_initial", AttributeDict()))
        initial.update({key: _copied(value) for key, value in kept.items()})
        object.__setattr__(self, "_hparams_initial", initial)
        self.remove_ignored_hparams(ignored)

    def remove_ignored_hparams(self, ignore_list: Iterable[str]) -> None:
        """Forget hyperparameters, also those that a parent's constructor has saved.

        Args:
            ignore_list: their names; unknown ones are passed over.
        """
        for name in ignore_list:
            for kept in (self.hparams, self.__dict__.get("_hparams_initial", {})):
                kept.pop(name, None)


def merged_hparams(*owners: HyperparametersMixin) -> dict[str, Any]:
    """The hyperparameters of module and datamodule as they were saved, in one dictionary for the loggers.

    Raises:
        RuntimeError: both have one of the same name, and of different type or value.
    """
    merged: dict[str, Any] = {}
    for one in owners:
        initial = one.hparams_initial
        differing = [name for name in initial if name in merged and not _equal(merged[name], initial[name])]
        if differing:
            raise RuntimeError(
                f"Error while merging hparams: module and datamodule both have {differing}, with different values. To fix:"
                " rename them, or leave one out: save_hyperparameters(ignore=[...])."
            )
        merged.update(initial)
    return merged


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # tensors and arrays compare element by element, if their shapes allow it
        shapes = getattr(one, "shape", None), getattr(other, "shape", None)
        return None not in shapes and shapes[0] == shapes[1] and bool((one == other).all())


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied is kept as it is
        return value


def _as_mapping(value: Any) -> dict[str, Any]:
    is_dataclass_object = is_dataclass(value) and not isinstance(value, type)
    if value is None or isinstance(value, Mapping | Namespace) or is_dataclass_object:
        return as_mapping(value)
    raise ValueError(
        f"save_hyperparameters takes names of arguments, or a dictionary, Namespace or dataclass; not {value!r}."
    )


def collect_init_arguments(frame: FrameType | None, cls: type) -> dict[str, Any]:
    """The arguments of a class's constructors that are running now; a subclass's win over its parents'."""
    constructors = {
        inspect.unwrap(owner.__init__).__code__: owner  # type: ignore[misc]  # only looked at
        for owner in reversed(cls.__mro__)
        if inspect.isfunction(vars(owner).get("__init__"))
    }
    merged: dict[str, Any] = {}
    while frame is not None:
        owner = constructors.get(frame.f_code)
        if owner is not None:
            merged.update(_arguments_of(frame, owner))
        frame = frame.f_back
    return merged


def _arguments_of(frame: FrameType, owner: type) -> dict[str, Any]:
    parameters = list(inspect.signature(owner.__init__).parameters.values())[1:]  # type: ignore[misc]  # only looked at
    values: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name not in frame.f_locals:
            continue
        value = frame.f_locals[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            values.update(value)
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            values[parameter.name] = value
    return values
