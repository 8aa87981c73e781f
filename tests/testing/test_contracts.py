"""Every standard plugin keeps the contract of its kind; a plugin's own test file may hold it, the others are held here."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus.testing import AcceleratorContract, CallbackContract, HooksContract, LoggerContract, StrategyContract
from torchbus_hookspecs import Callback
from torchbus_prediction import BasePredictionWriter
from torchbus_profilers import SlowPlugins

pytestmark = pytest.mark.filterwarnings("ignore")  # what callbacks say of so tiny runs

ROOT = Path(__file__).parents[2]
CONTRACTS: dict[str, type] = {
    "callbacks": CallbackContract,
    "loggers": LoggerContract,
    "accelerators": AcceleratorContract,
    "strategies": StrategyContract,
    "plugins": HooksContract,
}
"""The contract of each kind; profilers have a base class that does the work, and tests of their own."""

# ---- the contracts -----------------------------------------------------------------------------------------------------


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
    "BackboneFinetuning": {"settings": {"unfreeze_backbone_at_epoch": 1}},
    "MultiStage": {"settings": {"factors": {1: 0.5}}},
    "FreezeUnfreeze": {"settings": {"modules": {"backbone": 1}}},
    "StochasticWeightAveraging": {"settings": {"swa_lrs": 0.01}},
    "WeightAveraging": {},
    "EMAWeightAveraging": {},
    "BatchSizeFinder": {"settings": {"max_trials": 2, "steps_per_trial": 1}},
    "LearningRateFinder": {"settings": {"num_training_steps": 12, "early_stop_threshold": None}},
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


class Writer(BasePredictionWriter):
    """Writes as little as one can."""

    def write_on_batch_end(self, *arguments: Any) -> None: ...


class TestPredictionWriter(CallbackContract):
    plugin = Writer


class TestSingleDevice(StrategyContract):
    plugin = L.strategies.SingleDeviceStrategy


class TestSlowPlugins(HooksContract):
    plugin = SlowPlugins


# ---- which there must be -----------------------------------------------------------------------------------------------


def offered() -> list[tuple[str, str, str]]:
    """Kind, name and class of each standard plugin, from the distributions' own ``pyproject.toml``."""
    found = []
    for path in [ROOT / "core" / "pyproject.toml", *sorted(ROOT.glob("plugins/*/*/pyproject.toml"))]:
        groups = tomllib.loads(path.read_text())["project"].get("entry-points", {})
        for group, points in groups.items():
            kind = group.removeprefix("torchbus.")
            found += [(kind, name, target.rpartition(":")[2]) for name, target in points.items() if kind in CONTRACTS]
    return found


def held() -> set[tuple[str, str]]:
    """Contract and class of the plugin, for each class of tests that inherits one; a plugin's parents are held with it."""
    names = {one.__name__ for one in CONTRACTS.values()}
    found = {
        (base.__name__, one.__name__)
        for test in globals().values()
        if isinstance(test, type) and test.__name__.startswith("Test")
        for base in test.__mro__[1:]
        if base.__name__ in names
        for one in test.plugin.__mro__  # type: ignore[attr-defined]  # that of a contract
    }
    for path in (ROOT / "tests" / "plugins").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        for test in [one for one in tree.body if isinstance(one, ast.ClassDef)]:
            plugin = [
                ast.unparse(one.value).rpartition(".")[2]
                for one in test.body
                if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "plugin"
            ]
            found |= {(ast.unparse(base), one) for base in test.bases for one in plugin if ast.unparse(base) in names}
    return found


@pytest.mark.parametrize(("kind", "name", "plugin"), offered(), ids=lambda value: str(value))
def test_each_standard_plugin_has_the_contract_of_its_kind(kind: str, name: str, plugin: str) -> None:
    assert (CONTRACTS[kind].__name__, plugin) in held(), (
        f"no class of tests inherits {CONTRACTS[kind].__name__} for {plugin} (`{name}`)"
    )


def test_classes_that_are_plugins_only_by_their_kind_are_no_callbacks() -> None:
    assert not issubclass(SlowPlugins, Callback)
