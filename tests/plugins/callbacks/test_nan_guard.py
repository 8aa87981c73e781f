"""NaN and infinity on their way to the weights: the error, the skipped step, the stop, and what each leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus.callbacks import NanFoundError, NanGuard
from torchbus.testing import CallbackContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_training._finite_watch import FiniteWatch, Place, largest

from .small_fits import Line, loader, trainer, weights

NAN, INF = float("nan"), float("inf")


def momentum(module: Any) -> Any:
    return torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)


class Poisoned(Line):
    """Its loss is multiplied by these factors, by the number of the batch over all epochs; others by 1."""

    def __init__(self, factors: dict[int, float], optimize: Any = momentum) -> None:
        super().__init__(optimize)
        self.factors = factors
        self.batches = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        factor = self.factors.get(self.batches, 1.0)
        self.batches += 1
        return self.loss(batch) * factor


class WithoutBatches(Line):
    """The same training without some batches: what skipping their steps has to come to."""

    def __init__(self, *absent: int) -> None:
        super().__init__(momentum)
        self.absent = absent

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.is_absent = batch_idx in self.absent

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        if self.is_absent:
            optimizer_closure()  # gradients, and no step
        else:
            optimizer.step(closure=optimizer_closure)


def states(run: Any) -> Any:
    return [one["momentum_buffer"].tolist() for one in run.optimizers[0].state_dict()["state"].values()]


# ---- noticing, without the trainer --------------------------------------------------------------------------------------


class TestContract(CallbackContract):
    plugin = NanGuard
    settings = {"action": "skip", "gradients": True}


class TestContractOfStopping(CallbackContract):
    plugin = NanGuard
    settings = {"action": "stop"}


def test_the_watch_remembers_the_first_place_of_each_kind_until_it_is_looked_at() -> None:
    watch = FiniteWatch()
    for step, value in enumerate([1.0, INF, NAN]):
        watch.show("loss", torch.tensor(value), Place(step, 0, step))
        watch.show("gradients", torch.tensor([1.0, 2.0]), Place(step, 0, step))
    assert watch.look() == {"loss": Place(1, 0, 1)}
    assert watch.look() == {}


def test_the_largest_gradient_is_finite_exactly_where_all_are() -> None:
    huge = torch.full((3,), 3e38)
    assert all(one.isfinite() for one in largest([huge, torch.ones(2, dtype=torch.float64), torch.empty(0)]))
    assert not torch.stack(largest([huge, torch.tensor([1.0, NAN])])).isfinite().all()
    sparse = torch.sparse_coo_tensor([[0]], [INF], (4,), check_invariants=True)
    assert not largest([sparse])[0].isfinite()
    assert largest([]) == []


# ---- raise --------------------------------------------------------------------------------------------------------------


def test_the_error_says_where_and_comes_before_the_weights_are_touched(tmp_path: Path) -> None:
    good = Poisoned({})
    trainer(tmp_path, max_steps=2, max_epochs=-1).fit(good, loader())
    module = Poisoned({2: NAN})
    run = trainer(tmp_path, plugins=["nan_guard"])
    with pytest.raises(NanFoundError, match=r"The loss is NaN or infinite in step 2 \(epoch 0, batch 2\)") as raised:
        run.fit(module, loader())
    error = raised.value
    assert (error.step, error.epoch, error.batch_idx, error.last_good_step) == (2, 0, 2, 1)
    assert error.names == ["layer.weight", "layer.bias"] and "layer.weight, layer.bias." in str(error)
    assert weights(module) == weights(good)


def test_a_gradient_may_be_bad_where_the_loss_is_not(tmp_path: Path) -> None:
    class Rooted(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) + (self.layer.bias * 0).sqrt().sum()

    run = trainer(tmp_path, NanGuard(), max_steps=1, max_epochs=-1)
    run.fit(Rooted(), loader())
    assert run.global_step == 1, "the loss was fine"
    with pytest.raises(NanFoundError, match="Gradients are NaN or infinite in step 0") as raised:
        trainer(tmp_path, NanGuard(gradients=True)).fit(Rooted(), loader())
    assert raised.value.names == ["layer.bias"] and "No step was good before." in str(raised.value)


def test_looking_rarely_still_names_the_first_bad_step(tmp_path: Path) -> None:
    with pytest.raises(NanFoundError) as raised:
        trainer(tmp_path, NanGuard(every_n_steps=3), max_epochs=2).fit(Poisoned({4: INF}), loader())
    assert (raised.value.step, raised.value.epoch, raised.value.batch_idx) == (4, 1, 0)
    assert raised.value.last_good_step == 3


def test_what_was_not_looked_at_yet_is_looked_at_in_the_end(tmp_path: Path) -> None:
    guard = NanGuard(every_n_steps=100)
    with pytest.raises(NanFoundError, match="step 3"):
        trainer(tmp_path, guard).fit(Poisoned({3: NAN}), loader())
    trainer(tmp_path, guard).fit(Poisoned({}), loader())
    assert guard.last_good_step == 3


def test_manual_steps_are_guarded_too_but_cannot_be_skipped(tmp_path: Path) -> None:
    class Manual(Poisoned):
        def __init__(self, factors: dict[int, float]) -> None:
            super().__init__(factors)
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            loss = super().training_step(batch, batch_idx)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    with pytest.raises(NanFoundError, match="step 1"):
        trainer(tmp_path, NanGuard()).fit(Manual({1: NAN}), loader())
    with pytest.raises(MisconfigurationException, match="manual optimization the module steps by itself"):
        trainer(tmp_path, NanGuard("skip")).fit(Manual({}), loader())


# ---- skip ---------------------------------------------------------------------------------------------------------------


def test_a_skipped_step_changes_neither_weights_nor_the_optimizers_state(tmp_path: Path) -> None:
    guard, module, other = NanGuard("skip"), Poisoned({1: NAN}), WithoutBatches(1)
    runs = [trainer(tmp_path, guard), trainer(tmp_path)]
    for run, one in zip(runs, (module, other), strict=True):
        run.fit(one, loader())
    assert weights(module) == weights(other)
    assert states(runs[0]) == states(runs[1])
    assert (guard.skipped, guard.skipped_in_a_row, guard.last_good_step) == (1, 0, 3)
    assert runs[0].global_step == runs[1].global_step == 4


def test_a_bad_first_step_leaves_the_optimizer_without_a_state(tmp_path: Path) -> None:
    module = Poisoned({0: INF}, lambda one: torch.optim.AdamW(one.parameters(), lr=0.1))
    before = weights(module)
    run = trainer(tmp_path, NanGuard("skip"), max_steps=1, max_epochs=-1)
    run.fit(module, loader())
    assert weights(module) == before and not run.optimizers[0].state


def test_one_bad_batch_costs_its_whole_accumulation_window_and_no_more(tmp_path: Path) -> None:
    module, guard = Poisoned({0: NAN}), NanGuard("skip")
    trainer(tmp_path, guard, accumulate_grad_batches=2).fit(module, loader())
    assert guard.skipped == 1
    assert all(one == one for one in weights(module))
    with pytest.raises(NanFoundError, match="step 1 .epoch 0, batch 2"):
        trainer(tmp_path, NanGuard(), accumulate_grad_batches=2).fit(Poisoned({2: NAN}), loader())


def test_a_module_with_an_optimizer_step_of_its_own_is_guarded_as_well(tmp_path: Path) -> None:
    class Warming(Poisoned):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            optimizer.param_groups[0]["lr"] = 0.1
            optimizer.step(closure=optimizer_closure)

    module, same = Warming({1: NAN}), Poisoned({1: NAN})
    for one in (module, same):
        trainer(tmp_path, NanGuard("skip")).fit(one, loader())
    assert weights(module) == weights(same)


def test_too_many_skips_in_a_row_are_an_error(tmp_path: Path) -> None:
    guard = NanGuard("skip", max_skips=2)
    with pytest.raises(NanFoundError, match="Steps in a row that are bad: 3; `max_skips` is 2") as raised:
        trainer(tmp_path, guard, max_epochs=2).fit(Poisoned({1: NAN, 3: NAN, 4: NAN, 5: NAN}), loader())
    assert raised.value.step == 5 and raised.value.last_good_step == 2 and guard.skipped == 4


def test_with_a_gradient_scaler_steps_are_skipped_and_later_ones_taken(tmp_path: Path) -> None:
    guard, module = NanGuard("skip"), Poisoned({1: NAN})
    run = trainer(tmp_path, guard, precision="16-mixed")
    run.fit(module, loader())
    assert guard.skipped == 1 and guard.last_good_step == 3
    assert all(one == one for one in weights(module)) and weights(module) != weights(Poisoned({}))


def test_gradients_that_overflow_by_the_scale_are_left_to_the_scaler(tmp_path: Path) -> None:
    guard = NanGuard("raise", gradients=True)
    run = trainer(tmp_path, guard, precision="16-mixed")
    run.scaler._init_scale = 2.0**100  # gradients overflow with it, and the loss does not
    run.fit(Poisoned({}), loader())
    assert run.scaler.get_scale() < 2.0**100 and guard.last_good_step == 3


def test_counts_survive_a_resume(tmp_path: Path) -> None:
    run = trainer(tmp_path, NanGuard("skip"))
    run.fit(Poisoned({3: NAN}), loader())
    run.save_checkpoint(tmp_path / "one.ckpt")
    guard = NanGuard("skip")
    trainer(tmp_path, guard, max_epochs=2).fit(Poisoned({0: NAN}), loader(), ckpt_path=tmp_path / "one.ckpt")
    assert guard.skipped == 2 and guard.skipped_in_a_row == 0


def test_nobody_is_told_of_a_failure_when_a_step_is_skipped(tmp_path: Path) -> None:
    from torchbus_hookspecs.events import PluginFailed

    failures = []
    run = trainer(tmp_path, NanGuard("skip"))
    run.on(PluginFailed)(failures.append)
    run.fit(Poisoned({1: NAN}), loader())
    assert not failures


# ---- stop ---------------------------------------------------------------------------------------------------------------


def test_stopping_saves_the_state_before_the_bad_step(tmp_path: Path) -> None:
    module = Poisoned({2: NAN})
    run = trainer(tmp_path, NanGuard("stop"), max_epochs=3)
    run.fit(module, loader())
    assert run.should_stop and run.global_step == 3
    saved = torch.load(tmp_path / "nan_guard.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert saved["state_dict"]["layer.weight"].tolist() == module.layer.weight.tolist()
    assert saved["state_dict"]["layer.weight"].isfinite().all()
    resumed, through = Poisoned({}), WithoutBatches(2)
    trainer(tmp_path, NanGuard()).fit(resumed, loader(), ckpt_path=tmp_path / "nan_guard.ckpt")
    trainer(tmp_path).fit(through, loader())
    assert weights(resumed) == weights(through), "it goes on after the bad batch"


# ---- settings -----------------------------------------------------------------------------------------------------------


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="every_n_steps"):
        NanGuard("skip", every_n_steps=2)
    with pytest.raises(MisconfigurationException, match="action"):
        NanGuard("ignore")  # type: ignore[arg-type]
    lbfgs = Line(lambda one: torch.optim.LBFGS(one.parameters()))
    with pytest.raises(MisconfigurationException, match="LBFGS"):
        trainer(tmp_path, NanGuard("stop")).fit(lbfgs, loader())
    assert all(setting.description for setting in describe_settings(NanGuard))
    assert issubclass(L.callbacks.NanFoundError, ValueError)


def test_stop_saves_into_the_folder_asked_for(tmp_path: Path) -> None:
    run = trainer(tmp_path, NanGuard("stop", dirpath=tmp_path / "rescued"), max_epochs=3)
    run.fit(Poisoned({1: NAN}), loader())
    assert len(list((tmp_path / "rescued").glob("*.ckpt"))) == 1
    assert not list(tmp_path.glob("*.ckpt"))
