"""A trained module in a form that runs without torchbus: ONNX, TorchScript."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ._data.transfer import move_data_to_device

if TYPE_CHECKING:
    from ._module import LightningModule

__all__ = ["to_onnx", "to_tensorrt", "to_torchscript"]


def to_onnx(module: LightningModule, file_path: Any, input_sample: Any, options: dict[str, Any]) -> Any:
    """See ``LightningModule.to_onnx``."""
    _require(module, "to_onnx", "onnx", *(["onnxscript"] if options.get("dynamo", True) else []))
    sample = _sample(module, "to_onnx", "input_sample", input_sample)
    with _in_evaluation(module):
        if isinstance(sample, Mapping):
            return torch.onnx.export(module, (), file_path, kwargs=dict(sample), **options)
        return torch.onnx.export(module, _as_arguments(sample), file_path, **options)


def to_torchscript(
    module: LightningModule, file_path: Any, method: str | None, example_inputs: Any, options: dict[str, Any]
) -> Any:
    """See ``LightningModule.to_torchscript``."""
    if method not in ("script", "trace"):
        raise ValueError(f"to_torchscript: the method must be 'script' or 'trace', not {method!r}.")
    with _in_evaluation(module), _readable_without_trainer(module):
        if method == "script":
            made = torch.jit.script(module, **options)
        else:
            sample = _sample(module, "to_torchscript(method='trace')", "example_inputs", example_inputs)
            made = torch.jit.trace(func=module, example_inputs=_as_arguments(sample), **options)  # type: ignore[no-untyped-call]
    if file_path is not None:
        torch.jit.save(made, file_path)
    return made


def to_tensorrt(module: LightningModule) -> Any:
    """See ``LightningModule.to_tensorrt``."""
    _require(module, "to_tensorrt", "torch_tensorrt")
    raise NotImplementedError(
        f"{type(module).__name__}.to_tensorrt: torchbus does not export to TensorRT. To fix: call torch_tensorrt.compile on"
        " the module, in evaluation mode and on the GPU."
    )


def _require(module: LightningModule, method: str, *packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"`{type(module).__name__}.{method}()` requires `{'` and `'.join(missing)}` to be installed."
            f" To fix: pip install {' '.join(missing).replace('_', '-')}"
        )


def _sample(module: LightningModule, method: str, argument: str, given: Any) -> Any:
    sample = module.example_input_array if given is None else given
    if sample is None:
        raise ValueError(
            f"{type(module).__name__}.{method} needs an example of the model's input. To fix: pass `{argument}`, or define"
            " `self.example_input_array` in the module."
        )
    return move_data_to_device(sample, module.device)


def _as_arguments(sample: Any) -> tuple[Any, ...]:
    return sample if isinstance(sample, tuple) else (sample,)


@contextmanager
def _in_evaluation(module: LightningModule) -> Iterator[None]:
    """Inside, no gradients and evaluation mode; afterwards each submodule is in its own mode again."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for one, training in modes:
            one.training = training


@contextmanager
def _readable_without_trainer(module: LightningModule) -> Iterator[None]:
    """Inside, ``trainer`` of a module that has none is ``None``: torch.jit reads every attribute, of submodules too."""
    base = next(kind for kind in type(module).__mro__ if "_is_being_scripted" in vars(kind))
    base._is_being_scripted = True  # type: ignore[attr-defined]  # it is there
    try:
        yield
    finally:
        base._is_being_scripted = False  # type: ignore[attr-defined]
