"""Pruning: amounts, the lottery, plain weights at the end, checkpoints, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import nn
from torch.nn.utils import prune
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_training import ModelPruning
from torchbus_training._masks import plain_state

from .small_fits import Line, loader, trainer, weights


def zeros(module: Line) -> int:
    return int((module.layer.weight == 0).sum())


class Wide(Line):
    """Two layers, whose weights depend on nothing but a seed."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layer = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))  # type: ignore[assignment]
        self.optimize = lambda module: torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)


class SavingIn(L.Callback):
    """Saves in the middle of one epoch."""

    def __init__(self, epoch: int, path: Path) -> None:
        self.epoch, self.path = epoch, path

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            trainer.save_checkpoint(self.path)


def test_a_share_is_of_what_is_left_and_the_module_is_plain_afterwards(tmp_path: Path) -> None:
    module = Line()
    settings = {"model_pruning": {"pruning_fn": "l1_unstructured", "parameter_names": ["weight"]}}
    trainer(tmp_path, max_epochs=2, plugins=settings).fit(module, loader())
    assert zeros(module) == 3
    assert [name for name, _ in module.named_parameters()] == ["layer.bias", "layer.weight"]
    assert not list(module.named_buffers())


def test_a_count_is_of_each_parameter_unless_they_are_pruned_together(tmp_path: Path) -> None:
    module = Line()
    pruning = ModelPruning("random_unstructured", [(module.layer, "weight")], use_global_unstructured=False, amount=3)
    trainer(tmp_path, pruning).fit(module, loader())
    assert zeros(module) == 3


def test_channels_are_pruned_whole(tmp_path: Path) -> None:
    module = Wide()
    first = module.layer[0]
    pruning = ModelPruning(
        "ln_structured", [(first, "weight")], use_global_unstructured=False, amount=2, pruning_dim=0, pruning_norm=2
    )
    trainer(tmp_path, pruning).fit(module, loader())
    assert sorted((first.weight == 0).sum(1).tolist()) == [0, 0, 0, 0, 4, 4]


def test_a_class_of_torch_is_a_method_too(tmp_path: Path) -> None:
    module = Line()
    trainer(tmp_path, ModelPruning(prune.L1Unstructured, [(module.layer, "weight")], amount=1)).fit(module, loader())
    assert zeros(module) == 1


@pytest.mark.parametrize(("each_time", "same"), [(True, True), (False, False)])
def test_the_lottery_puts_back_first_values_each_time_or_once(tmp_path: Path, each_time: bool, same: bool) -> None:
    module = Line()
    first = module.layer.weight.detach().clone()
    pruning = ModelPruning("l1_unstructured", [(module.layer, "weight")], amount=1, rewind_each_time=each_time)
    trainer(tmp_path, pruning, max_epochs=2).fit(module, loader())
    kept = module.layer.weight != 0
    assert torch.equal(module.layer.weight[kept], first[kept]) is same


def test_the_lottery_may_draw_fresh_values(tmp_path: Path) -> None:
    module = Line()
    first = module.layer.weight.detach().clone()
    pruning = ModelPruning("l1_unstructured", [(module.layer, "weight")], amount=1, resample_parameters=True)
    trainer(tmp_path, pruning, max_epochs=2).fit(module, loader())
    assert zeros(module) == 2
    assert not torch.isin(module.layer.weight[module.layer.weight != 0], first).any()


def test_it_may_prune_after_validation_instead(tmp_path: Path) -> None:
    class Validated(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch)

    module = Validated()
    pruning = ModelPruning("l1_unstructured", [(module.layer, "weight")], amount=1, prune_on_train_epoch_end=False)
    trainer(tmp_path, pruning, val_check_interval=0.5).fit(module, loader(), loader(2))
    assert zeros(module) == 2


@pytest.mark.parametrize("options", [{}, {"make_pruning_permanent": False}, {"use_lottery_ticket_hypothesis": False}])
def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path: Path, options: dict[str, Any]) -> None:
    def fit(*others: Any, ckpt_path: Any = None) -> Wide:
        module = Wide()
        pruning = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.3, **options)
        trainer(tmp_path, pruning, *others, max_epochs=3).fit(module, loader(), ckpt_path=ckpt_path)
        return module

    straight = fit(SavingIn(1, tmp_path / "inside.ckpt"))
    resumed = fit(ckpt_path=tmp_path / "inside.ckpt")
    assert weights(resumed) == weights(straight)
    assert dict(resumed.named_buffers()).keys() == dict(straight.named_buffers()).keys()


def test_a_checkpoint_loads_into_a_module_that_was_never_pruned(tmp_path: Path) -> None:
    saving = SavingIn(1, tmp_path / "inside.ckpt")
    trainer(tmp_path, ModelPruning("l1_unstructured"), saving, max_epochs=2).fit(Line(), loader())
    state = torch.load(saving.path, weights_only=True)["state_dict"]
    Line().load_state_dict(state)
    assert (state["layer.weight"] == 0).any()


def test_a_checkpoint_may_be_saved_after_the_fit(tmp_path: Path) -> None:
    run = trainer(tmp_path, ModelPruning("l1_unstructured"))
    run.fit(Line(), loader())
    run.save_checkpoint(tmp_path / "after.ckpt")
    assert "layer.weight" in torch.load(tmp_path / "after.ckpt", weights_only=True)["state_dict"]


def test_names_that_only_look_like_masks_stay() -> None:
    state = {"my_mask": torch.ones(2), "a_orig": torch.ones(1), "w_orig": torch.ones(2), "w_mask": torch.zeros(2)}
    assert {name: value.tolist() for name, value in plain_state(state).items()} == {
        "my_mask": [1, 1], "a_orig": [1], "w": [0, 0]
    }  # fmt: skip


def test_sparsity_is_logged_if_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "torchbus.model_pruning"):
        trainer(tmp_path, ModelPruning("l1_unstructured", amount=1, verbose=2)).fit(Line(), loader())
    assert "1 of 5 values are masked" in caplog.text and "`layer.weight`: " in caplog.text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"pruning_fn": "l3"}, "must be one of"),
        ({"pruning_fn": int}, "subclass of BasePruningMethod"),
        ({"pruning_fn": "ln_structured"}, "use_global_unstructured=False"),
        ({"pruning_fn": prune.LnStructured}, "not of the type"),
        ({"pruning_fn": "random_structured", "use_global_unstructured": False}, "needs `pruning_dim`"),
        ({"pruning_fn": "ln_structured", "use_global_unstructured": False, "pruning_dim": 0}, "needs `pruning_norm`"),
        ({"pruning_fn": "l1_unstructured", "amount": 1.5}, "amount"),
        ({"pruning_fn": "l1_unstructured", "amount": -1}, "amount"),
        ({"pruning_fn": "l1_unstructured", "verbose": 3}, "verbose"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(MisconfigurationException, match=problem):
        ModelPruning(**wrong)


def test_parameters_that_are_not_there_are_refused(tmp_path: Path) -> None:
    module = Line()
    for places, problem in (
        ([(module.layer, "scale")], "It has: weight, bias"),
        ([(nn.Linear(1, 1), "weight")], "not part of Line"),
    ):
        with pytest.raises(MisconfigurationException, match=problem):
            trainer(tmp_path, ModelPruning("l1_unstructured", places)).fit(module, loader())
    with pytest.raises(MisconfigurationException, match="no module in Line has a parameter called scale"):
        trainer(tmp_path, ModelPruning("l1_unstructured", parameter_names=["scale"])).fit(module, loader())


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(ModelPruning))
