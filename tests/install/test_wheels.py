"""The distributions as users get them: built as wheels, installed into an empty environment, used from an empty folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from .environments import BY_NAME, build_wheel, distribution, run

pytestmark = pytest.mark.slow

TOY = """
import json, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
import torch, torchbus
from torch.utils.data import DataLoader, TensorDataset
from torchbus._discovery import discover, load_offer


class Toy(torchbus.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(x), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def loader():
    x = torch.linspace(0, 1, 64).reshape(16, 4)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)


torchbus.seed_everything(1, verbose=False)
quiet = dict(enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1)
"""
WITH_ALL = (
    TOY
    + """
trainer = torchbus.Trainer(
    max_epochs=2,
    plugins=[
        {"early_stopping": {"monitor": "val_loss", "patience": 2}},
        {"model_checkpoint": {"monitor": "val_loss", "dirpath": "kept", "filename": "{epoch}"}},
    ],
    logger={"csv": {"save_dir": "logs", "name": "toy"}},
    **quiet,
)
trainer.fit(Toy(), loader(), loader())
print(json.dumps({
    "file": torchbus.__file__,
    "epochs": trainer.current_epoch,
    "steps": trainer.global_step,
    "plugins": {name: one.origin for name, one in trainer.bus.plugins.items() if one.origin},
    "offers": sorted(f"{one.name} of {one.origin}" for one in discover()),
    "loaded": [str(load_offer(one)) for one in discover()],
    "best": trainer.checkpoint_callback.best_model_path,
    "score": float(trainer.checkpoint_callback.best_model_score),
    "val_loss": float(trainer.callback_metrics["val_loss"]),
}))
"""
)
ALONE = (
    TOY
    + """
trainer = torchbus.Trainer(
    max_epochs=50,
    plugins={"early_stopping": {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}},
    enable_checkpointing=False,
    logger=False,
    **quiet,
)
trainer.fit(Toy(), loader(), loader())
missing = None
try:
    torchbus.Trainer(logger="csv")
except torchbus.MisconfigurationException as error:
    missing = str(error)
print(json.dumps({
    "file": torchbus.__file__,
    "epochs": trainer.current_epoch,
    "offers": sorted(f"{one.name} of {one.origin}" for one in discover()),
    "missing": missing,
}))
"""
)


# what a stranger would write: a device of the CPU's, found by its entry point alone
PRETEND = """
import torch
from torchbus_hookspecs import Accelerator


class PretendAccelerator(Accelerator):
    calls = []

    @staticmethod
    def parse_devices(devices):
        return [0] if devices in (1, -1) else list(devices)

    @staticmethod
    def get_parallel_devices(devices):
        return [torch.device("cpu") for _ in devices]

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def name():
        return "pretend"

    def setup_device(self, device):
        self.calls.append(f"setup {device}")

    def teardown(self):
        self.calls.append("teardown")
"""
PRETEND_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "pretend-device"
version = "0.7"
dependencies = ["torchbus-hookspecs>=1,<2"]

[project.entry-points."torchbus.accelerators"]
pretend = "pretend_device:PretendAccelerator"

[tool.hatch.build.targets.wheel]
only-include = ["pretend_device.py"]
"""
ON_PRETEND = (
    TOY
    + """
chosen = {}
for wanted in ("pretend", "auto"):
    trainer = torchbus.Trainer(accelerator=wanted, max_epochs=1, enable_checkpointing=False, logger=False, **quiet)
    trainer.fit(Toy(), loader(), loader())
    chosen[wanted] = type(trainer.accelerator).__name__
from torchbus.accelerators import PretendAccelerator
print(json.dumps({
    "file": torchbus.__file__,
    "chosen": chosen,
    "calls": PretendAccelerator.calls,
    "offers": sorted(f"{one.name} of {one.origin}" for one in discover() if one.kind == "accelerators"),
}))
"""
)


def offers_of(names: Iterable[str]) -> list[str]:
    """What the plugins' own ``pyproject.toml`` say they offer."""
    return sorted(
        f"{plugin} of {name} {project['version']}"
        for name, project in ((name, distribution(BY_NAME[name])) for name in names)
        for group, points in project.get("entry-points", {}).items()
        if group.startswith("torchbus.")
        for plugin in points
    )


def output(python: Path, folder: Path, script: str) -> dict[str, Any]:
    folder.mkdir()
    (folder.parent / "toy.py").write_text(script)
    printed: dict[str, Any] = json.loads(run(python, "-P", folder.parent / "toy.py", cwd=folder).splitlines()[-1])
    assert Path(printed["file"]).is_relative_to(python.parents[1]), "the installed package is the one that ran"
    return printed


@pytest.mark.parametrize("name", BY_NAME)
def test_a_wheel_holds_its_package_and_nothing_else(name: str, wheel_of: Callable[[str], Path]) -> None:
    source = BY_NAME[name]
    package = next(path.parent for path in source.glob("src/*/__init__.py"))
    with ZipFile(wheel_of(name)) as wheel:
        names = set(wheel.namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    files = (path.relative_to(source / "src") for path in package.rglob("*") if path.is_file())
    assert packed == {
        str(file) for file in files if not any(part.startswith((".", "__pycache__")) for part in file.parts)
    }
    assert f"{package.name}/py.typed" in packed


def test_a_script_trains_with_plugins_enabled_by_name(
    tmp_path: Path, environment: Callable[[Iterable[str]], Path]
) -> None:
    told = output(environment(BY_NAME), tmp_path / "empty", WITH_ALL)
    assert (told["epochs"], told["steps"]) == (2, 8)
    assert told["plugins"] == {
        "early_stopping": "torchbus-stopping 0.1.0",
        "model_checkpoint": "torchbus-checkpointing 0.1.0",
        "csv": "torchbus-csv 0.1.0",
        "slow_plugins": "torchbus-profilers 0.1.0",
    }
    assert told["offers"] == offers_of(BY_NAME)
    assert len(told["loaded"]) == len(told["offers"]), "every offer can be imported"
    assert Path(told["best"]) == tmp_path / "empty" / "kept" / "epoch=1.ckpt"
    assert Path(told["best"]).is_file()
    (metrics,) = (tmp_path / "empty" / "logs" / "toy").rglob("metrics.csv")
    rows = list(csv.DictReader(metrics.read_text().splitlines()))
    losses = {name: [float(row[name]) for row in rows if row[name]] for name in ("train_loss", "val_loss")}
    assert [len(values) for values in losses.values()] == [8, 2]
    first, last = losses["val_loss"]
    assert told["score"] == told["val_loss"] == pytest.approx(last)
    assert last < first, "it has learnt something"
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["kept", "logs"]


def test_the_core_with_one_plugin_is_enough(tmp_path: Path, environment: Callable[[Iterable[str]], Path]) -> None:
    names = ["torchbus-hookspecs", "torchbus-core", "torchbus-stopping"]
    python = environment(names)
    told = output(python, tmp_path / "empty", ALONE)
    assert told["epochs"] == 2, "the second epoch is no hundred better than the first, so it is the last"
    assert told["offers"] == offers_of(names), "and nothing else"
    assert "It comes with torchbus-csv: pip install torchbus-csv" in told["missing"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_strangers_accelerator_is_found_by_its_entry_point_alone(
    tmp_path: Path, environment: Callable[..., Path]
) -> None:
    source = tmp_path / "pretend"
    source.mkdir()
    (source / "pretend_device.py").write_text(PRETEND)
    (source / "pyproject.toml").write_text(PRETEND_PROJECT)
    wheel = build_wheel(source, tmp_path / "wheel")
    ours = ["torchbus-hookspecs", "torchbus-core", "torchbus-cpu"]
    told = output(environment(ours, wheel), tmp_path / "empty", ON_PRETEND)
    assert told["chosen"] == {"pretend": "PretendAccelerator", "auto": "PretendAccelerator"}, "before the CPU"
    assert told["calls"] == ["setup cpu", "teardown"] * 2
    assert told["offers"] == ["cpu of torchbus-cpu 0.1.0", "pretend of pretend-device 0.7"]
