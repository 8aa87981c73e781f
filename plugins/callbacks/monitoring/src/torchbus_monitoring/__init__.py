"""Callbacks that watch a run: ``Trainer(plugins=["learning_rate_monitor", "device_stats_monitor"])``."""

from __future__ import annotations

from ._device_stats_monitor import DeviceStatsMonitor
from ._learning_rate_monitor import LearningRateMonitor
from ._spike_detection import SpikeDetection, TrainingSpikeException
from ._throughput import Throughput
from ._throughput_monitor import ThroughputMonitor

__all__ = [
    "DeviceStatsMonitor",
    "LearningRateMonitor",
    "SpikeDetection",
    "Throughput",
    "ThroughputMonitor",
    "TrainingSpikeException",
]
