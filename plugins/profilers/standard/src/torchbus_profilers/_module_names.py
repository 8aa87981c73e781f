"""The names of a model's layers, in traces."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from torch import nn
from torch.autograd.profiler import record_function
from torch.utils.hooks import RemovableHandle

__all__ = ["RegisterRecordFunction"]


class RegisterRecordFunction:
    """Inside the ``with`` block, ``torch.profiler`` sees the forward pass of each layer under the layer's type and name.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[RemovableHandle] = []
        self._open: list[record_function] = []

    def __enter__(self) -> None:
        for name, module in self._model.named_modules():
            if name:
                kind = type(module)
                label = f"[pl][module]{kind.__module__}.{kind.__name__}: {name}"
                self._handles.append(module.register_forward_pre_hook(self._opener(label)))
                # called also when the layer raises, so that what is open stays a stack
                self._handles.append(module.register_forward_hook(self._close, always_call=True))

    def _opener(self, label: str) -> Callable[..., None]:
        def begin(module: nn.Module, inputs: Any) -> None:
            self._open.append(record_function(label))
            self._open[-1].__enter__()  # type: ignore[no-untyped-call]  # torch's own

        return begin

    def _close(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._open:
            self._open.pop().__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
