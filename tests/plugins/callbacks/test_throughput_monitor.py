"""Throughput: the window by itself, and what is logged in each stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from hypothesis import given
from hypothesis import strategies as st
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_monitoring import Throughput, ThroughputMonitor
from torchbus_monitoring._peak_flops import peak_flops

from .small_fits import Judged, Line, Remembering, loader, trainer


def size(batch: Any) -> int:
    return len(batch[0])


@given(st.integers(2, 5), st.integers(0, 8), st.integers(1, 7))
def test_there_are_rates_once_the_window_is_full(window: int, batches: int, samples: int) -> None:
    throughput = Throughput(window_size=window)
    for count in range(1, batches + 1):
        throughput.update(time=count * 0.5, batches=count, samples=count * samples)
    figures = throughput.compute()
    assert ("device/samples_per_sec" in figures) == (batches >= window)
    if batches >= window:
        assert figures["device/samples_per_sec"] == pytest.approx(2 * samples)
        assert figures["device/batches_per_sec"] == pytest.approx(2)
    assert figures.get("samples", 0) == batches * samples


def test_several_devices_do_as_much_together_and_flops_give_their_share() -> None:
    throughput = Throughput(available_flops=100.0, world_size=4, window_size=2, separator="-")
    throughput.update(time=0, batches=0, samples=0, lengths=0, flops=0)
    throughput.update(time=2, batches=1, samples=8, lengths=16, flops=50)
    figures = throughput.compute()
    assert figures["device-flops_per_sec"] == 25 and figures["device-mfu"] == 0.25
    assert figures["flops_per_sec"] == 100 and figures["items_per_sec"] == 32
    throughput.reset()
    assert throughput.compute() == {}


@pytest.mark.parametrize("wrong", [{"window_size": 1}, {"world_size": 0}, {"available_flops": 0.0}])
def test_a_window_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Throughput"):
        Throughput(**wrong)


def test_totals_never_fall() -> None:
    throughput = Throughput()
    throughput.update(time=1, batches=1, samples=1)
    with pytest.raises(ValueError, match="never fall"):
        throughput.update(time=0.5, batches=2, samples=2)


def test_training_is_measured_without_its_validations(tmp_path: Path) -> None:
    class Slow(Judged):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            time.sleep(0.2)

    logger = Remembering()
    monitor = ThroughputMonitor(size, length_fn=lambda batch: batch[0].numel(), window_size=2)
    run = trainer(tmp_path, monitor, logger=logger, max_epochs=2)
    run.fit(Slow(), loader(4), loader(2))
    training = [values for values, _ in logger.records if "train/time" in values]
    assert [values["train/samples"] for values in training] == [2, 4, 6, 8]
    assert training[-1]["train/lengths"] == 32
    assert training[-1]["train/time"] < 0.2
    assert "train/device/items_per_sec" in training[-1] and "train/device/items_per_sec" not in training[0]
    validation = [(values, step) for values, step in logger.records if "validate/time" in values]
    assert [(values["validate/batches"], step) for values, step in validation] == [(1, 1), (2, 2)]
    assert 0.35 < validation[-1][0]["validate/time"] < 1


def test_test_and_predict_are_measured_by_name(tmp_path: Path) -> None:
    logger = Remembering()
    settings = {"throughput_monitor": {"batch_size_fn": size, "separator": "."}}
    run = trainer(tmp_path, logger=logger, plugins=settings)
    run.test(Judged(), loader(4))
    run.predict(Judged(), loader(4))
    tested, predicted = logger.records[:2], logger.records[2:]
    assert [values["test.samples"] for values, _ in tested] == [2, 4]
    assert [values["predict.samples"] for values, _ in predicted] == [2, 4]


def test_operations_of_the_module_are_counted(tmp_path: Path) -> None:
    class Counted(Line):
        flops_per_batch = 1000

    logger = Remembering()
    monitor = ThroughputMonitor(size, window_size=2, available_flops=1e15)
    trainer(tmp_path, monitor, logger=logger).fit(Counted(), loader())
    last = logger.records[-1][0]
    assert last["train/device/mfu"] == pytest.approx(last["train/device/flops_per_sec"] / 1e15)


def test_an_accumulating_batch_is_counted_and_not_logged(tmp_path: Path) -> None:
    logger = Remembering()
    trainer(tmp_path, ThroughputMonitor(size), logger=logger, accumulate_grad_batches=2).fit(Line(), loader())
    assert [(values["train/batches"], step) for values, step in logger.records] == [(2, 0), (4, 1)]


def test_a_size_that_is_no_count_is_an_error_that_names_the_function(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`batch_size_fn` returned"):
        trainer(tmp_path, ThroughputMonitor(lambda batch: batch[0].mean()), logger=Remembering()).fit(Line(), loader())


@pytest.mark.parametrize("wrong", [{}, {"batch_size_fn": 3}, {"batch_size_fn": size, "window_size": 1}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((MisconfigurationException, TypeError), match="batch_size_fn|window_size"):
        ThroughputMonitor(**wrong)


def test_the_peak_of_a_cpu_is_not_known() -> None:
    assert peak_flops(torch.device("cpu"), "32-true") is None


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(L.callbacks.ThroughputMonitor))
