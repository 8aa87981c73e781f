"""Callbacks, loggers and profilers take the constructor arguments of Lightning's, with the same defaults."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torchbus as L

HOOKS = json.loads((Path(__file__).resolve().parent / "hooks.json").read_text())
KINDS = ("callbacks", "loggers", "profilers")

OTHER_DEFAULTS = {
    ("CSVLogger", "name"): "torchbus_logs",
    ("TensorBoardLogger", "name"): "torchbus_logs",
    ("MLFlowLogger", "experiment_name"): "torchbus_logs",
}
"""On purpose: the default folder has torchbus's name."""

NOT_TAKEN = {
    ("ThroughputMonitor", "kwargs"): ("window_size", "available_flops", "separator"),
}
"""Arguments whose place others take, by name. Those of ``ThroughputMonitor`` are checked, so they are not ``**kwargs``."""

NEEDED: dict[str, dict[str, Any]] = {
    "EarlyStopping": {"monitor": "loss"},
    "GradientAccumulationScheduler": {"scheduling": {1: 2}},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "folder"},
    "StochasticWeightAveraging": {"swa_lrs": 0.1},
    "ThroughputMonitor": {"batch_size_fn": len},
}
"""The arguments without which a callback cannot be built."""


def offered(kind: str) -> list[str]:
    """Names of Lightning's classes of a kind that torchbus has; none of them is imported yet."""
    return sorted(set(HOOKS[f"builtin_{kind}"]) & set(dir(getattr(L, kind, None))))


CLASSES = [(kind, name) for kind in KINDS for name in offered(kind)]
CALLBACKS = offered("callbacks")


def same_default(recorded: Any, own: Any) -> bool:
    """Whether a default is what was recorded: JSON has neither tuples nor objects, which it names."""
    if isinstance(own, tuple):
        own = list(own)
    if isinstance(recorded, str) and not isinstance(own, str):
        name = getattr(own, "__name__", type(own).__name__)
        return recorded.strip("<>").rpartition(".")[2] == name
    return bool(recorded == own) and isinstance(own, bool) == isinstance(recorded, bool)


def test_what_there_is_is_compared() -> None:
    assert {"EarlyStopping", "ModelCheckpoint", "RichProgressBar", "CSVLogger"} <= {name for _, name in CLASSES}


@pytest.mark.parametrize(("kind", "name"), CLASSES, ids=[name for _, name in CLASSES])
def test_constructor_arguments_have_lightnings_names_order_and_defaults(kind: str, name: str) -> None:
    cls = getattr(getattr(L, kind), name)
    own = dict(inspect.signature(cls).parameters)
    open_ended = any(one.kind is one.VAR_KEYWORD for one in own.values())
    positional = []
    for recorded in HOOKS[f"builtin_{kind}"][name]["init"]:
        argument = recorded["name"]
        if (name, argument) in NOT_TAKEN:
            assert set(NOT_TAKEN[name, argument]) <= set(own)
            continue
        if "var_keyword" in recorded["kind"]:
            assert open_ended, f"{name} takes no further keyword arguments"
            continue
        assert argument in own, f"{name} has no argument `{argument}`"
        if recorded["kind"] == "positional_or_keyword":
            positional.append(argument)
        if "default" in recorded:
            expected = OTHER_DEFAULTS.get((name, argument), recorded["default"])
            assert same_default(expected, own[argument].default), f"{name}({argument}={own[argument].default!r})"
        else:
            assert own[argument].default is inspect.Parameter.empty, f"{name}: `{argument}` is required"
    taken = [one.name for one in own.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert taken[: len(positional)] == positional, f"{name}: arguments by position"


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_can_be_copied_and_pickled(name: str) -> None:
    cls = getattr(L.callbacks, name)
    if inspect.isabstract(cls):
        return
    callback = cls(**NEEDED.get(name, {}))
    assert type(copy.deepcopy(callback)) is type(callback)
    assert str(pickle.loads(pickle.dumps(callback)).state_dict()) == str(callback.state_dict())


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_are_used_by_name_as_well(name: str, tmp_path: Path) -> None:
    cls = getattr(L.callbacks, name)
    entry = ENTRY_POINTS.get(name)
    if entry is None:
        assert name in BASES
        return
    trainer = L.Trainer(
        plugins={entry: NEEDED.get(name, {})}, default_root_dir=tmp_path, logger=False, accelerator="cpu",
        enable_progress_bar=None if issubclass(cls, L.callbacks.ProgressBar) else False,
    )  # fmt: skip
    assert any(type(one) is cls for one in trainer.callbacks)


BASES = ("BaseFinetuning", "Callback", "Checkpoint", "ProgressBar")
"""What subclasses begin with, of no use by itself."""


def entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {one.value.partition(":")[2]: one.name for one in entry_points(group="torchbus.callbacks")}


ENTRY_POINTS = entry_points()
