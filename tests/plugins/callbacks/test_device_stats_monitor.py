"""The monitor of devices: which figures, in which stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchbus_hookspecs import MisconfigurationException
from torchbus_monitoring import DeviceStatsMonitor

from .small_fits import Judged, Line, Remembering, loader, trainer


def moments(logger: Remembering) -> list[str]:
    return [next(iter(values)).split(".")[1].split("/")[0] for values, _ in logger.records]


def test_on_the_cpu_its_load_is_logged_around_batches(tmp_path: Path) -> None:
    logger = Remembering()
    trainer(tmp_path, logger=logger, plugins=["device_stats_monitor"], log_every_n_steps=2).fit(Line(), loader())
    assert moments(logger) == ["on_train_batch_start", "on_train_batch_end"] * 2
    assert [step for _, step in logger.records] == [1, 1, 3, 3]
    assert set(logger.records[0][0]) == {
        f"DeviceStatsMonitor.on_train_batch_start/cpu_{what}" for what in ("percent", "vm_percent", "swap_percent")
    }
    assert all(0 <= value <= 100 for values, _ in logger.records for value in values.values())


def test_evaluation_is_watched_too(tmp_path: Path) -> None:
    logger = Remembering()
    run = trainer(tmp_path, DeviceStatsMonitor(), logger=logger)
    run.test(Judged(), loader(4))
    run.validate(Judged(), loader(2))
    assert moments(logger) == [
        *["on_test_batch_start", "on_test_batch_end"] * 2, "on_validation_batch_start", "on_validation_batch_end",
    ]  # fmt: skip


def test_without_the_cpu_there_is_nothing_to_log_on_the_cpu(tmp_path: Path) -> None:
    logger = Remembering()
    trainer(tmp_path, DeviceStatsMonitor(cpu_stats=False), logger=logger).fit(Line(), loader())
    assert not logger.records


def test_without_a_logger_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="DeviceStatsMonitor has nobody to tell"):
        trainer(tmp_path, DeviceStatsMonitor()).fit(Line(), loader())


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="cpu_stats"):
        DeviceStatsMonitor(cpu_stats="sometimes")  # type: ignore[arg-type]
