"""Accelerators by others: one that is complete, its place in ``accelerator="auto"``, and what is said of broken ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import torch
import torchbus as L
from torchbus.testing import AcceleratorContract, virtual_plugin
from torchbus_hookspecs import Accelerator, MisconfigurationException


class Pretend(Accelerator):
    """A device that is the CPU under another name."""

    is_there: ClassVar[bool] = True

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        if devices not in (1, -1, "auto"):
            raise MisconfigurationException(f"there is one pretend device, not {devices!r}")
        return [0]

    @staticmethod
    def get_parallel_devices(devices: Any) -> Any:
        return [torch.device("cpu") for _ in devices]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @classmethod
    def is_available(cls) -> bool:  # type: ignore[override]  # a class may be asked as well
        return cls.is_there

    @staticmethod
    def name() -> str:
        return "pretend"


class TestContract(AcceleratorContract):
    plugin = Pretend


class Absent(Pretend):
    is_there = False


def broken(method: str, result: Any) -> type[Pretend]:
    """Pretend with one method that returns this, or raises it."""

    def answer(*given: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    return type("Broken", (Pretend,), {method: staticmethod(answer)})


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install an accelerator, on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    allowed = ["torchbus-cpu", "torchbus-cuda"]  # whatever else this machine has
    with ExitStack() as installed:

        def offer(accelerator: Any, name: str = "pretend", **options: Any) -> None:
            allowed.append(f"torchbus-{name}")
            monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", ",".join(allowed))
            installed.enter_context(
                virtual_plugin(name, accelerator, "accelerators", distribution=f"torchbus-{name}", **options)
            )

        yield offer


def chosen(accelerator: Any = "pretend", devices: Any = "auto") -> type:
    return type(L.Trainer(accelerator=accelerator, devices=devices, logger=False).accelerator)


def test_auto_takes_the_first_by_name_that_is_there_and_else_the_cpu(offer: Callable[..., None]) -> None:
    offer(Absent, "absent")
    assert chosen("auto") is L.accelerators.CPUAccelerator
    offer(Pretend, "pretend")
    assert chosen("auto") is Pretend
    other = type("Earlier", (Pretend,), {})
    offer(other, "earlier")
    assert chosen("auto") is other
    assert chosen("cpu") is L.accelerators.CPUAccelerator


def test_auto_prefers_a_gpu(offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    offer(Pretend, "pretend")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert chosen("auto") is L.accelerators.CUDAAccelerator


def test_one_that_is_not_there_is_refused_by_name(offer: Callable[..., None]) -> None:
    offer(Absent)
    with pytest.raises(MisconfigurationException, match=r"accelerator='pretend'.*`Absent` can not run on your system"):
        chosen()


def test_an_accelerator_of_a_distribution_that_is_not_allowed_is_passed_over(
    offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(Pretend)
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "torchbus-cpu")
    assert chosen("auto") is L.accelerators.CPUAccelerator


def test_a_wrong_request_is_the_accelerators_error_with_its_name(offer: Callable[..., None]) -> None:
    offer(Pretend)
    with pytest.raises(MisconfigurationException, match="there is one pretend device, not 7") as raised:
        chosen(devices=7)
    assert any("Raised by the accelerator" in note and "Pretend" in note for note in raised.value.__notes__)


INCOMPLETE = type(
    "Incomplete", (Accelerator,), {"name": staticmethod(lambda: "x"), "is_available": Pretend.is_available}
)
BROKEN = {
    "not an accelerator": (dict, MisconfigurationException, "needs a class derived from Accelerator"),
    "methods missing": (INCOMPLETE, MisconfigurationException, "lacks `auto_device_count`, `get_parallel_devices`, `parse_devices`"),
    "not importable": ("no_such_module:Thing", MisconfigurationException, "cannot be imported from no_such_module:Thing"),
    "arguments needed": (
        type("Needy", (Pretend,), {"__init__": lambda self, address: None}), MisconfigurationException, "cannot be built: TypeError",
    ),
    "fails when asked": (broken("is_available", OSError("driver")), OSError, "driver"),
}  # fmt: skip
WRONG_DEVICES = {
    "no device": broken("get_parallel_devices", []),
    "names": broken("get_parallel_devices", ["cpu"]),
    "nothing": broken("get_parallel_devices", None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_is_refused_with_its_fault(case: str, offer: Callable[..., None]) -> None:
    accelerator, error, text = BROKEN[case]
    offer(accelerator)
    with pytest.raises(error, match=text) as raised:
        chosen()
    assert "pretend" in str(raised.value) or any("Broken" in note for note in raised.value.__notes__)


@pytest.mark.parametrize("case", BROKEN)
def test_auto_passes_over_a_broken_one_and_says_so(case: str, offer: Callable[..., None]) -> None:
    offer(BROKEN[case][0])
    with pytest.warns(UserWarning, match=f"passes over `pretend`.*{BROKEN[case][2]}"):
        assert chosen("auto") is L.accelerators.CPUAccelerator


@pytest.mark.parametrize("case", WRONG_DEVICES)
def test_what_are_no_devices_is_told_before_the_run(case: str, offer: Callable[..., None]) -> None:
    offer(WRONG_DEVICES[case])
    with pytest.raises(MisconfigurationException, match="must return a list of at least one torch.device"):
        chosen()


def test_one_for_another_contract_is_not_imported(offer: Callable[..., None]) -> None:
    offer("not_imported:Thing", requires=("torchbus-hookspecs>=9",))
    with pytest.raises(MisconfigurationException, match="is made for torchbus-hookspecs >=9"):
        chosen()
    assert chosen("auto") is L.accelerators.CPUAccelerator


@pytest.mark.parametrize("wrong", [3, Pretend, None, ["cpu"]])
def test_what_is_no_name_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="invalid accelerator name: .* a name or an Accelerator is needed"):
        chosen(wrong)
