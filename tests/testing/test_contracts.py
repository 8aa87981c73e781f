"""The contracts of ``torchbus.testing``: the standard plugins keep them, and broken ones fail where they should."""

from __future__ import annotations

from typing import Any

import pytest
import torchbus as L
from torchbus.testing import CallbackContract, LoggerContract, StrategyContract

pytestmark = pytest.mark.filterwarnings("ignore")  # what callbacks say of so tiny runs


def contract(base: type, name: str, attributes: dict[str, Any]) -> type:
    return type(f"Test{name}", (base,), attributes)


WITH_LOGGER = {"trainer_options": {"logger": "csv"}}
CALLBACKS: dict[str, dict[str, Any]] = {
    "EarlyStopping": {"settings": {"monitor": "train_loss"}},
    "Timer": {"settings": {"duration": "1h"}},
    "ModelCheckpoint": {"settings": {"monitor": "train_loss"}},
    "OnExceptionCheckpoint": {"settings": {"dirpath": "."}},
    "LearningRateMonitor": WITH_LOGGER,
    "DeviceStatsMonitor": WITH_LOGGER,
    "ThroughputMonitor": {"settings": {"batch_size_fn": len}, **WITH_LOGGER},
    "SpikeDetection": {"settings": {"rtol": 1e9}},
    "GradientAccumulationScheduler": {"settings": {"scheduling": {1: 2}}},
    "LambdaCallback": {},
    "ModelPruning": {"settings": {"pruning_fn": "l1_unstructured"}},
    "MultiStage": {"settings": {"factors": {1: 0.5}}},
    "FreezeUnfreeze": {"settings": {"modules": {"backbone": 1}}},
    "StochasticWeightAveraging": {"settings": {"swa_lrs": 0.01}},
    "WeightAveraging": {},
    "EMAWeightAveraging": {},
    "RichProgressBar": {},
    "TQDMProgressBar": {},
    "ModelSummary": {},
    "RichModelSummary": {},
}
for _name, _attributes in CALLBACKS.items():
    globals()[f"Test{_name}"] = contract(
        CallbackContract, _name, {"plugin": getattr(L.callbacks, _name), **_attributes}
    )
for _name in ("CSVLogger", "TensorBoardLogger"):
    globals()[f"Test{_name}"] = contract(LoggerContract, _name, {"plugin": getattr(L.loggers, _name)})


class TestSingleDevice(StrategyContract):
    plugin = L.strategies.SingleDeviceStrategy
