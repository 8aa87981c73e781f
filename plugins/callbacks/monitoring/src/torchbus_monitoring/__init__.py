"""Callbacks that watch a run: ``Trainer(plugins=["learning_rate_monitor", "device_stats_monitor"])``."""

from __future__ import annotations

from ._device_stats_monitor import DeviceStatsMonitor
from ._gradient_monitor import GradientAlarm, GradientMonitor
from ._history_file import read_history
from ._learning_rate_monitor import LearningRateMonitor
from ._metrics_logger import MetricsLogger
from ._spike_detection import SpikeDetection, TrainingSpikeException
from ._throughput import Throughput
from ._throughput_monitor import ThroughputMonitor

__all__ = [
    "DeviceStatsMonitor",
    "GradientAlarm",
    "GradientMonitor",
    "LearningRateMonitor",
    "MetricsLogger",
    "SpikeDetection",
    "Throughput",
    "ThroughputMonitor",
    "TrainingSpikeException",
    "read_history",
]
