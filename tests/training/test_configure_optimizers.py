"""Every form that ``configure_optimizers`` may return is read as it is meant, and every other one is refused or warned of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    ExponentialLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torchbus.utilities import LightningOptimizer, LRSchedulerConfig

from .toys import Bare, Logging, loader, sgd

Quiet = Callable[..., L.Trainer]


class Manual(Bare):
    def __init__(self, optimize: Any) -> None:
        super().__init__(optimize)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None


def configs_of(trainer: L.Trainer) -> list[dict[str, Any]]:
    """What differs from the defaults in each scheduler's configuration."""
    plain = vars(LRSchedulerConfig(None))
    return [
        {key: value for key, value in vars(one).items() if key != "scheduler" and value != plain[key]}
        for one in trainer.lr_scheduler_configs
    ]


# ---- forms -------------------------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "an optimizer": (sgd, []),
    "a list": (lambda m: [sgd(m)], []),
    "a tuple": (lambda m: (sgd(m),), []),
    "two lists": (lambda m: ([o := sgd(m)], [StepLR(o, 1)]), [{}]),
    "a list and no scheduler": (lambda m: ([sgd(m)], []), []),
    "a list and a scheduler": (lambda m: ([o := sgd(m)], StepLR(o, 1)), [{}]),
    "a list and a configuration": (
        lambda m: ([o := sgd(m)], {"scheduler": StepLR(o, 1), "interval": "step"}),
        [{"interval": "step"}],
    ),
    "several schedulers": (
        lambda m: ([o := sgd(m)], [{"scheduler": StepLR(o, 1), "name": "one", "frequency": 2}, ExponentialLR(o, 0.9)]),
        [{"name": "one", "frequency": 2}, {}],
    ),
    "a dictionary": (lambda m: {"optimizer": sgd(m)}, []),
    "a dictionary with a scheduler": (lambda m: {"optimizer": (o := sgd(m)), "lr_scheduler": StepLR(o, 1)}, [{}]),
    "a monitor that nobody needs": (
        lambda m: {"optimizer": (o := sgd(m)), "lr_scheduler": StepLR(o, 1), "monitor": "train_loss"},
        [{}],
    ),
    "a plateau and its monitor": (
        lambda m: {"optimizer": (o := sgd(m)), "lr_scheduler": ReduceLROnPlateau(o), "monitor": "train_loss"},
        [{"reduce_on_plateau": True, "monitor": "train_loss"}],
    ),
    "a plateau's configuration": (
        lambda m: {
            "optimizer": (o := sgd(m)),
            "lr_scheduler": {"scheduler": ReduceLROnPlateau(o), "monitor": "train_loss", "strict": False},
        },
        [{"reduce_on_plateau": True, "monitor": "train_loss", "strict": False}],
    ),
    "a list of dictionaries": (lambda m: [{"optimizer": (o := sgd(m)), "lr_scheduler": StepLR(o, 1)}], [{}]),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_and_trains(quiet: Quiet, form: str) -> None:
    optimize, expected = FORMS[form]
    trainer, module = quiet(), Logging(optimize)
    trainer.fit(module, loader(4))
    assert [type(one) for one in trainer.optimizers] == [torch.optim.SGD]
    assert configs_of(trainer) == expected
    assert trainer.global_step == 2


def test_without_an_optimizer_a_fit_runs_and_says_so(quiet: Quiet) -> None:
    trainer, module = quiet(), Bare(lambda module: None)
    before = module.network[0].weight.clone()
    with pytest.warns(UserWarning, match="run with no optimizer"):
        trainer.fit(module, loader(4))
    assert torch.equal(module.network[0].weight, before)
    assert trainer.global_step == 2


def test_for_manual_optimization_there_may_be_several_or_none(quiet: Quiet) -> None:
    def two(module: Any) -> Any:
        one, other = sgd(module), Adam(module.parameters())
        return {"optimizer": one, "lr_scheduler": StepLR(one, 1)}, {"optimizer": other}

    for optimize, count, schedulers in ((two, 2, 1), (lambda module: [], 0, 0), (lambda m: [sgd(m), sgd(m)], 2, 0)):
        trainer = quiet()
        trainer.fit(Manual(optimize), loader(4))
        assert (len(trainer.optimizers), len(trainer.lr_scheduler_configs)) == (count, schedulers)


def test_what_has_all_of_an_optimizer_is_one(quiet: Quiet) -> None:
    class Own:
        """Plain gradient descent, not derived from torch's class."""

        def __init__(self, parameters: Any) -> None:
            self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": 0.05}]
            self.defaults: dict[str, Any] = {}
            self.state: dict[str, Any] = {}

        def step(self, closure: Any = None) -> Any:
            loss = closure() if closure else None
            with torch.no_grad():
                for one in self.param_groups[0]["params"]:
                    one.sub_(one.grad, alpha=0.05)
            return loss

        def zero_grad(self, set_to_none: bool = True) -> None:
            for one in self.param_groups[0]["params"]:
                one.grad = None

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            assert not state

    own, plain = Bare(lambda m: Own(m.parameters())), Bare(lambda m: torch.optim.SGD(m.parameters(), lr=0.05))
    quiet().fit(own, loader())
    quiet().fit(plain, loader())
    torch.testing.assert_close(own.network[0].weight, plain.network[0].weight)


def test_an_optimizer_that_is_already_wrapped_stays_the_same_object(quiet: Quiet) -> None:
    wrapped: list[Any] = []

    def optimize(module: Any) -> Any:
        wrapped.append(LightningOptimizer(sgd(module)))
        return wrapped[0]

    trainer, module = quiet(), Bare(optimize)
    trainer.fit(module, loader(4))
    assert module.optimizers() is wrapped[0]
    assert trainer.optimizers == [wrapped[0].optimizer]


def test_a_configuration_that_was_returned_is_not_changed(quiet: Quiet) -> None:
    given: dict[str, Any] = {}

    def optimize(module: Any) -> Any:
        optimizer = sgd(module)
        given.update(scheduler=StepLR(optimizer, 1), interval="step")
        return {"optimizer": optimizer, "lr_scheduler": given}

    quiet().fit(Bare(optimize), loader(4))
    assert set(given) == {"scheduler", "interval"}


def test_it_may_be_put_on_the_instance(quiet: Quiet) -> None:
    module = Bare()
    optimizer = Adam(module.parameters())
    module.configure_optimizers = lambda: optimizer
    trainer = quiet()
    trainer.fit(module, loader(4))
    assert trainer.optimizers == [optimizer]


def test_evaluation_asks_for_no_optimizers(quiet: Quiet) -> None:
    class Evaluating(Bare):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert self.trainer.optimizers == []

    trainer = quiet()
    trainer.validate(Evaluating(), loader(4), verbose=False)
    assert (trainer.optimizers, trainer.lr_scheduler_configs) == ([], [])


# ---- refusals ------------------------------------------------------------------------------------------------------------

Both = Callable[[Any], Any]


def with_scheduler(make: Callable[[Optimizer], Any]) -> Both:
    def optimize(module: Any) -> Any:
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": make(optimizer)}

    return optimize


class Stateless:
    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        raise AssertionError("never asked to")


class Own(Stateless):
    """A scheduler that is not derived from torch's."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self.steps: list[Any] = []

    def step(self, *values: Any) -> None:
        self.steps.append(values)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": len(self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = [()] * state["steps"]


@pytest.mark.parametrize(
    ("optimize", "kind", "words"),
    [
        (lambda m: 1, L.MisconfigurationException, "Unknown configuration for model optimizers.* returned 1;"),
        (lambda m: (sgd(m), "no scheduler"), L.MisconfigurationException, "Unknown configuration"),
        (lambda m: [{"optimizer": sgd(m)}, sgd(m)], L.MisconfigurationException, "Unknown configuration"),
        (lambda m: [], L.MisconfigurationException, "empty list.* return an optimizer, or None"),
        (lambda m: ([], []), L.MisconfigurationException, "empty list"),
        (lambda m: {"lr_scheduler": 1}, KeyError, "without 'optimizer'"),
        (lambda m: (sgd(m), sgd(m)), RuntimeError, "2 optimizers.*only supported with manual optimization"),
        (lambda m: ([sgd(m)], [StepLR(sgd(m), 1)]), L.MisconfigurationException, "StepLR.* wasn't returned"),
        (with_scheduler(ReduceLROnPlateau), L.MisconfigurationException, "must include a monitor .*ReduceLROnPlateau"),
        (
            with_scheduler(lambda o: {"scheduler": Own(o), "reduce_on_plateau": True}),
            L.MisconfigurationException,
            "must include a monitor",
        ),
        (with_scheduler(lambda o: {"interval": "step"}), L.MisconfigurationException, 'must have the key "scheduler"'),
        (
            with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "interval": "batch"}),
            L.MisconfigurationException,
            "'batch'.* 'epoch' or 'step'",
        ),
        (with_scheduler(lambda o: "step"), AttributeError, "'step' is no learning rate scheduler"),
        (with_scheduler(Stateless), TypeError, "`Stateless` is invalid.* `state_dict`"),
        (with_scheduler(Own), L.MisconfigurationException, "`Own` doesn't follow PyTorch's.*`def lr_scheduler_step"),
    ],
)
def test_what_cannot_work_is_refused_before_training(quiet: Quiet, optimize: Both, kind: Any, words: str) -> None:
    class Untrained(Bare):
        def on_fit_start(self) -> None:
            raise AssertionError("too late")

    with pytest.raises(kind, match=words):
        quiet().fit(Untrained(optimize), loader(4))


@pytest.mark.parametrize(
    ("optimize", "words"),
    [
        (
            lambda m: {"optimizer": sgd(m), "lr_schedular": 1},
            "optimizer configuration: {'lr_schedular'}.*`lr_scheduler`",
        ),
        (with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "freqency": 2}), "lr scheduler dict: {'freqency'}"),
        (with_scheduler(lambda o: OneCycleLR(o, 0.1, total_steps=9)), "OneCycleLR.*didn't mean 'interval': 'step'"),
    ],
)
def test_what_is_probably_a_mistake_is_warned_of(quiet: Quiet, optimize: Both, words: str) -> None:
    with pytest.warns(RuntimeWarning, match=words):
        quiet().fit(Bare(optimize), loader(4))


def test_in_manual_optimization_what_only_the_trainer_needs_is_ignored_and_told(quiet: Quiet) -> None:
    configuration = {"monitor": "loss", "strict": False, "interval": "step", "name": "mine"}
    module = Manual(with_scheduler(lambda o: {"scheduler": ReduceLROnPlateau(o), **configuration}))
    trainer = quiet()
    with pytest.warns(RuntimeWarning, match=r"\['monitor', 'strict'\], but the keys will be ignored"):
        trainer.fit(module, loader(4))
    assert configs_of(trainer) == [{"interval": "step", "name": "mine"}]


@pytest.mark.parametrize("default", [{}, {"optimizer_idx": None}])
def test_a_step_of_the_first_lightning_is_told_what_has_changed(quiet: Quiet, default: dict[str, Any]) -> None:
    class Old(Bare):
        if default:

            def training_step(self, batch: Any, batch_idx: int, optimizer_idx: Any = None) -> Any:
                raise AssertionError("never called")

        else:

            def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:
                raise AssertionError("never called")

    with pytest.raises(RuntimeError, match="Remove the `optimizer_idx` argument from `training_step`"):
        quiet().fit(Old(), loader(4))


# ---- schedulers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["class", "instance", "plugin"])
def test_a_scheduler_of_ones_own_is_stepped_as_lr_scheduler_step_says(quiet: Quiet, place: str) -> None:
    def lr_scheduler_step(scheduler: Any, metric: Any) -> Any:
        scheduler.step("mine", metric)
        return True

    class Plugin:
        @L.hookimpl
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> Any:
            return lr_scheduler_step(scheduler, metric)

    class Stepping(Bare):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            lr_scheduler_step(scheduler, metric)

    module = (Stepping if place == "class" else Bare)(with_scheduler(Own))
    if place == "instance":
        module.lr_scheduler_step = lr_scheduler_step
    trainer = quiet(max_epochs=2, plugins=[Plugin()] if place == "plugin" else None)
    trainer.fit(module, loader(4))
    [config] = trainer.lr_scheduler_configs
    assert config.scheduler.steps == [("mine", None)] * 2


def test_a_plateau_scheduler_may_be_stepped_like_any_other(quiet: Quiet) -> None:
    metrics: list[Any] = []

    class Stepping(Logging):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            metrics.append(metric)
            scheduler.step(1.0)

    configuration = {"reduce_on_plateau": False, "interval": "step"}
    module = Stepping(with_scheduler(lambda o: {"scheduler": ReduceLROnPlateau(o), **configuration}))
    quiet().fit(module, loader(4))
    assert metrics == [None, None]


def test_a_scheduler_of_ones_own_may_follow_a_metric(quiet: Quiet) -> None:
    class Following(LRScheduler):
        def __init__(self, optimizer: Optimizer) -> None:
            self.seen: list[Any] = []
            super().__init__(optimizer)

        def get_lr(self) -> list[float | Tensor]:
            return [group["lr"] for group in self.optimizer.param_groups]

        def step(self, metric: Any = None) -> None:  # type: ignore[override]
            self.seen.append(metric)

    configuration = {"reduce_on_plateau": True, "monitor": "train_loss_epoch"}
    module = Logging(with_scheduler(lambda o: {"scheduler": Following(o), **configuration}))
    trainer = quiet(max_epochs=2)
    trainer.fit(module, loader(4))
    first, *rest = trainer.lr_scheduler_configs[0].scheduler.seen
    assert first is None  # torch's constructor steps once
    assert [type(one) for one in rest] == [Tensor, Tensor]


def test_a_batch_that_ends_the_epoch_steps_schedulers_as_a_last_batch_does(quiet: Quiet) -> None:
    class Ending(Bare):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    module = Ending(with_scheduler(lambda o: {"scheduler": StepLR(o, 1, 0.5), "interval": "step"}))
    trainer = quiet(accumulate_grad_batches=2)
    trainer.fit(module, loader(12))
    assert (trainer.global_step, module.lr_schedulers().last_epoch) == (1, 2)


@pytest.mark.parametrize("strict", [True, False])
def test_a_metric_that_was_never_logged_is_an_error_or_a_warning(quiet: Quiet, strict: bool) -> None:
    configuration = {"monitor": "absent", "strict": strict}
    module = Logging(with_scheduler(lambda o: {"scheduler": ReduceLROnPlateau(o), **configuration}))
    words = "ReduceLROnPlateau conditioned on metric `absent`, which is not available"
    if strict:
        with pytest.raises(L.MisconfigurationException, match=rf"{words}\. Available metrics are: .*train_loss"):
            quiet().fit(module, loader(4))
    else:
        with pytest.warns(RuntimeWarning, match=f"{words} but strict is False"):
            quiet().fit(module, loader(4))


COMPOSED: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "sequential": lambda o: SequentialLR(o, [ConstantLR(o, 0.1, 2), ExponentialLR(o, 0.9)], milestones=[2]),
    "chained": lambda o: ChainedScheduler([ConstantLR(o, 0.1, 2), ExponentialLR(o, 0.9)], o),
    "one cycle": lambda o: OneCycleLR(o, 0.1, total_steps=6),
}


@pytest.mark.parametrize("kind", COMPOSED)
def test_composed_schedulers_give_each_step_the_rate_of_a_plain_loop(quiet: Quiet, kind: str) -> None:
    rates: list[float] = []

    class Watching(Bare):
        def on_train_batch_end(self, *values: Any) -> None:
            rates.append(self.optimizers().param_groups[0]["lr"])

    quiet().fit(Watching(with_scheduler(lambda o: {"scheduler": COMPOSED[kind](o), "interval": "step"})), loader(10))
    optimizer = sgd(Bare())
    scheduler, expected = COMPOSED[kind](optimizer), []
    for _ in range(5):
        optimizer.step()
        scheduler.step()
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates == expected
