"""The public names of Lightning are there, with its arguments, or ``docs/differences.md`` says what to use instead."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torchbus as L

ROOT = Path(__file__).parents[2]
LIGHTNING: dict[str, Any] = json.loads((Path(__file__).parent / "hooks.json").read_text())
DIFFERENCES = (ROOT / "docs/differences.md").read_text()

EXPORTS = {room: names for room, names in LIGHTNING["exports"].items() if room.startswith("lightning.")}


def explained(name: str) -> bool:
    return f"`{name}`" in DIFFERENCES


def quiet_trainer() -> L.Trainer:
    return L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


OBJECTS = {
    "module": L.LightningModule,
    "datamodule": L.LightningDataModule,
    "trainer": quiet_trainer,
    "combined_loader": lambda: L.CombinedLoader([[1]]),
}


def members(of: str) -> set[str]:
    kinds = ("methods", "own_methods", "hooks", "properties", "constants")
    return {name for kind in kinds for name in LIGHTNING[of].get(kind, ())}


@pytest.mark.parametrize("of", OBJECTS)
def test_every_public_member_is_there_or_explained(of: str) -> None:
    one = OBJECTS[of]()
    there = {*dir(one), *dir(type(one))}
    assert [name for name in sorted(members(of)) if name not in there and not explained(name)] == []


@pytest.mark.parametrize("of", OBJECTS)
def test_methods_take_lightnings_arguments_in_its_order(of: str) -> None:
    differing = {}
    for name, method in LIGHTNING[of].get("methods", {}).items():
        own = getattr(type(OBJECTS[of]()), name, None)
        if own is None or name == "to_tensorrt":  # it takes anything, and says what to do instead
            continue
        wanted = [one["name"] for one in method["parameters"]]
        found = [one for one in inspect.signature(own).parameters if one != "self"]
        if found[: len(wanted)] != wanted:
            differing[name] = (wanted, found)
    assert differing == {}


def test_the_trainer_takes_lightnings_arguments() -> None:
    found = inspect.signature(L.Trainer.__init__).parameters
    assert [one["name"] for one in LIGHTNING["trainer"]["init"] if one["name"] not in found] == []


@pytest.mark.parametrize("room", EXPORTS)
def test_every_exported_name_is_there_or_explained(room: str) -> None:
    try:
        there = dir(importlib.import_module(room.replace("lightning.pytorch", "torchbus")))
    except ModuleNotFoundError:
        there = []
    assert [name for name in EXPORTS[room] if name not in there and not explained(name)] == []


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("exceptions", ["MisconfigurationException"]),
        (
            "types",
            ["STEP_OUTPUT", "OptimizerLRScheduler", "LRSchedulerConfig", "EVAL_DATALOADERS", "TRAIN_DATALOADERS"],
        ),
        (
            "rank_zero",
            ["rank_zero_only", "rank_zero_info", "rank_zero_warn", "rank_zero_debug", "rank_zero_deprecation"],
        ),
        ("combined_loader", ["CombinedLoader"]),
        ("grads", ["grad_norm"]),
        ("model_summary", ["LayerSummary", "ModelSummary", "summarize"]),
        ("seed", ["isolate_rng", "seed_everything"]),
        ("parameter_tying", ["find_shared_parameters", "set_shared_parameters"]),
    ],
)
def test_the_modules_of_utilities_have_the_names_that_scripts_import(room: str, names: list[str]) -> None:
    own = importlib.import_module(f"torchbus.utilities.{room}")
    assert [name for name in names if name not in own.__all__] == []
