"""The promises of accelerators and strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchbus_hookspecs import Accelerator, Strategy

from ..._trainer import Trainer
from .._toys import TinyDataModule, TinyModule, quiet_trainer
from ._base import PluginContract
from ._runs import Interrupt, Interruption, assert_finished

__all__ = ["AcceleratorContract", "StrategyContract"]

ENTRIES = ("validate", "test", "predict")


class AcceleratorContract(PluginContract):
    """What torchbus relies on in an accelerator. Set ``plugin``.

    Where this machine has no such device, the promises that need one are skipped.
    """

    def available(self) -> Any:
        """A new accelerator, or a skipped test."""
        if not type(self).plugin.is_available():  # type: ignore[attr-defined]  # the class of an accelerator
            pytest.skip("this machine has no such device")
        return self.make()

    def test_is_an_accelerator(self) -> None:
        """Enabled by name as an accelerator, it must be one."""
        assert isinstance(self.make(), Accelerator)

    def test_has_a_name(self) -> None:
        """The one under which ``Trainer(accelerator=...)`` finds it."""
        name = self.make().name()
        assert isinstance(name, str) and name == name.lower().strip() and name

    def test_says_whether_it_is_available(self) -> None:
        """Without raising, on every machine."""
        one = self.make()
        assert isinstance(one.is_available(), bool)
        assert isinstance(one.auto_device_count(), int) and one.auto_device_count() >= int(one.is_available())

    def test_finds_devices(self) -> None:
        """One device for ``devices=1``, as ``torch.device``."""
        one = self.available()
        devices = one.get_parallel_devices(one.parse_devices(1))
        assert len(devices) == 1 and all(isinstance(device, torch.device) for device in devices)

    def test_refuses_what_is_not_there(self) -> None:
        """A wrong request is an error before the run."""
        one = self.available()
        for request in (-2, 0, "none", [10_000]):
            with pytest.raises(Exception):  # noqa: B017  # which error is the accelerator's choice
                one.get_parallel_devices(one.parse_devices(request))

    def test_gives_plain_statistics(self) -> None:
        """Figures by name, which loggers can take."""
        one = self.available()
        device = one.get_parallel_devices(one.parse_devices(1))[0]
        assert all(isinstance(value, int | float) for value in one.get_device_stats(device).values())

    def test_trains(self, tmp_path: Path) -> None:
        """A fit runs on its device, and ends with the model there."""
        assert_trains(quiet_trainer(tmp_path, accelerator=self.available(), devices=1))

    @pytest.mark.parametrize("entry", ENTRIES)
    def test_survives(self, entry: str, tmp_path: Path) -> None:
        """The other entry points run on its device too."""
        assert_survives(quiet_trainer(tmp_path, accelerator=self.available(), devices=1), entry)

    def test_is_set_up_again_after_a_run_that_failed(self, tmp_path: Path) -> None:
        """Another run can follow, with another accelerator of this kind."""
        fail(quiet_trainer(tmp_path, accelerator=self.available(), devices=1))
        assert_trains(quiet_trainer(tmp_path, accelerator=self.available(), devices=1))


class StrategyContract(PluginContract):
    """What torchbus relies on in a strategy of one process. Set ``plugin``; it gets the CPU's accelerator and device."""

    def make(self) -> Any:
        """A new strategy over the CPU."""
        from torchbus.accelerators import CPUAccelerator

        return type(self).plugin(CPUAccelerator(), [torch.device("cpu")], **self.given())

    def test_is_constructed_from_its_settings(self) -> None:
        """The class can be called with an accelerator, its devices, and ``settings``."""
        assert self.make() is not None

    def test_settings_round_trip_through_json(self) -> None:
        """Its settings beside accelerator and devices are plain values."""
        assert all(isinstance(name, str) for name in self.settings)

    def test_is_a_strategy(self) -> None:
        """Enabled by name as a strategy, it must be one."""
        assert isinstance(self.make(), Strategy)

    def test_ranks_are_consistent(self) -> None:
        """Ranks are below the number of processes; rank zero is the one that writes."""
        one = self.make()
        assert 0 <= one.local_rank <= one.global_rank < one.world_size
        assert one.is_global_zero == (one.global_rank == 0)
        assert one.root_device in one.parallel_devices

    def test_collectives_of_one_process_change_nothing(self) -> None:
        """With one process, gathering and reducing give back what they got."""
        one = self.make()
        if one.world_size > 1:
            pytest.skip("several processes")
        value = torch.tensor([1.0, 2.0])
        assert torch.equal(one.reduce(value), value) and torch.equal(one.all_gather(value).reshape(-1), value)
        assert one.broadcast({"a": 1}) == {"a": 1} and one.reduce_boolean_decision(True) is True
        one.barrier("contract")

    def test_trains(self, tmp_path: Path) -> None:
        """A fit runs under it."""
        assert_trains(quiet_trainer(tmp_path, strategy=self.make()))

    @pytest.mark.parametrize("entry", ENTRIES)
    def test_survives(self, entry: str, tmp_path: Path) -> None:
        """The other entry points run under it too."""
        assert_survives(quiet_trainer(tmp_path, strategy=self.make()), entry)

    def test_is_set_up_again_after_a_run_that_failed(self, tmp_path: Path) -> None:
        """Another run can follow, with another strategy of this kind."""
        fail(quiet_trainer(tmp_path, strategy=self.make()))
        assert_trains(quiet_trainer(tmp_path, strategy=self.make()))


def assert_trains(trainer: Trainer) -> None:
    """A fit ends well, with a finite loss."""
    trainer.fit(TinyModule(), datamodule=TinyDataModule())
    assert_finished(trainer)
    assert torch.isfinite(trainer.callback_metrics["train_loss"])


def assert_survives(trainer: Trainer, entry: str) -> None:
    """An entry point ends well."""
    getattr(trainer, entry)(TinyModule(), datamodule=TinyDataModule())
    assert_finished(trainer)


def fail(trainer: Trainer) -> None:
    """A fit that fails in its middle, with nothing but that error."""
    trainer.callbacks = [Interrupt("fit")]
    with pytest.raises(Interruption):
        trainer.fit(TinyModule(), datamodule=TinyDataModule())
