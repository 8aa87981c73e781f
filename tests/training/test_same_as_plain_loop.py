"""A fit ends with the weights, bit for bit, of a plain PyTorch loop that does the same work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchbus as L
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from .toys import (
    Bare,
    Logging,
    Recorder,
    Regression,
    adam,
    assert_same,
    listen_to_everything,
    loader,
    network,
    sgd,
    weights,
)

SEED = 7


def plain_loop(
    make_optimizer: Callable[[nn.Module], Any] = sgd,
    *,
    count: int = 12,
    shuffle: bool = False,
    dropout: float = 0.0,
    epochs: int = 2,
    accumulate: int = 1,
    clip: float | None = None,
    algorithm: str = "norm",
    schedule: str | None = None,
) -> dict[str, Tensor]:
    """What a researcher would write by hand."""
    torch.manual_seed(SEED)
    model, batches = network(dropout), loader(count, shuffle=shuffle)
    optimizer = make_optimizer(model)
    steps = epochs * -(-len(batches) // accumulate)
    per_epoch = StepLR(optimizer, step_size=1, gamma=0.5) if schedule == "epoch" else None
    per_step = OneCycleLR(optimizer, max_lr=0.1, total_steps=steps) if schedule == "step" else None
    for _ in range(epochs):
        for index, (inputs, targets) in enumerate(batches):
            loss = nn.functional.mse_loss(model(inputs), targets) / accumulate
            if index % accumulate == 0:
                optimizer.zero_grad()
            loss.backward()
            if (index + 1) % accumulate and index + 1 < len(batches):
                continue
            if clip is not None and algorithm == "norm":
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            elif clip is not None:
                nn.utils.clip_grad_value_(model.parameters(), clip)
            optimizer.step()
            if per_step is not None:
                per_step.step()
        if per_epoch is not None:
            per_epoch.step()
    return {f"network.{name}": value for name, value in weights(model).items()}


def fitted(
    quiet: Callable[..., L.Trainer],
    make_optimizer: Callable[[nn.Module], Any] = sgd,
    *,
    count: int = 12,
    shuffle: bool = False,
    dropout: float = 0.0,
    epochs: int = 2,
    accumulate: int = 1,
    clip: float | None = None,
    algorithm: str = "norm",
    schedule: str | None = None,
    audience: str = "nobody",
    kind: type[Bare] = Bare,
    validate: bool = False,
) -> dict[str, Tensor]:
    def optimize(module: Bare) -> Any:
        optimizer = make_optimizer(module)
        if schedule == "epoch":
            return [optimizer], [StepLR(optimizer, step_size=1, gamma=0.5)]
        if schedule == "step":
            scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=module.trainer.estimated_stepping_batches)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
        return optimizer

    torch.manual_seed(SEED)
    module = kind(optimize, dropout)
    trainer = quiet(
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        gradient_clip_algorithm=algorithm if clip is not None else None,
        callbacks=[Recorder()] if audience == "a callback" else None,
    )
    if audience == "a subscriber":
        listen_to_everything(trainer)
    trainer.fit(module, loader(count, shuffle=shuffle), loader(4, seed=2) if validate else None)
    return weights(module)


AUDIENCES = ["nobody", "a callback", "a subscriber"]


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("make_optimizer", [sgd, adam], ids=["sgd", "adam"])
def test_optimizers_end_with_the_same_weights(
    quiet: Callable[..., L.Trainer], make_optimizer: Callable[[nn.Module], Any], audience: str
) -> None:
    assert_same(fitted(quiet, make_optimizer, audience=audience), plain_loop(make_optimizer))


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("count", [12, 11, 10], ids=["even", "short last batch", "ragged last window"])
def test_accumulating_gradients_divides_by_the_window(
    quiet: Callable[..., L.Trainer], count: int, audience: str
) -> None:
    assert_same(fitted(quiet, count=count, accumulate=2, audience=audience), plain_loop(count=count, accumulate=2))


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_once_per_step(quiet: Callable[..., L.Trainer], algorithm: str, audience: str) -> None:
    options: dict[str, Any] = {"clip": 0.05, "algorithm": algorithm, "accumulate": 2}
    assert_same(fitted(quiet, audience=audience, **options), plain_loop(**options))


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("schedule", ["epoch", "step"])
def test_schedulers_step_when_the_loop_would(quiet: Callable[..., L.Trainer], schedule: str, audience: str) -> None:
    assert_same(fitted(quiet, schedule=schedule, audience=audience), plain_loop(schedule=schedule))


@pytest.mark.parametrize("audience", AUDIENCES)
def test_shuffling_and_dropout_draw_the_same_numbers(quiet: Callable[..., L.Trainer], audience: str) -> None:
    assert_same(fitted(quiet, shuffle=True, dropout=0.5, audience=audience), plain_loop(shuffle=True, dropout=0.5))


def test_logging_changes_nothing(quiet: Callable[..., L.Trainer]) -> None:
    assert_same(fitted(quiet, shuffle=True, dropout=0.5, kind=Logging), plain_loop(shuffle=True, dropout=0.5))


def test_validating_changes_nothing_but_the_random_numbers_its_loader_draws(quiet: Callable[..., L.Trainer]) -> None:
    assert_same(fitted(quiet, kind=Regression, validate=True), plain_loop())


def test_the_sanity_check_leaves_no_trace_in_the_random_numbers(quiet: Callable[..., L.Trainer]) -> None:
    """One epoch: what is drawn before training is drawn by the sanity check alone."""
    found = fitted(quiet, shuffle=True, dropout=0.5, epochs=1, kind=Regression, validate=True)
    assert_same(found, plain_loop(shuffle=True, dropout=0.5, epochs=1))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # a maker of trainers, which keeps nothing
)
@given(
    make_optimizer=st.sampled_from([sgd, adam]),
    audience=st.sampled_from(AUDIENCES),
    options=st.fixed_dictionaries(
        {
            "count": st.integers(5, 12),
            "shuffle": st.booleans(),
            "dropout": st.sampled_from([0.0, 0.5]),
            "epochs": st.integers(1, 3),
            "accumulate": st.integers(1, 4),
            "clip": st.sampled_from([None, 0.0, 0.05]),
            "algorithm": st.sampled_from(["norm", "value"]),
            "schedule": st.sampled_from([None, "epoch", "step"]),
        }
    ),
)
def test_any_combination_ends_with_the_same_weights(
    quiet: Callable[..., L.Trainer],
    make_optimizer: Callable[[nn.Module], Any],
    audience: str,
    options: dict[str, Any],
) -> None:
    expected = plain_loop(make_optimizer, **{**options, "clip": options["clip"] or None})  # 0.0: no clipping
    assert_same(fitted(quiet, make_optimizer, audience=audience, **options), expected)


@pytest.mark.parametrize("audience", AUDIENCES)
def test_lbfgs_calls_its_closure_as_the_loop_does(quiet: Callable[..., L.Trainer], audience: str) -> None:
    def lbfgs(module: nn.Module) -> Any:
        return torch.optim.LBFGS(module.parameters(), lr=0.5, max_iter=4, history_size=3)

    torch.manual_seed(SEED)
    model = network()
    optimizer = lbfgs(model)
    for _ in range(2):
        for inputs, targets in loader():

            def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(inputs), targets)
                loss.backward()
                return loss

            optimizer.step(closure)
    expected = {f"network.{name}": value for name, value in weights(model).items()}
    assert_same(fitted(quiet, lbfgs, audience=audience), expected)


def test_manual_optimization_ends_with_the_same_weights(quiet: Callable[..., L.Trainer]) -> None:
    class Manual(Bare):
        def __init__(self, *values: Any) -> None:
            super().__init__(*values)
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    assert_same(fitted(quiet, kind=Manual, shuffle=True, dropout=0.5), plain_loop(shuffle=True, dropout=0.5))


def test_a_step_by_hand_in_optimizer_step_is_the_same_step(quiet: Callable[..., L.Trainer]) -> None:
    class Stepping(Bare):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            optimizer_closure()
            optimizer.step()

    assert_same(fitted(quiet, kind=Stepping), plain_loop())
