"""In which number format parameters live and steps compute."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from ._data.transfer import convert_floats
from ._errors import MisconfigurationException

__all__ = [
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
    "PrecisionName",
    "choose_precision",
    "skipped_init",
]

T = TypeVar("T")
PrecisionName = Literal["16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true"]
_ALIASES: dict[Any, PrecisionName] = {
    16: "16-mixed", "16": "16-mixed", 32: "32-true", "32": "32-true", 64: "64-true", "64": "64-true", "bf16": "bf16-mixed",
}  # fmt: skip
_NOT_YET = ("transformer-engine", "transformer-engine-float16")
_TRUE: dict[str, torch.dtype] = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}
_MIXED: dict[str, torch.dtype] = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class Precision:
    """Full 32-bit precision; the base of the others.

    Attributes:
        precision: the name given to ``Trainer(precision=...)``.
        scaler: the gradient scaler of ``16-mixed``, else ``None``.
        is_plain: whether steps run as they are, with nothing to convert and no context around them.
    """

    is_plain = True

    def __init__(self, precision: PrecisionName = "32-true") -> None:
        self.precision = precision
        self.scaler: torch.amp.GradScaler | None = None

    def convert_module(self, module: nn.Module) -> nn.Module:
        """The module in this precision."""
        return module

    def convert_input(self, batch: T) -> T:
        """A batch in this precision: its floating point tensors, wherever they are in it."""
        return batch

    def forward_context(self) -> AbstractContextManager[Any]:
        """What every step runs in."""
        return nullcontext()

    def module_init_context(self) -> AbstractContextManager[Any]:
        """What new modules are made in."""
        return nullcontext()

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call ``backward`` on."""
        return loss

    def step(self, optimizer: Optimizer, closure: Callable[[], Any], **kwargs: Any) -> Any:
        """Step an optimizer. ``closure`` computes gradients and then prepares them (hooks, clipping)."""
        return optimizer.step(closure=closure, **kwargs)

    def unscale(self, optimizer: Optimizer) -> None:
        """Make the gradients real numbers again, before anybody reads or clips them."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should hold."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


class TruePrecision(Precision):
    """Parameters, inputs and new tensors all in one number format."""

    is_plain = False

    def __init__(self, precision: PrecisionName) -> None:
        super().__init__(precision)
        self.dtype = _TRUE[precision]

    def convert_module(self, module: nn.Module) -> nn.Module:
        # not `to`, which would make real numbers of complex ones
        convert = {torch.float16: module.half, torch.bfloat16: module.bfloat16, torch.float64: module.double}
        return convert[self.dtype]()

    def convert_input(self, batch: T) -> T:
        return convert_floats(batch, self.dtype)

    @contextmanager
    def _default_dtype(self) -> Any:
        previous = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(previous)

    def forward_context(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._default_dtype()
        return context

    def module_init_context(self) -> AbstractContextManager[Any]:
        return self.forward_context()


class HalfPrecision(TruePrecision):
    """16 bits throughout.

    Args:
        precision: ``"16-true"`` for float16, ``"bf16-true"`` for bfloat16.
    """

    def __init__(self, precision: Literal["16-true", "bf16-true"] = "16-true") -> None:
        super().__init__(precision)


class DoublePrecision(TruePrecision):
    """64 bits throughout."""

    def __init__(self) -> None:
        super().__init__("64-true")


class MixedPrecision(Precision):
    """Parameters in 32 bits, computation under autocast; with float16, gradients are scaled so that small ones survive.

    Args:
        precision: ``"16-mixed"`` for float16, ``"bf16-mixed"`` for bfloat16.
        device: the type of device to compute on, such as ``"cuda"``.
        scaler: the gradient scaler of ``16-mixed``; default: torch's, as it comes.

    Raises:
        ValueError: the precision is none of the two.
        MisconfigurationException: a scaler for bfloat16, which needs none.

    Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018; torch.amp.
    """

    is_plain = False

    def __init__(
        self,
        precision: Literal["16-mixed", "bf16-mixed"],
        device: str,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        if precision not in _MIXED:
            raise ValueError(f"MixedPrecision(precision={precision!r}): it must be '16-mixed' or 'bf16-mixed'.")
        super().__init__(precision)
        self.device = device
        self.dtype = _MIXED[precision]
        if precision == "16-mixed":
            self.scaler = torch.amp.GradScaler(torch.device(device).type) if scaler is None else scaler
        elif scaler is not None:
            raise MisconfigurationException(
                f"MixedPrecision(precision='bf16-mixed', scaler={scaler!r}): bfloat16 does not use a scaler."
                " To fix: leave it out."
            )

    def forward_context(self) -> AbstractContextManager[Any]:
        # no cache: it would keep casts of weights alive across steps of an accumulation window
        return torch.autocast(torch.device(self.device).type, dtype=self.dtype, cache_enabled=False)

    def scale(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any], **kwargs: Any) -> Any:
        if self.scaler is None:
            return super().step(optimizer, closure, **kwargs)
        if isinstance(optimizer, torch.optim.LBFGS):
            raise MisconfigurationException(
                "AMP and the LBFGS optimizer are not compatible in float16: LBFGS evaluates its closure many times, which a"
                " gradient scaler cannot follow. To fix: use precision='bf16-mixed'."
            )
        result = closure()
        if result is None and not any(self._has_gradients(optimizer)):
            return None  # the step was skipped: there is nothing the scaler could have seen
        stepped = self.scaler.step(optimizer, **kwargs)
        self.scaler.update()
        return stepped

    @staticmethod
    def _has_gradients(optimizer: Optimizer) -> list[bool]:
        return [one.grad is not None for group in optimizer.param_groups for one in group["params"]]

    def unscale(self, optimizer: Optimizer) -> None:
        if self.scaler is not None and any(self._has_gradients(optimizer)):
            self.scaler.unscale_(optimizer)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.scaler is not None:
            self.scaler.load_state_dict(state_dict)


class _SkippedInit(TorchFunctionMode):
    """Makes the functions of ``torch.nn.init`` give back their tensor untouched."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def skipped_init() -> AbstractContextManager[Any]:
    """Inside, new modules do not fill their parameters."""
    return _SkippedInit()


def choose_precision(wanted: Any, plugins: Any, device_type: str) -> tuple[Precision, Any]:
    """The precision that was asked for, on that type of device, and the plugins without it.

    Args:
        wanted: a precision, its name, or ``None``.
        plugins: plugins of any kind, among which there may be a precision instead.
        device_type: the type of device to compute on.

    Raises:
        ValueError: there is no such precision, or both arguments have one.
        MisconfigurationException: several are among the plugins.
    """
    given = list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    found = [one for one in given if isinstance(one, Precision)]
    if not found:
        return wanted if isinstance(wanted, Precision) else _make(wanted, device_type), plugins
    if len(found) > 1:
        names = ", ".join(type(one).__name__ for one in found)
        raise MisconfigurationException(
            f"Trainer(plugins=...) has several precisions, {names}; a trainer computes in one."
        )
    if wanted is not None:
        raise ValueError(
            f"Trainer(precision={wanted!r}, plugins=...) received both a precision's name and a {type(found[0]).__name__}."
            " To fix: choose one."
        )
    return found[0], [one for one in given if one is not found[0]]


def _make(name: Any, device_type: str) -> Precision:
    known: str | None = "32-true" if name is None else None
    if isinstance(name, str | int):  # a list, say, could not even be looked up
        known = _ALIASES.get(name, name if name in get_args(PrecisionName) else None)  # type: ignore[arg-type]  # just looked
    if known is None:
        hint = " Transformer Engine is not supported." if name in _NOT_YET else ""
        choices = ", ".join(repr(one) for one in get_args(PrecisionName))
        raise ValueError(
            f"Trainer(precision={name!r}): unknown; it must be one of {choices} (or 16, 32, 64, 'bf16').{hint}"
        )
    match known:
        case "16-mixed" | "bf16-mixed":
            return MixedPrecision(known, device_type)
        case "16-true" | "bf16-true":
            return HalfPrecision(known)
        case "64-true":
            return DoublePrecision()
    return Precision()
