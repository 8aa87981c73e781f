"""``Trainer(accelerator=..., devices=...)``: what each form means, and what is said of others."""

from __future__ import annotations

import pytest
import torch
import torchbus as L
from torchbus.testing import AcceleratorContract, virtual_plugin
from torchbus_cpu import CPUAccelerator
from torchbus_cuda import CUDAAccelerator
from torchbus_hookspecs import MisconfigurationException

has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
needs_cpu_only = pytest.mark.skipif(has_gpu, reason="this machine has a GPU")


class TestCPUContract(AcceleratorContract):
    plugin = CPUAccelerator


class TestCUDAContract(AcceleratorContract):
    plugin = CUDAAccelerator


def trainer(**options) -> L.Trainer:
    return L.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **options
    )


class Abacus(CPUAccelerator):
    """Computes with beads, and counts them from 0 as others do."""

    @staticmethod
    def name() -> str:
        return "abacus"

    @staticmethod
    def is_available() -> bool:
        return True


@pytest.mark.parametrize("devices", [1, "1", "auto", True])
def test_the_cpu_takes_a_number_of_processes(devices):
    run = trainer(accelerator="cpu", devices=devices)
    assert isinstance(run.accelerator, CPUAccelerator)
    assert (run.num_devices, run.strategy.root_device.type) == (1, "cpu")


@pytest.mark.parametrize("devices", [[0], [1], -1, "-1", -2, "0,1", "two", "", 1.5, None, ["0"]])
def test_other_forms_are_refused_by_the_cpu(devices):
    with pytest.raises(TypeError, match="`devices` selected with `CPUAccelerator` should be an int > 0"):
        trainer(accelerator="cpu", devices=devices)


@pytest.mark.parametrize("devices", [0, "0", []])
def test_no_device_is_no_choice(devices):
    with pytest.raises(MisconfigurationException, match="value is not a valid input using cpu accelerator"):
        trainer(accelerator="cpu", devices=devices)


@needs_cpu_only
def test_auto_is_the_cpu_where_there_is_nothing_faster():
    assert isinstance(trainer().accelerator, CPUAccelerator)
    assert isinstance(trainer(accelerator="auto").accelerator, CPUAccelerator)


@needs_cpu_only
def test_gpu_where_there_is_none_says_what_there_is():
    with pytest.raises(MisconfigurationException, match=r"No supported gpu backend found! Looked for cuda, mps.*: cpu"):
        trainer(accelerator="gpu")


def test_gpu_is_the_one_that_is_available_not_the_first_that_is_installed(monkeypatch):
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: False))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert trainer(accelerator="gpu").strategy.root_device == torch.device("mps", 0)
    assert trainer().accelerator.name() == "mps"


@pytest.mark.parametrize("wanted", ["nope", "CPU", "", None, 3])
def test_an_unknown_name_is_told_the_known_ones(wanted):
    with pytest.raises(
        ValueError, match=r"invalid accelerator name: .* Available names are: auto, gpu, cpu, cuda, mps"
    ):
        trainer(accelerator=wanted)


def test_an_instance_and_a_strangers_name_are_taken():
    assert isinstance(trainer(accelerator=Abacus()).accelerator, Abacus)
    with virtual_plugin("abacus", Abacus, kind="accelerators"):
        assert isinstance(trainer(accelerator="abacus").accelerator, Abacus)
        with pytest.raises(ValueError, match="Did you mean `abacus`"):
            trainer(accelerator="abacos")


def test_without_any_accelerator_installed_a_run_has_the_cpu() -> None:
    from torchbus import _devices

    accelerator, devices = _devices.choose_accelerator("auto", "auto", [])
    assert accelerator.name() == "cpu" and devices == [torch.device("cpu")]
    with pytest.raises(MisconfigurationException, match="pip install torchbus-cpu"):
        _devices.choose_accelerator("auto", 2, [])
    with pytest.raises(ValueError, match="It comes with torchbus-cpu"):
        _devices.choose_accelerator("cpu", "auto", [])
