"""Norms of gradients: their values and names, the steps that are looked at, and the alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchbus.callbacks import GradientAlarm, GradientMonitor
from torchbus.testing import CallbackContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_monitoring._gradient_norms import GradientNorms

from .small_fits import Line, Remembering, loader, sgd, trainer


class Keeping(Line):
    """Keeps the gradients of each step, as the optimizer is about to use them, before clipping."""

    def __init__(self, optimize: Any = sgd) -> None:
        super().__init__(optimize)
        self.gradients: list[list[torch.Tensor]] = []

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.gradients.append([one.grad.clone() for one in self.parameters()])


class Broken(Line):
    """Its bias has no finite gradient."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) + (self.layer.bias * 0).sqrt().sum()


class TestContract(CallbackContract):
    plugin = GradientMonitor
    settings = {"norm_type": 1.0, "every_n_steps": 2}


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_norms_are_those_that_torch_computes(norm_type: float) -> None:
    grads = {"a": torch.tensor([[3.0, 4.0]]), "b": torch.tensor(-12.0), "c": torch.ones(2, dtype=torch.float64)}
    found = GradientNorms(grads, norm_type).read({"all": grads, "two": ["a", "b"], "none": []})
    each = {name: torch.linalg.vector_norm(one, norm_type).item() for name, one in grads.items()}
    two = torch.linalg.vector_norm(torch.cat([grads["a"].flatten(), grads["b"].reshape(1)]), norm_type).item()
    assert found == pytest.approx({**each, "all": found["all"], "two": two, "none": 0.0})
    assert found["all"] == pytest.approx(torch.tensor(list(each.values())).norm(norm_type).item())


def test_gradients_of_16_bits_do_not_overflow_and_sparse_ones_are_read() -> None:
    half = torch.full((4,), 60000.0, dtype=torch.float16)
    sparse = torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (4,), check_invariants=True)
    assert GradientNorms({"half": half, "sparse": sparse}, 2.0).read({}) == {"half": 120000.0, "sparse": 3.0}
    assert GradientNorms({}, 2.0).read({"total": []}) == {}


def test_norms_are_logged_and_are_metrics_before_clipping(tmp_path: Path) -> None:
    module, logger, monitor = Keeping(), Remembering(), GradientMonitor()
    run = trainer(tmp_path, monitor, logger=logger, log_every_n_steps=2, gradient_clip_val=0.001)
    run.fit(module, loader())
    norms = [[one.norm().item() for one in step] for step in module.gradients]
    expected = [
        ({"grad_norm/layer.weight": w, "grad_norm/layer.bias": b, "grad_norm/total": (w * w + b * b) ** 0.5}, step)
        for step, (w, b) in enumerate(norms)
        if step in (1, 3)
    ]
    assert [step for _, step in logger.records] == [1, 3]
    for (found, _), (wanted, _) in zip(logger.records, expected, strict=True):
        assert found == pytest.approx(wanted)
    assert monitor.norms == pytest.approx(expected[-1][0])
    assert run.callback_metrics["grad_norm/total"].item() == pytest.approx(expected[-1][0]["grad_norm/total"])


def test_a_window_of_accumulated_gradients_is_measured_once(tmp_path: Path) -> None:
    module, logger = Keeping(), Remembering()
    trainer(tmp_path, GradientMonitor(per_parameter=False), logger=logger, accumulate_grad_batches=2).fit(
        module, loader()
    )
    totals = [torch.cat([one.flatten() for one in step]).norm().item() for step in module.gradients]
    assert [step for _, step in logger.records] == [0, 1]
    assert [record["grad_norm/total"] for record, _ in logger.records] == pytest.approx(totals)


def test_steps_that_are_not_reported_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    real = GradientNorms.__init__
    run = trainer(tmp_path, GradientMonitor(every_n_steps=3), max_epochs=2, log_every_n_steps=1)
    monkeypatch.setattr(GradientNorms, "__init__", lambda *given: looked.append(run.global_step) or real(*given))
    run.fit(Line(), loader())
    assert looked == [2, 5]


def test_groups_and_several_optimizers_have_names_of_their_own(tmp_path: Path) -> None:
    def grouped(module: nn.Module) -> Any:
        groups = [{"params": [module.layer.weight], "name": "weights"}, {"params": [module.layer.bias]}]
        return torch.optim.SGD(groups, lr=0.1)

    monitor = GradientMonitor(per_parameter=False)
    trainer(tmp_path, monitor).fit(Line(grouped), loader())
    assert list(monitor.norms) == ["grad_norm/total", "grad_norm/weights", "grad_norm/pg2"]

    class Two(Line):
        def __init__(self) -> None:
            super().__init__(lambda one: [torch.optim.SGD([each], lr=0.1) for each in one.parameters()])
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.manual_backward(self.loss(batch))
            for one in self.optimizers():
                one.step()
                one.zero_grad()

    logger = Remembering()
    trainer(tmp_path, GradientMonitor(), logger=logger).fit(Two(), loader(2))
    assert [list(record) for record, _ in logger.records] == [
        ["grad_norm/layer.weight", "grad_norm/SGD/total"],
        ["grad_norm/layer.bias", "grad_norm/SGD-1/total"],
    ]


def test_the_alarm_names_the_parameters(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"The gradients of layer\.bias are NaN or infinite in step 0"):
        trainer(tmp_path, GradientMonitor(), max_steps=1, max_epochs=-1).fit(Broken(), loader())
    with pytest.raises(GradientAlarm, match="layer.bias") as raised:
        trainer(tmp_path, plugins={"gradient_monitor": {"non_finite": "raise"}}).fit(Broken(), loader())
    assert raised.value.names == ["layer.bias"]
    trainer(tmp_path, GradientMonitor(non_finite="ignore")).fit(Broken(), loader())


def test_a_scaler_that_seeks_its_scale_raises_no_alarm(tmp_path: Path) -> None:
    run = trainer(tmp_path, GradientMonitor(non_finite="raise"), precision="16-mixed")
    run.scaler._init_scale = 2.0**100
    run.fit(Line(), loader())
    assert run.scaler.get_scale() < 2.0**100


@pytest.mark.parametrize("wrong", [{"norm_type": 0.0}, {"every_n_steps": 0}, {"non_finite": "stop"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        GradientMonitor(**wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(GradientMonitor))
