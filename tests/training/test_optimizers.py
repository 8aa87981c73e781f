"""Optimizers as users are handed them: the steps, closures and hooks of automatic and of manual optimization."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torchbus.utilities import LightningOptimizer

from .toys import Bare, assert_same, loader, sgd, weights

Quiet = Callable[..., L.Trainer]


class Manual(Bare):
    def __init__(self, optimize: Any = sgd) -> None:
        super().__init__(optimize)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


# ---- the object ----------------------------------------------------------------------------------------------------------


def test_it_is_the_optimizer_to_whoever_asks(quiet: Quiet) -> None:
    class Asking(Bare):
        def on_train_start(self) -> None:
            optimizer, own = self.optimizers(), self.trainer.optimizers[0]
            assert isinstance(optimizer, LightningOptimizer) and isinstance(optimizer, torch.optim.SGD)
            assert optimizer.optimizer is own is self.optimizers(use_pl_optimizer=False)
            assert optimizer.param_groups is own.param_groups and optimizer.state is own.state
            assert str(optimizer) == f"Lightning{own}"
            assert optimizer.state_dict() == own.state_dict()
            assert StepLR(optimizer, 1).optimizer is optimizer

    quiet().fit(Asking(), loader(4))


def test_what_is_written_to_it_reaches_the_optimizer() -> None:
    own = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=1.0)
    optimizer = LightningOptimizer(own)
    optimizer.load_state_dict(torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=0.5).state_dict())
    assert own.param_groups[0]["lr"] == 0.5
    optimizer.param_groups = [{**own.param_groups[0], "lr": 0.25}]
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 3.0})
    assert [group["lr"] for group in own.param_groups] == [0.25, 3.0]
    optimizer.mine = 1
    del optimizer.mine
    assert not hasattr(own, "mine") and not hasattr(optimizer, "mine")


def test_without_a_trainer_it_steps_like_the_optimizer() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = LightningOptimizer(torch.optim.SGD([parameter], lr=0.5))

    def closure() -> Tensor:
        loss = parameter.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 1.0
    optimizer.step()
    assert parameter.item() == 0.0
    assert copy.copy(optimizer).param_groups[0]["params"] == [parameter]


def test_its_step_may_be_replaced_for_a_while(quiet: Quiet) -> None:
    class Counting(Manual):
        calls = 0

        def on_train_start(self) -> None:
            optimizer = self.optimizers()
            step = optimizer.step

            def counted(*values: Any, **named: Any) -> Any:
                self.calls += 1
                return step(*values, **named)

            optimizer.step = counted

    module, trainer = Counting(), quiet()
    trainer.fit(module, loader(6))
    assert (module.calls, trainer.global_step) == (3, 3)


def test_new_optimizers_may_take_the_place_of_the_configured_ones(quiet: Quiet) -> None:
    class Replacing(Bare):
        def on_train_epoch_start(self) -> None:
            self.trainer.optimizers = [torch.optim.Adam(self.parameters(), lr=0.5)]

    module, trainer = Replacing(), quiet()
    trainer.fit(module, loader(4))
    assert isinstance(module.optimizers(), torch.optim.Adam)
    assert trainer.optimizers[0].state


# ---- steps -----------------------------------------------------------------------------------------------------------------


class KeywordOnly(torch.optim.SGD):
    """Takes its closure and something else by keyword."""

    heard: list[Any] = []

    def step(self, *, closure: Any = None, factor: int = 1) -> Any:  # type: ignore[override]
        self.heard.append(factor)
        return super().step(closure)


def test_a_step_passes_on_its_closure_and_what_else_it_is_given(quiet: Quiet) -> None:
    class Closing(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()

            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = self.loss(batch)
                self.manual_backward(loss)
                return loss

            assert optimizer.step(closure=closure, factor=3) > 0
            assert optimizer.step() is None

    KeywordOnly.heard = []
    trainer = quiet()
    trainer.fit(Closing(lambda m: KeywordOnly(m.parameters(), lr=0.01)), loader(2))
    assert (KeywordOnly.heard, trainer.global_step) == ([3, 1], 2)
    quiet().fit(Bare(lambda m: KeywordOnly(m.parameters(), lr=0.01)), loader(2))
    assert KeywordOnly.heard == [3, 1, 1]


def test_a_closure_that_is_no_function_is_refused(quiet: Quiet) -> None:
    class Wrong(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().step(closure=3)

    with pytest.raises(L.MisconfigurationException, match="closure=3.*should be callable"):
        quiet().fit(Wrong(), loader(2))


class WithoutGradients(torch.optim.Optimizer):
    """Switches gradients off for all of its step, the closure included."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.05})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = closure()
        for one in self.param_groups[0]["params"]:
            one.sub_(one.grad, alpha=0.05)
        return loss


def test_a_closure_computes_gradients_wherever_it_is_called(quiet: Quiet) -> None:
    own, plain = Bare(lambda m: WithoutGradients(m.parameters())), Bare(lambda m: torch.optim.SGD(m.parameters(), 0.05))
    quiet().fit(own, loader())
    quiet().fit(plain, loader())
    torch.testing.assert_close(own.network[0].weight, plain.network[0].weight)


def test_a_step_without_its_closure_is_an_error(quiet: Quiet) -> None:
    class Forgetting(Bare):
        def optimizer_step(self, *values: Any, **named: Any) -> None:
            return None

    class Forgetful(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step()

    for module in (Forgetting(), Bare(lambda m: Forgetful(m.parameters(), lr=0.1))):
        with pytest.raises(L.MisconfigurationException, match="closure hasn't been executed"):
            quiet().fit(module, loader(2))


def test_a_step_that_replaces_the_one_of_the_class_gets_the_closure_too(quiet: Quiet) -> None:
    heard: list[bool] = []

    def optimize(module: Any) -> Any:
        optimizer = sgd(module)
        step = optimizer.step

        def replaced(closure: Any) -> Any:
            heard.append(callable(closure))
            return step(closure)

        optimizer.step = replaced
        return optimizer

    quiet().fit(Bare(optimize), loader(4))
    assert heard == [True, True]


def test_an_override_of_optimizer_step_gets_the_loss_without_its_graph(quiet: Quiet) -> None:
    losses: list[Tensor] = []

    class Overriding(Bare):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            losses.append(optimizer.step(closure=optimizer_closure))

    overriding, plain = Overriding(), Bare()
    quiet().fit(overriding, loader())
    quiet().fit(plain, loader())
    assert_same(weights(overriding), weights(plain))
    assert not any(one.requires_grad for one in losses)


def test_accumulation_may_begin_within_an_epoch(quiet: Quiet) -> None:
    class Beginning(Bare):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if batch_idx == 2:
                self.trainer.accumulate_grad_batches = 2

    trainer = quiet()
    trainer.fit(Beginning(), loader(12))
    assert trainer.global_step == 4  # each of the first two batches, then two pairs


def test_every_second_step_may_be_left_out(quiet: Quiet) -> None:
    class Sparing(Bare):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            if batch_idx % 2:
                optimizer.step(closure=optimizer_closure)
            else:
                optimizer_closure()

    module, trainer = Sparing(), quiet()
    trainer.fit(module, loader(8))
    assert trainer.global_step == 4
    reference = Bare()
    optimizer = sgd(reference)
    for index, batch in enumerate(loader(8)):
        optimizer.zero_grad()
        reference.loss(batch).backward()
        if index % 2:
            optimizer.step()
    assert_same(weights(module), weights(reference))


def test_a_forgotten_return_is_told_once(quiet: Quiet) -> None:
    class Forgetting(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.loss(batch)

    with pytest.warns(UserWarning, match="training_step returned None") as told:
        quiet().fit(Forgetting(), loader(4))
    assert len([one for one in told if "returned None" in str(one.message)]) == 1


# ---- clipping --------------------------------------------------------------------------------------------------------------


def clipped(quiet: Quiet, *values: Any, **options: Any) -> Tensor:
    """The gradients that are left after ``clip_gradients(optimizer, *values)`` in the clipping hook."""
    found: list[Tensor] = []

    class Clipping(Bare):
        def configure_gradient_clipping(self, optimizer: Any, **limits: Any) -> None:
            assert limits == {
                "gradient_clip_val": options.get("gradient_clip_val"),
                "gradient_clip_algorithm": options.get("gradient_clip_algorithm"),
            }
            self.clip_gradients(optimizer, *values)

        def on_train_batch_end(self, *values: Any) -> None:
            found.append(torch.cat([one.grad.flatten() for one in self.parameters() if one.grad is not None]))

    quiet(**options).fit(Clipping(), loader(2))
    return found[0]


@pytest.mark.parametrize("algorithm", [None, "norm", "NORM"])
def test_gradients_are_clipped_by_norm(quiet: Quiet, algorithm: Any) -> None:
    assert clipped(quiet, 0.01, algorithm).norm().item() == pytest.approx(0.01, rel=1e-3)
    assert clipped(quiet, gradient_clip_val=0.01).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("algorithm", ["value", "VALUE"])
def test_gradients_are_clipped_by_value(quiet: Quiet, algorithm: str) -> None:
    assert clipped(quiet, 0.01, algorithm).abs().max().item() == pytest.approx(0.01)


@pytest.mark.parametrize("limit", [0, 0.0, -1.0])
def test_a_limit_that_is_not_above_zero_clips_nothing(quiet: Quiet, limit: float) -> None:
    assert torch.equal(clipped(quiet, limit), clipped(quiet))


def test_a_limit_that_is_set_during_an_epoch_counts_from_then_on(quiet: Quiet) -> None:
    norms: list[float] = []

    class Setting(Bare):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.trainer.gradient_clip_val = [None, 0.01, None][batch_idx]

        def on_train_batch_end(self, *values: Any) -> None:
            norms.append(
                nn.utils.get_total_norm([one.grad for one in self.parameters() if one.grad is not None]).item()
            )

    quiet().fit(Setting(), loader(6))
    assert [one < 0.011 for one in norms] == [False, True, False]


@pytest.mark.parametrize(
    ("values", "options", "kind", "words"),
    [
        (("0.1",), {}, TypeError, "clip_gradients.*int or a float"),
        ((torch.tensor(0.1),), {}, TypeError, "Tensor"),
        ((0.1, "nrom"), {}, L.MisconfigurationException, "clip_gradients.*'nrom'.* 'norm' or 'value'"),
        ((0.1,), {"gradient_clip_val": 0.2}, L.MisconfigurationException, "contradicts.*0.2"),
        (
            (None, "value"),
            {"gradient_clip_val": 0.2, "gradient_clip_algorithm": "norm"},
            L.MisconfigurationException,
            "contradicts",
        ),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    quiet: Quiet, values: Any, options: dict[str, Any], kind: Any, words: str
) -> None:
    with pytest.raises(kind, match=words):
        clipped(quiet, *values, **options)


# ---- by hand ---------------------------------------------------------------------------------------------------------------


def test_gradients_accumulated_by_hand_train_as_accumulated_ones_do(quiet: Quiet) -> None:
    class Accumulating(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            self.manual_backward(self.loss(batch) / 3)
            if (batch_idx + 1) % 3 == 0 or self.trainer.is_last_batch:
                optimizer.step()
                optimizer.zero_grad()

    by_hand, automatic = Accumulating(), Bare()
    trainers = quiet(max_epochs=2), quiet(max_epochs=2, accumulate_grad_batches=3)
    trainers[0].fit(by_hand, loader(8))
    trainers[1].fit(automatic, loader(8))
    assert_same(weights(by_hand), weights(automatic))
    assert trainers[0].global_step == trainers[1].global_step == 4


def test_backpropagation_through_time_is_truncated_by_hand(quiet: Quiet) -> None:
    class Recurrent(Manual):
        def __init__(self) -> None:
            super().__init__(lambda module: torch.optim.SGD(module.parameters(), lr=0.05))
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.RNN(1, 3, batch_first=True), nn.Linear(3, 1))

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer, hidden = self.optimizers(), None
            for part in batch[0][..., None].split(2, dim=1):
                states, hidden = self.network[0](part, hidden)
                hidden = hidden.detach()
                optimizer.zero_grad()
                self.manual_backward(self.network[1](states).square().mean())
                optimizer.step()

    trainer, module = quiet(), Recurrent()
    before = weights(module)
    trainer.fit(module, loader(4))
    assert trainer.global_step == 4  # two batches of two parts
    assert not [name for name, value in weights(module).items() if torch.equal(value, before[name])]


def test_optimizers_are_there_from_the_first_hook_of_a_fit_on(quiet: Quiet) -> None:
    class Early(Manual):
        def on_fit_start(self) -> None:
            optimizer = self.optimizers()
            self.manual_backward(self.loss((torch.ones(1, 4), torch.ones(1, 1))))
            optimizer.step()
            optimizer.zero_grad()

    trainer = quiet()
    trainer.fit(Early(), loader(4))
    assert trainer.global_step == 3


def test_whether_optimization_is_manual_may_be_settled_in_setup(quiet: Quiet) -> None:
    class Late(Manual):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = True

        def setup(self, stage: str) -> None:
            self.automatic_optimization = False

    late, manual = Late(), Manual()
    quiet().fit(late, loader())
    quiet().fit(manual, loader())
    assert_same(weights(late), weights(manual))


def test_manual_backward_passes_its_arguments_on(quiet: Quiet) -> None:
    heard: list[Any] = []

    class Twice(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            loss = self.loss(batch)
            self.manual_backward(loss, retain_graph=True)
            self.manual_backward(loss, torch.tensor(2.0))

        def backward(self, loss: Tensor, *values: Any, **named: Any) -> None:
            heard.append((values, named))
            super().backward(loss, *values, **named)

    quiet().fit(Twice(), loader(2))
    assert heard == [((), {"retain_graph": True}), ((torch.tensor(2.0),), {})]


def test_of_what_a_manual_step_returns_only_the_loss_is_detached(quiet: Quiet) -> None:
    seen: dict[str, Any] = {}

    class Returning(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            return {"loss": loss, "twice": 2 * loss, "word": "kept"}

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.update(outputs)

    quiet().fit(Returning(), loader(2))
    assert (seen["loss"].requires_grad, seen["twice"].requires_grad, seen["word"]) == (False, True, "kept")


@pytest.mark.parametrize("returned", [5, [1], "loss"])
def test_what_a_manual_step_may_not_return_is_told(quiet: Quiet, returned: Any) -> None:
    class Returning(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return returned

    with pytest.raises(L.MisconfigurationException, match="training_step returned .* return a Tensor.* no return"):
        quiet().fit(Returning(), loader(2))


# ---- toggling --------------------------------------------------------------------------------------------------------------


class Shared(L.LightningModule):
    """Two optimizers: of ``first`` and ``both``, and of ``both`` and ``second``. A bias in ``both`` is frozen."""

    def __init__(self, use: Callable[[Shared], None]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.first, self.both, self.second = nn.Linear(4, 1), nn.Linear(4, 1), nn.Linear(4, 1)
        self.both.bias.requires_grad = False
        self.use = use

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.use(self)

    def configure_optimizers(self) -> Any:
        pairs = (self.first, self.both), (self.both, self.second)
        return [torch.optim.SGD([one for part in pair for one in part.parameters()], lr=0.1) for pair in pairs]

    @property
    def needed(self) -> str:
        """Weight and bias of each: does it need gradients?"""
        return "".join("01"[one.requires_grad] for one in self.parameters())


def test_a_toggled_optimizer_is_the_only_one_with_gradients(quiet: Quiet) -> None:
    def use(module: Shared) -> None:
        one, other = module.optimizers()
        assert module.needed == "111011"
        module.toggle_optimizer(one)
        assert module.needed == "111000"
        module.untoggle_optimizer(one)
        module.toggle_optimizer(other.optimizer)
        assert module.needed == "001011"
        module.untoggle_optimizer(other.optimizer)
        for sync_grad in (True, False):
            with one.toggle_model(sync_grad=sync_grad):
                assert module.needed == "111000"
        with module.toggled_optimizer(other):
            assert module.needed == "001011"
        with pytest.raises(ArithmeticError), other.toggle_model():
            raise ArithmeticError
        assert module.needed == "111011"

    quiet().fit(Shared(use), loader(2))


def test_what_is_frozen_while_toggled_stays_frozen(quiet: Quiet) -> None:
    def use(module: Shared) -> None:
        one, _ = module.optimizers()
        with one.toggle_model():
            module.first.bias.requires_grad = False
        assert module.needed == "101011"

    quiet().fit(Shared(use), loader(2))
