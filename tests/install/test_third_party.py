"""Plugins of strangers, good and bad, installed for real: whom they may harm, and what is said of them.

All of them are in one environment, and one process tries everything; each test looks at a part of what it told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from .environments import build_wheel, run

pytestmark = pytest.mark.slow

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
dependencies = ["torchbus-hookspecs{contract}"]

[tool.hatch.build.targets.wheel]
only-include = ["{module}.py"]
"""

GOOD = '''
"""Four shapes of plugins."""
import json
from typing import Annotated
from pydantic import Field
from torchbus_hookspecs import Callback, Logger, hookimpl
from torchbus_hookspecs.settings import validated

heard = []

@hookimpl
def on_train_batch_end(batch_idx):
    heard.append(batch_idx)

class Typed(Callback):
    def __init__(self, often: int = 1):
        self.often = often

@validated
class Paced(Callback):
    def __init__(self, batches: Annotated[int, Field(ge=1)] = 2):
        self.batches = batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = batch_idx + 1 == self.batches

class Ledger(Logger):
    def __init__(self, save_dir: str):
        self.save_dir_given, self.kept = save_dir, []

    name, version = "ledger", 0

    def log_metrics(self, metrics, step=None):
        self.kept.append(sorted(metrics))

    def log_hyperparams(self, params, *args, **kwargs):
        self.params = params
'''
MISFIT = """
from torchbus_hookspecs import hookimpl

@hookimpl
def on_train_batch_end(batch_index):
    raise AssertionError
"""
TWIN = """
from torchbus_hookspecs import Callback

class Twin(Callback):
    pass
"""
# name of a distribution: its version, its source, its entry points by group, the contract it is made for
STRANGERS: dict[str, tuple[str, str, Mapping[str, Mapping[str, str]], str]] = {
    "stranger-good": (
        "1.0", GOOD,
        {"plugins": {"heard": ""}, "callbacks": {"typed": ":Typed", "paced": ":Paced"}, "loggers": {"ledger": ":Ledger"}},
        ">=1,<2",
    ),
    "stranger-misfit": ("2.1", MISFIT, {"plugins": {"misfit": ""}}, ">=1,<2"),
    "stranger-broken": ("3.2", "import nowhere_at_all", {"callbacks": {"broken": ":Broken"}}, ">=1,<2"),
    "stranger-leaving": ("3.3", "import sys; sys.exit('no licence')", {"callbacks": {"leaving": ":Leaving"}}, ">=1,<2"),
    "stranger-sleeping": ("4.0", "import time; time.sleep(30)", {"callbacks": {"sleeping": ":Sleeping"}}, ">=1,<2"),
    "stranger-exiting": ("5.0", "import os; os._exit(77)", {"callbacks": {"exiting": ":Exiting"}}, ">=1,<2"),
    "stranger-twin": ("6.0", TWIN, {"callbacks": {"twin": ":Twin"}}, ">=1,<2"),
    "stranger-other": ("6.1", TWIN, {"callbacks": {"twin": ":Twin"}}, ">=1,<2"),
    "stranger-future": ("7.0", "import os; os._exit(78)", {"callbacks": {"future": ":Future"}}, ">=2,<3"),
}  # fmt: skip

PROBE = """
import json, os, sys
import torch
import torchbus
from torch.utils.data import DataLoader
from torchbus._discovery import discover

class Toy(torchbus.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def imported():
    return sorted(name for name in sys.modules if name.startswith("stranger_"))

def trainer(plugins=None, **options):
    silent = dict(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    return torchbus.Trainer(plugins=plugins, enable_model_summary=False, **{**silent, **options})

def fit(**options):
    made = trainer(**options)
    made.fit(Toy(), DataLoader(torch.ones(8, 1), batch_size=1))
    return made

def refused(*plugins):
    try:
        trainer(list(plugins))
    except BaseException as error:
        return [type(error).__name__, str(error)]

told = {}
told["listed"] = {f"{one.distribution}:{one.name}": one.fault for one in discover()}
try:
    from torchbus.callbacks import Nowhere
except ImportError as error:
    told["nowhere"] = str(error)
told["steps"] = fit().global_step
told["imported unasked"] = imported()
told["refused"] = {name: refused(name) for name in ("misfit", "broken", "leaving", "twin", "future")}
told["wrong settings"] = refused({"typed": {"often": "seldom"}}, {"paced": {"batches": 0, "bathces": 1}})
told["picked"] = trainer(["stranger-other:twin"]).bus.plugins["twin"].origin
together = fit(plugins=["heard", {"paced": {"batches": 3}}, "typed"], logger="ledger", log_every_n_steps=1)
from torchbus.callbacks import Paced
from torchbus.loggers import Ledger
import stranger_good
told["together"] = {
    "steps": together.global_step,
    "heard": stranger_good.heard,
    "kept": together.logger.kept,
    "origins": {name: one.origin for name, one in together.bus.plugins.items() if one.origin.startswith("stranger")},
    "classes": isinstance(together.callbacks[0], Paced) and isinstance(together.logger, Ledger),
}
told["imported when all was done"] = imported()
os.environ["TORCHBUS_PLUGIN_ALLOW"] = "stranger_good, torchbus-cpu"
told["allowed"] = {f"{one.distribution}:{one.name}": one.fault for one in discover()}
told["steps when few are allowed"] = fit(plugins=["typed"]).global_step
told["refused when few are allowed"] = {name: refused(name) for name in ("broken", "exiting", "stranger-twin:twin")}
print(json.dumps(told))
"""


def write(folder: Path, name: str) -> Path:
    """The source of a stranger's distribution."""
    version, code, groups, contract = STRANGERS[name]
    module = name.replace("-", "_")
    folder.mkdir()
    (folder / f"{module}.py").write_text(code)
    lines = [PROJECT.format(name=name, version=version, contract=contract, module=module)]
    for group, points in groups.items():
        lines += [f'[project.entry-points."torchbus.{group}"]']
        lines += [f'{point} = "{module}{attribute}"' for point, attribute in points.items()]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def python(environment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources, wheels = (tmp_path_factory.mktemp(name) for name in ("strangers", "wheels_of_strangers"))
    built = [build_wheel(write(sources / name, name), wheels / name) for name in STRANGERS]
    return environment(["torchbus-hookspecs", "torchbus-core", "torchbus-cpu"], *built)


@pytest.fixture(scope="module")
def told(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE)
    answer: dict[str, Any] = json.loads(run(python, "-W", "ignore", "-P", "probe.py", cwd=folder).splitlines()[-1])
    return answer


def test_all_are_listed_and_none_is_imported_for_it(python: Path, tmp_path: Path) -> None:
    listed = json.loads(run(python.parent / "torchbus", "plugins", "list", "--json", cwd=tmp_path))
    found = {(one["distribution"], one["version"]) for one in listed if one["distribution"].startswith("stranger")}
    assert found == {(name, version) for name, (version, *_) in STRANGERS.items()}
    faults = {one["name"] for one in listed if one["fault"]}
    assert faults == {"future"}, "what metadata can tell"
    twins = {one["distribution"]: one["also_offered_by"] for one in listed if one["name"] == "twin"}
    assert twins == {"stranger-twin": ["stranger-other 6.1"], "stranger-other": ["stranger-twin 6.0"]}


def test_what_is_not_enabled_is_never_imported(told: dict[str, Any]) -> None:
    assert told["steps"] == 8, "a run beside plugins that sleep, exit and fail when they are imported"
    assert "Nowhere" in told["nowhere"], "looking for a class imports nobody either"
    assert told["imported unasked"] == []
    assert not {"stranger_sleeping", "stranger_exiting", "stranger_future"} & set(told["imported when all was done"])


def test_good_ones_work_together_by_name_whatever_their_shape(told: dict[str, Any]) -> None:
    good = told["together"]
    assert good["steps"] == 3 and good["heard"] == [0, 1, 2]
    assert good["kept"] == [["epoch", "loss"]] * 3
    assert good["origins"] == dict.fromkeys(["paced", "typed", "heard", "ledger"], "stranger-good 1.0")
    assert good["classes"], "and their classes are found under torchbus.callbacks and torchbus.loggers"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("misfit", "PluginValidationError", ["misfit", "stranger-misfit 2.1", "no argument `batch_index`", "`batch_idx`"]),
        ("broken", "PluginLoadError", ["`broken`", "stranger-broken 3.2", "No module named 'nowhere_at_all'", "To fix"]),
        ("leaving", "PluginLoadError", ["`leaving`", "stranger-leaving 3.3", "SystemExit: no licence", "To fix"]),
        ("future", "PluginLoadError", ["`future`", "stranger-future 7.0", "is made for torchbus-hookspecs", "To fix"]),
        ("twin", "PluginConflictError", ["stranger-other 6.1", "stranger-twin 6.0", "write `stranger-other:twin`"]),
    ],
)  # fmt: skip
def test_a_bad_one_that_is_enabled_is_refused_by_the_trainer(
    name: str, kind: str, words: list[str], told: dict[str, Any]
) -> None:
    found, message = told["refused"][name]
    assert found == kind
    for word in words:
        assert word in message


def test_wrong_settings_are_told_together_and_name_the_distribution(told: dict[str, Any]) -> None:
    kind, message = told["wrong settings"]
    assert kind == "MisconfigurationException"
    for part in ("`typed` (stranger-good 1.0)", "`often` is 'seldom'", "`paced` (stranger-good 1.0)", "`batches` is 0"):
        assert part in message
    assert "`bathces` is not a setting of Paced. Did you mean `batches`?" in message


def test_one_of_two_twins_is_picked_by_its_distribution(told: dict[str, Any]) -> None:
    assert told["picked"] == "stranger-other 6.1"


def test_only_allowed_distributions_can_be_used(told: dict[str, Any]) -> None:
    fault = "is not among the distributions that TORCHBUS_PLUGIN_ALLOW allows."
    strangers = {name: why for name, why in told["allowed"].items() if name.startswith("stranger")}
    assert strangers.keys() == {name for name in told["listed"] if name.startswith("stranger")}
    for name, why in strangers.items():
        distribution = name.partition(":")[0]
        assert why == ("" if distribution == "stranger-good" else f"{distribution} {fault}")
    assert told["steps when few are allowed"] == 8
    for kind, message in told["refused when few are allowed"].values():
        assert kind == "PluginLoadError" and fault in message
