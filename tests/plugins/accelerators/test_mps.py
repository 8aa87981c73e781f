"""The GPU of Apple silicon as an accelerator: what a CPU can show of it."""

from __future__ import annotations

import pytest
import torch
import torchbus as L
from torchbus.testing import AcceleratorContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_mps import MPSAccelerator


class TestContract(AcceleratorContract):
    plugin = MPSAccelerator


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.parametrize("request_", [1, "1", [0], (0,), "0,", -1, "-1"])
def test_every_form_of_devices_means_the_one_there_is(request_, mac):
    assert MPSAccelerator.parse_devices(request_) == [0]
    assert MPSAccelerator.get_parallel_devices([0]) == [torch.device("mps", 0)]


@pytest.mark.parametrize("request_", [2, "2", [1], "0,1", -2])
def test_others_are_refused_with_the_one_there_is(request_, mac):
    with pytest.raises(MisconfigurationException, match=r"0 \(Apple GPU\)"):
        MPSAccelerator.parse_devices(request_)


@pytest.mark.parametrize(
    ("request_", "error"), [("two", ValueError), (1.5, TypeError), (True, TypeError), (None, TypeError)]
)
def test_devices_of_another_form_are_refused(request_, error, mac):
    with pytest.raises(error, match=r"accelerator='mps', devices=.* a number of devices, a list of their numbers"):
        MPSAccelerator.parse_devices(request_)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has one")
def test_a_machine_without_one_says_so_and_what_it_has(tmp_path):
    with pytest.raises(
        MisconfigurationException, match=r"MPSAccelerator` can not run on your system.* Available are: .*cpu"
    ):
        L.Trainer(accelerator="mps", default_root_dir=tmp_path)
    assert MPSAccelerator.is_available() is False


def test_a_device_of_another_kind_is_refused():
    with pytest.raises(MisconfigurationException, match="cannot set up cpu"):
        MPSAccelerator().setup_device(torch.device("cpu"))


def test_its_statistics_are_bytes(monkeypatch):
    for name in ("current_allocated_memory", "driver_allocated_memory", "recommended_max_memory"):
        monkeypatch.setattr(torch.mps, name, lambda: 7)
    assert set(MPSAccelerator().get_device_stats("mps").values()) == {7}


def test_memory_is_given_back_at_the_end(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append(1))
    MPSAccelerator().teardown()
    assert calls == [1]
