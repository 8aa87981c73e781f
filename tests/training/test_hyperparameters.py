"""Hyperparameters: collected from constructors, kept in checkpoints, given back when a checkpoint is loaded."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import nn
from torchbus.utilities import AttributeDict

from .toys import Bare, loader

Quiet = Callable[..., L.Trainer]


class Module(Bare):
    def __init__(self, width: int = 1, rate: float = 0.1, **more: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.given = {"width": width, "rate": rate, **more}


def saved(quiet: Quiet, path: Path, module: L.LightningModule) -> Path:
    trainer = quiet(limit_train_batches=1)
    trainer.fit(module, loader(2))
    trainer.save_checkpoint(path)
    return path


# ---- collecting --------------------------------------------------------------------------------------------------------


def test_they_are_shown_in_the_order_of_their_names() -> None:
    assert repr(AttributeDict({"width": 3, "my-rate": 0.1})) == '"my-rate": 0.1\n"width":   3'


def test_one_that_is_missing_is_told_as_a_missing_attribute() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'depth'; it has: width, rate"):
        print(Module().hparams.depth)
    with pytest.raises(AttributeError, match="depth"):
        del Module().hparams.depth


@dataclass
class Settings:
    width: int = 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"width": 3}, {"width": 3}), (Namespace(width=3), {"width": 3}), (Settings(), {"width": 3}), (None, {})],
    ids=["dictionary", "namespace", "dataclass", "nothing"],
)
def test_one_object_may_hold_all_of_them(given: Any, expected: dict[str, Any]) -> None:
    class Configured(L.LightningModule):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.save_hyperparameters(config)

    assert Configured(given).hparams == expected


@pytest.mark.parametrize("error", [KeyError, ValueError])
def test_a_name_that_is_no_argument_is_refused(error: type[Exception]) -> None:
    class Model(L.LightningModule):
        def __init__(self, width: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters("widht")

    with pytest.raises(error, match=r"^save_hyperparameters: Model.__init__ has no argument 'widht'; it has: width\.$"):
        Model()


def test_a_module_among_them_is_told_at_once() -> None:
    class Wrapping(L.LightningModule):
        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            self.save_hyperparameters()

    with pytest.warns(UserWarning, match=r"'backbone' is an instance of `nn.Module` .*ignore=\['backbone'\]"):
        Wrapping(nn.Linear(1, 1))


# ---- in checkpoints ------------------------------------------------------------------------------------------------------


class Act(Enum):
    RELU = "relu"
    GELU = "gelu"


class Acting(Bare):
    def __init__(self, width: int = 1, act: Act = Act.RELU) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.act = act


def test_one_that_no_checkpoint_may_hold_is_left_out_and_told_when_saving_and_loading(
    quiet: Quiet, tmp_path: Path
) -> None:
    trainer = quiet()
    trainer.fit(Acting(act=Act.GELU), loader(2))
    with pytest.warns(UserWarning, match=r"Acting are left out of checkpoints, .* cannot be pickled .* 'act' \(Act\)"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert trainer.lightning_module.hparams == {"width": 1, "act": Act.GELU}
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["hyper_parameters"] == {"width": 1}
    with pytest.warns(
        UserWarning, match=r"without the hyperparameters \['act'\].*load_from_checkpoint\(..., act=...\)"
    ):
        assert Acting.load_from_checkpoint(tmp_path / "a.ckpt").act == Act.RELU
    assert Acting.load_from_checkpoint(tmp_path / "a.ckpt", act=Act.GELU).act == Act.GELU


def test_on_load_checkpoint_finds_what_the_module_was_made_of(quiet: Quiet, tmp_path: Path) -> None:
    found = {}

    class Looking(Module):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            found.update(checkpoint["hyper_parameters"])

    Looking.load_from_checkpoint(saved(quiet, tmp_path / "a.ckpt", Module(rate=0.2)), width=5)
    assert found == {"width": 5, "rate": 0.2}


def test_a_checkpoint_may_be_a_path_an_address_or_an_open_file(quiet: Quiet, tmp_path: Path) -> None:
    path = saved(quiet, tmp_path / "a.ckpt", Module(width=4))
    with path.open("rb") as file:
        for source in (path, str(path), f"file://{path}", file, io.BytesIO(path.read_bytes())):
            assert Module.load_from_checkpoint(source).given["width"] == 4
    resumed = quiet(max_epochs=2, limit_train_batches=1)
    resumed.fit(Module(), loader(2), ckpt_path=f"file://{path}")
    assert resumed.global_step == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "width: 7\nshape: !!python/tuple [1, 2]\nname: text\n"),
        ("a.csv", 'key,value\nwidth,7\nshape,"(1, 2)"\nname,text\n'),
    ],
)
def test_a_file_of_hyperparameters_stands_in_for_those_of_the_checkpoint(
    quiet: Quiet, tmp_path: Path, name: str, text: str
) -> None:
    path = saved(quiet, tmp_path / "a.ckpt", Module(width=4, rate=0.5))
    (tmp_path / name).write_text(text)
    loaded = Module.load_from_checkpoint(path, hparams_file=tmp_path / name, name="other")
    assert loaded.given == {"width": 7, "rate": 0.1, "shape": (1, 2), "name": "other"}


def test_a_file_of_hyperparameters_that_cannot_be_one_is_refused(quiet: Quiet, tmp_path: Path) -> None:
    path = saved(quiet, tmp_path / "a.ckpt", Module())
    for name, text, message in (
        ("a.json", "{}", ".csv, .yml or .yaml is required"),
        ("a.yaml", "- 1\n", "names and values, not a list"),
        ("a.csv", "width,7\n", "columns `key` and `value`"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            Module.load_from_checkpoint(path, hparams_file=tmp_path / name)
    with pytest.raises(FileNotFoundError, match="absent.yaml"):
        Module.load_from_checkpoint(path, hparams_file=tmp_path / "absent.yaml")


def test_strictness_must_not_be_asked_for_in_two_ways(quiet: Quiet, tmp_path: Path) -> None:
    class Lenient(Module):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Linear(1, 1)
            self.strict_loading = False

    path = saved(quiet, tmp_path / "a.ckpt", Module())
    with pytest.raises(ValueError, match="strict=True.* is in conflict with Lenient.strict_loading=False"):
        Lenient.load_from_checkpoint(path, strict=True)
    with pytest.warns(UserWarning, match="not in the checkpoint"):
        Lenient.load_from_checkpoint(path)


def test_loading_on_an_instance_is_refused(quiet: Quiet, tmp_path: Path) -> None:
    path = saved(quiet, tmp_path / "a.ckpt", Module())
    with pytest.raises(TypeError, match=r"`Module.load_from_checkpoint` cannot be called on an instance"):
        Module().load_from_checkpoint(path)


def test_module_and_datamodule_must_agree_on_what_both_have(quiet: Quiet, tmp_path: Path) -> None:
    class Data(L.LightningDataModule):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return loader(2)

    quiet(logger="csv").fit(Module(width=2), datamodule=Data(2))
    with pytest.raises(RuntimeError, match=r"Error while merging hparams.*\['width'\]"):
        quiet(logger="csv").fit(Module(width=2), datamodule=Data(3))
