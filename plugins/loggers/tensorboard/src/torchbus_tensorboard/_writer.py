"""What is put into TensorBoard's event files by way of torch's ``SummaryWriter``. Knows nothing of torchbus."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torchbus_hookspecs.hparams_file import plain

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from ._events import EventWriter

__all__ = ["add_graph", "add_hparams", "add_metrics", "flatten", "is_traceable"]


def add_metrics(writer: EventWriter, metrics: Mapping[str, Any], step: int | None) -> None:
    """Numbers as scalars; dicts of numbers as several curves in one chart.

    Raises:
        ValueError: a value is neither; the message names the metric.
    """
    numbers = {}
    for name, value in metrics.items():
        if type(value) is float:
            numbers[name] = value
        elif isinstance(value, Mapping):
            writer.add_scalars(name, {str(one): _number(f"{name}/{one}", value[one]) for one in value}, step)
        else:
            numbers[name] = float(_number(name, value))
    if numbers:
        writer.add_numbers(numbers, step)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(
            f"The metric `{name}` is {reprlib.repr(value)} ({type(value).__name__}). TensorBoard takes numbers, and "
            "dicts of numbers."
        )
    return value


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters on one level, nested names joined with ``/``; values are numbers, text or ``None``."""
    flat: dict[str, Any] = {}
    for name, value in plain(params).items():
        if isinstance(value, dict):
            flat |= {f"{name}/{inner}": one for inner, one in flatten(value).items()}
        else:
            flat[str(name)] = str(value) if isinstance(value, list) else value
    return flat


def add_hparams(writer: SummaryWriter, params: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Say which hyperparameters this run has, and which metrics TensorBoard shows beside them."""
    from torch.utils.tensorboard.summary import hparams

    # the public SummaryWriter.add_hparams would put them into a run, and a folder, of their own
    events = writer._get_file_writer()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for summary in hparams(flatten(params), dict(metrics)):  # type: ignore[no-untyped-call]  # the same
        events.add_summary(summary)


def is_traceable(example: Any) -> bool:
    """Whether a model can be traced with this: a tensor, or tensors in (nested) lists and tuples."""
    if isinstance(example, list | tuple):
        return all(is_traceable(one) for one in example)
    return isinstance(example, torch.Tensor)


def add_graph(writer: SummaryWriter, model: torch.nn.Module, example: Any) -> None:
    """The operations of ``model.forward`` on an example input, traced in evaluation mode on the model's device."""
    modes = {module: module.training for module in model.modules()}
    parameter = next(model.parameters(), None)
    try:
        with torch.no_grad():
            writer.add_graph(model, example if parameter is None else _moved(example, parameter.device))
    finally:
        # torch puts every submodule into the mode of the outermost; some may be frozen in evaluation mode
        for module, mode in modes.items():
            module.training = mode


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return type(value)(_moved(one, device) for one in value)
