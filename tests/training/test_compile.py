"""What ``torch.compile`` makes of a module or of its network is trained as they are, with the same result."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchbus as L
from torch import nn
from torchbus.utilities import from_compiled, to_uncompiled

from .toys import Bare, Regression, assert_same, loader, network, weights

Quiet = Callable[..., L.Trainer]
# torch's own, where logging ends a compiled region; it is silent unless warnings are errors
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


class Backend:
    """Compiles nothing, and counts what it was given to compile."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "options", [{}, {"precision": "64-true"}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}]
)
def test_a_compiled_module_trains_to_the_same_weights_and_metrics(quiet: Quiet, options: dict[str, Any]) -> None:
    backend, plain, inner = Backend(), Regression(), Regression()
    trainers = quiet(**options), quiet(**options)
    trainers[0].fit(torch.compile(inner, backend=backend), loader(8), loader(4))
    trainers[1].fit(plain, loader(8), loader(4))
    assert backend.graphs >= 2  # training and validation
    assert trainers[0].lightning_module is trainers[0].model is inner
    assert_same(weights(inner), weights(plain))
    assert_same(trainers[0].callback_metrics, trainers[1].callback_metrics)


def test_the_other_entry_points_run_compiled_too(quiet: Quiet) -> None:
    backend, module = Backend(), Regression()
    compiled: Any = torch.compile(module, backend=backend)
    trainer, seen = quiet(), [0]
    for run in (lambda: trainer.validate(compiled, loader(4)), lambda: trainer.test(compiled, loader(4))):
        run()
        seen.append(backend.graphs)
    assert seen == sorted(set(seen))
    inputs = torch.utils.data.DataLoader(torch.ones(4, 4), batch_size=2)
    assert len(trainer.predict(compiled, inputs) or []) == 2
    assert backend.graphs > seen[-1]


def test_manual_optimization_goes_on_inside_a_compiled_step(quiet: Quiet) -> None:
    class Manual(Bare):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            loss = self.loss(batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log("loss", loss)

    compiled, plain, trainer = Manual(), Bare(), quiet()
    trainer.fit(torch.compile(compiled, backend="eager"), loader(8))
    quiet().fit(plain, loader(8))
    assert_same(weights(compiled), weights(plain))
    assert (trainer.global_step, set(trainer.callback_metrics)) == (4, {"loss"})


def test_a_compiled_module_is_compiled_once_and_can_be_uncompiled(quiet: Quiet) -> None:
    backend, module = Backend(), Bare()
    compiled: Any = torch.compile(module, backend=backend)
    step = module.training_step
    for _ in range(2):
        assert from_compiled(compiled) is module
    assert module.training_step != step
    assert to_uncompiled(compiled) is module
    assert module.training_step == step
    assert "log" not in vars(module)
    quiet().fit(module, loader(4))
    assert backend.graphs == 0


def test_methods_of_the_instance_are_given_back(quiet: Quiet) -> None:
    module = Bare()
    module.training_step = own = lambda batch, batch_idx: module.loss(batch)
    from_compiled(torch.compile(module, backend="eager"))
    assert module.training_step is not own
    assert to_uncompiled(module).training_step is own


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_of_a_compiled_module_are_not_compiled_and_train_by_themselves(quiet: Quiet, duplicate: Any) -> None:
    module = Regression()
    quiet().fit(torch.compile(module, backend="eager"), loader(4), loader(4))
    kept, before = duplicate(module), weights(module)
    quiet().fit(kept, loader(4), loader(4))
    assert_same(weights(module), before)
    assert not torch.equal(kept.network[0].weight, module.network[0].weight)


def test_what_is_not_compiled_is_told(quiet: Quiet) -> None:
    with pytest.raises(ValueError, match="required to be a compiled LightningModule"):
        to_uncompiled(Bare())
    with pytest.raises(ValueError, match="torch.compile.* not Bare"):
        from_compiled(Bare())
    for wrong in (from_compiled, to_uncompiled):
        with pytest.raises(ValueError, match="Linear"):
            wrong(torch.compile(nn.Linear(1, 1), backend="eager"))
    with pytest.raises(TypeError, match="must be a `LightningModule`"):
        quiet().fit(torch.compile(nn.Linear(1, 1), backend="eager"), loader())


class Inside(Regression):
    """Compiles its network late, where layers belong that are made on the device."""

    def configure_model(self) -> None:
        if not hasattr(self.network, "_orig_mod"):
            self.network = torch.compile(network(), backend="aot_eager")


class Decorated(Regression):
    @torch.compile(backend="eager")
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx)


def in_place(module: L.LightningModule) -> L.LightningModule:
    module.compile(backend="eager")
    return module


@pytest.mark.parametrize(
    "make", [Inside, Decorated, lambda: in_place(Regression())], ids=["network", "step", "in place"]
)
def test_parts_of_a_module_may_be_compiled(quiet: Quiet, make: Callable[[], L.LightningModule]) -> None:
    compiled, plain, trainer = make(), Regression(), quiet()
    trainer.fit(compiled, loader(8), loader(4))
    quiet().fit(plain, loader(8), loader(4))
    for one, other in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert {"train_loss_step", "train_loss_epoch", "val_loss"} <= set(trainer.callback_metrics)
