"""The classes of all installed accelerator plugins, and the base to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Accelerator as Accelerator

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_cpu import CPUAccelerator as CPUAccelerator
    from torchbus_cuda import CUDAAccelerator as CUDAAccelerator
    from torchbus_mps import MPSAccelerator as MPSAccelerator

_get, _names = lazy_classes(__name__, "accelerators", ["Accelerator"], {})


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return _names()
