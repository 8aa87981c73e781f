"""What ``self.log`` takes, how it is reduced, and where it can be read."""

from __future__ import annotations

import pickle
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchbus as L
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader
from torchbus_hookspecs import Logger
from torchmetrics import MeanAbsoluteError, MeanMetric, MeanSquaredError, Metric, MetricCollection
from torchmetrics.classification import MulticlassPrecision, MulticlassRecall

from .toys import Bare, loader

Quiet = Callable[..., L.Trainer]


class Stepping(Bare):
    """Calls a function in each training step."""

    def __init__(self, step: Callable[[Any, int], Any], **parts: Any) -> None:
        super().__init__()
        self.step = step
        for name, part in parts.items():
            setattr(self, name, part)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.step(self, batch_idx)
        return self.loss(batch)


def numbers(metrics: dict[str, Tensor]) -> dict[str, float]:
    return {name: round(value.item(), 5) for name, value in metrics.items()}


# ---- reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduce_fx", "expected"),
    [
        ("mean", 1.5), ("AVG", 1.5), (torch.mean, 1.5),
        ("sum", 6.0), ("SUM", 6.0), (sum, 6.0), (torch.sum, 6.0),
        ("min", 0.0), (min, 0.0), (torch.min, 0.0),
        ("Max", 3.0), (max, 3.0), (torch.max, 3.0),
    ],
)  # fmt: skip
def test_a_reduction_may_be_a_name_or_a_function(quiet: Quiet, reduce_fx: Any, expected: float) -> None:
    def step(module: Any, index: int) -> None:
        module.log("number", index, on_step=True, on_epoch=True, reduce_fx=reduce_fx)
        module.log("tensor", torch.tensor(float(index)), on_step=False, on_epoch=True, reduce_fx=reduce_fx)

    trainer = quiet()
    trainer.fit(Stepping(step), loader(8))
    assert numbers(trainer.callback_metrics) == {
        "number": expected, "number_step": 3.0, "number_epoch": expected, "tensor": expected,
    }  # fmt: skip


@pytest.mark.parametrize("reduce_fx", [torch.argmax, torch.median, "median", "", None, lambda values: values, []])
def test_any_other_reduction_is_refused_with_those_there_are(quiet: Quiet, reduce_fx: Any) -> None:
    module = Stepping(lambda module, index: module.log("x", 1.0, reduce_fx=reduce_fx))
    with pytest.raises(
        L.MisconfigurationException, match=r"self.log\(x.*reduce_fx={min,max,mean,sum}\)` are supported"
    ):
        quiet().fit(module, loader(2))


def test_a_batch_counts_by_its_size_in_means_only(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        for reduce_fx in ("mean", "sum", "max"):
            module.log(f"{reduce_fx}", float(index), on_step=False, on_epoch=True, reduce_fx=reduce_fx)
        module.log("given", float(index), on_step=False, on_epoch=True, batch_size=3 if index == 1 else 1)

    trainer = quiet()
    trainer.fit(Stepping(step), loader(6, batch_size=5))
    assert numbers(trainer.callback_metrics) == {"mean": 0.16667, "sum": 1.0, "max": 1.0, "given": 0.75}


KINDS: dict[str, Callable[[int], Any]] = {
    "float": float,
    "int": int,
    "float32": torch.tensor,
    "float64": lambda value: torch.tensor(value, dtype=torch.float64),
    "half": lambda value: torch.tensor(value, dtype=torch.bfloat16),
    "bool": lambda value: torch.tensor(bool(value % 2)),
    "graph": lambda value: torch.tensor(float(value), requires_grad=True) * 1,
    "inference": lambda value: torch.inference_mode()(torch.tensor)(float(value)),
}
VALUES = st.tuples(st.sampled_from(sorted(KINDS)), st.integers(-100, 100), st.integers(1, 9))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=8), st.sampled_from(["mean", "sum", "min", "max"]))
def test_values_of_any_kind_add_up_under_one_name(
    quiet: Quiet, values: list[tuple[str, int, int]], reduce_fx: str
) -> None:
    """Whatever happens to them after they were logged."""

    def step(module: Any, index: int) -> None:
        kind, number, size = values[index]
        value = KINDS[kind](number)
        for name, on_step in (("epoch", False), ("both", True)):
            module.log(name, value, on_step=on_step, on_epoch=True, reduce_fx=reduce_fx, batch_size=size)
        if kind in ("float32", "float64", "half", "graph"):
            value.mul_(3)

    trainer = quiet()
    trainer.fit(Stepping(step), loader(2 * len(values)))
    as_logged = [value % 2 if kind == "bool" else value for kind, value, _ in values]
    sizes = [size for _, _, size in values]
    expected = {
        "mean": sum(value * size for value, size in zip(as_logged, sizes, strict=True)) / sum(sizes),
        "sum": sum(as_logged),
        "min": min(as_logged),
        "max": max(as_logged),
    }[reduce_fx]
    metrics = trainer.callback_metrics
    assert [metrics["epoch"].item(), metrics["both_epoch"].item()] == pytest.approx([expected] * 2, rel=1e-5, abs=1e-5)
    assert metrics["both_step"].item() == as_logged[-1]


def test_a_checkpoint_keeps_what_was_logged_until_it_was_made(quiet: Quiet, tmp_path: Path) -> None:
    made: list[Any] = []

    def step(module: Any, index: int) -> None:
        module.log("x", torch.tensor(float(index)), on_step=True, on_epoch=True)
        if index == 1:
            module.trainer.save_checkpoint(tmp_path / "one.ckpt")

    class Keeping(L.Callback):
        def on_save_checkpoint(self, trainer: L.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            made.append(checkpoint["loops"])
            made.append(pickle.dumps(checkpoint["loops"]))

    quiet(callbacks=Keeping()).fit(Stepping(step), loader(8))
    kept, as_saved = made
    assert pickle.dumps(kept) == as_saved


@dataclass
class Parts:
    x: Tensor
    text: str = "text"


class Own:
    """A batch of a class of its own, which can be gone through."""

    def __iter__(self) -> Any:
        yield "text"
        yield torch.ones(3, 4)


@pytest.mark.parametrize(
    "batch",
    [
        torch.ones(3), (torch.ones(3, 2), torch.ones(3)), {"text": ["a", "b"], "x": {"y": torch.ones(3)}}, Parts(torch.ones(3)),
        Own(), {torch.ones(3)}, [np.ones(7), torch.ones(3)], UserDict(x=torch.ones(3)),
    ],
    ids=lambda batch: type(batch).__name__,
)  # fmt: skip
def test_the_size_of_a_batch_is_found_wherever_its_tensors_are(quiet: Quiet, batch: Any) -> None:
    class Module(Bare):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("x", float(batch_idx))
            self.log("y", float(batch_idx), batch_size=1)

    class Batches:
        def __iter__(self) -> Any:
            return iter([batch, torch.ones(1, 4)])

    [found] = quiet().validate(Module(), Batches(), verbose=False)
    assert found == {"x": 0.25, "y": 0.5}


# ---- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, "text", b"bytes", [1, 2], (1, 2), {"a": 1}, {"a": {"b": None}}, {}, torch.float32, Stepping]
)
def test_what_is_no_number_is_refused_with_name_and_value(quiet: Quiet, value: Any) -> None:
    module = Stepping(lambda module, index: module.log("x", value))
    with pytest.raises(ValueError, match="cannot be logged") as raised:
        quiet().fit(module, loader(2))
    assert f"self.log(x, {value})` was called" in str(raised.value)


@pytest.mark.parametrize("value", [torch.zeros(2), torch.zeros(0), torch.zeros(2, 2)])
def test_a_tensor_of_several_elements_is_refused(quiet: Quiet, value: Tensor) -> None:
    with pytest.raises(ValueError, match=r"self.log\(x.*tensor must have a single element.*mean"):
        quiet().fit(Stepping(lambda module, index: module.log("x", value)), loader(2))


def test_values_of_few_bits_are_kept_in_32(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.float64):
            module.log(str(dtype)[6:], torch.ones(1, dtype=dtype), on_step=True, on_epoch=True, reduce_fx="sum")

    trainer = quiet(max_epochs=1)
    trainer.fit(Stepping(step), loader(600, batch_size=1))
    metrics = trainer.callback_metrics
    assert {name for name, value in metrics.items() if value.dtype == torch.float64} == {
        "float64", "float64_step", "float64_epoch",
    }  # fmt: skip
    assert {value.dtype for name, value in metrics.items() if "float64" not in name} == {torch.float32}
    assert {value.item() for name, value in metrics.items() if not name.endswith("_step")} == {600.0}


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.float32)])
def test_plain_numbers_have_the_precision_of_the_run(quiet: Quiet, precision: Any, dtype: torch.dtype) -> None:
    trainer = quiet(precision=precision)
    trainer.fit(Stepping(lambda module, index: module.log("x", 0.1, on_step=True, on_epoch=True)), loader(4))
    assert {value.dtype for value in trainer.callback_metrics.values()} == {dtype}


def test_what_is_done_to_a_tensor_after_it_was_logged_does_not_count(quiet: Quiet) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch) * 0 + batch_idx
            self.log("loss", loss, on_step=True, on_epoch=True)
            loss *= 100
            return loss

    trainer = quiet()
    trainer.fit(Module(), loader(4))
    assert numbers(trainer.callback_metrics) == {"loss": 0.5, "loss_step": 1.0, "loss_epoch": 0.5}


def test_a_value_that_is_not_a_number_stays_one(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        for reduce_fx in ("mean", "max"):
            module.log(
                reduce_fx, float("nan") if index == 1 else 1.0, on_step=False, on_epoch=True, reduce_fx=reduce_fx
            )

    trainer = quiet()
    trainer.fit(Stepping(step), loader(6))
    assert all(value.isnan() for value in trainer.callback_metrics.values())


# ---- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [{"logger": True}, {"on_step": True}, {"on_epoch": False}, {"reduce_fx": "avg"}, {"reduce_fx": torch.mean}, {"batch_size": 3}],
)  # fmt: skip
def test_arguments_that_mean_the_same_may_be_written_in_two_ways(quiet: Quiet, same: dict[str, Any]) -> None:
    def step(module: Any, index: int) -> None:
        module.log("x", 1.0)
        module.log("x", 2.0, **same)

    trainer = quiet(logger="csv")
    trainer.fit(Stepping(step), loader(4))
    assert numbers(trainer.callback_metrics) == {"x": 2.0}


@pytest.mark.parametrize(
    "other",
    [
        {"prog_bar": True}, {"logger": False}, {"on_step": False}, {"on_epoch": True}, {"reduce_fx": "sum"},
        {"enable_graph": True}, {"add_dataloader_idx": False}, {"rank_zero_only": True}, {"metric_attribute": "x"},
    ],
)  # fmt: skip
def test_other_arguments_for_the_same_name_are_refused(quiet: Quiet, other: dict[str, Any]) -> None:
    def step(module: Any, index: int) -> None:
        module.log("x", 1.0)
        module.log("x", 2.0, **{"on_epoch": True, **other} if "on_step" in other else other)

    with pytest.raises(L.MisconfigurationException, match=r"self.log\(x, ...\)` twice in `training_step`"):
        quiet().fit(Stepping(step), loader(4))


def test_neither_step_nor_epoch_is_refused(quiet: Quiet) -> None:
    module = Stepping(lambda module, index: module.log("x", 1.0, on_step=False, on_epoch=False))
    with pytest.raises(L.MisconfigurationException, match="is not useful"):
        quiet().fit(module, loader(2))


def test_logging_for_loggers_where_there_are_none_is_told(quiet: Quiet) -> None:
    module = Stepping(lambda module, index: module.log("x", 1.0, logger=True))
    with pytest.warns(UserWarning, match=r"self.log\('x', ..., logger=True\)` but have no logger"):
        quiet().fit(module, loader(2))


def test_a_module_without_a_trainer_drops_what_it_logs_and_says_so() -> None:
    with pytest.warns(UserWarning, match=r"self.log\(x.*`self.trainer` reference is not registered"):
        Bare().log("x", 1.0)


def test_nothing_can_be_logged_after_a_run(quiet: Quiet) -> None:
    module, trainer = Stepping(lambda module, index: module.log("x", 1.0)), quiet()
    trainer.fit(module, loader(2))
    with pytest.raises(L.MisconfigurationException, match=r"You can't `self.log\(y"):
        module.log("y", 1.0)


# ---- reading -----------------------------------------------------------------------------------------------------------


def test_metrics_of_an_earlier_run_stay_with_who_holds_them(quiet: Quiet) -> None:
    module, trainer = Stepping(lambda module, index: module.log("x", 1.0, prog_bar=True)), quiet()
    trainer.fit(module, loader(2))
    held = trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics
    trainer.predict(module, DataLoader(torch.ones(2, 4)))
    assert [dict(one) for one in held] == [{"x": 1.0}, {"x": 1.0}, {"x": 1.0}]
    assert (trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics) == ({}, {}, {})


def test_what_is_added_to_the_metrics_by_hand_stays(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        module.log("x", 1.0, prog_bar=True)
        module.trainer.callback_metrics["mine"] = torch.tensor(2.0)
        module.trainer.progress_bar_metrics["mine"] = 3.0

    trainer = quiet()
    trainer.fit(Stepping(step), loader(4))
    assert numbers(trainer.callback_metrics) == {"x": 1.0, "mine": 2.0}
    assert trainer.progress_bar_metrics == {"x": 1.0, "mine": 3.0}


# ---- metric objects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ({}, {"m": 1.0}),
        ({"on_epoch": True}, {"m": 0.5, "m_step": 1.0, "m_epoch": 0.5}),
        ({"on_step": False, "on_epoch": True}, {"m": 0.5}),
    ],
)
def test_a_metric_object_gives_its_value_of_the_step_and_of_the_epoch(
    quiet: Quiet, levels: dict[str, Any], found: dict[str, float]
) -> None:
    def step(module: Any, index: int) -> None:
        module.m(float(index))
        module.log("m", module.m, **levels)

    module, trainer = Stepping(step, m=MeanMetric()), quiet(max_epochs=2)
    trainer.fit(module, loader(4))
    assert numbers(trainer.callback_metrics) == found
    assert module.m.update_count == 0  # reset at the epoch's end


def test_a_metric_updated_in_steps_may_be_logged_at_the_end_of_the_epoch(quiet: Quiet) -> None:
    class Module(Stepping):
        def on_train_epoch_end(self) -> None:
            self.log("m", self.m)

    def step(module: Any, index: int) -> None:
        module.m.update(float(index + 10 * module.current_epoch))

    module, trainer = Module(step, m=MeanMetric()), quiet(max_epochs=2)
    trainer.fit(module, loader(4))
    assert numbers(trainer.callback_metrics) == {"m": 10.5}


def test_metrics_in_lists_and_dictionaries_of_modules_are_found(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        for name, metric in (("a", module.several[0]), ("b", module.named["x"])):
            metric(float(index))
            module.log(name, metric, on_step=False, on_epoch=True)

    parts = {
        "several": torch.nn.ModuleList([MeanMetric()]),
        "named": torch.nn.ModuleDict({"x": MeanMetric()}),
    }
    trainer = quiet()
    trainer.fit(Stepping(step, **parts), loader(4))
    assert numbers(trainer.callback_metrics) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("parts", [{}, {"bar": MeanMetric()}])
def test_a_metric_that_is_no_part_of_the_module_is_refused(quiet: Quiet, parts: dict[str, Any]) -> None:
    def step(module: Any, index: int) -> None:
        metric = MeanMetric()
        metric(1.0)
        module.log("foo", metric)

    advice = r"fix this by setting an attribute for the metric in your"
    choice = r".*`self.log\(foo, ..., metric_attribute=name\)` where `name` is one of \['bar'\]" if parts else ""
    with pytest.raises(L.MisconfigurationException, match=advice + choice):
        quiet().fit(Stepping(step, **parts), loader(2))


def test_the_attribute_of_a_metric_may_be_given(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        module.kept["m"](float(index))
        module.log("m", module.kept["m"], on_step=False, on_epoch=True, metric_attribute="kept")

    trainer = quiet()
    trainer.fit(Stepping(step, kept={"m": MeanMetric()}), loader(4))
    assert numbers(trainer.callback_metrics) == {"m": 0.5}


@pytest.mark.parametrize(
    "switch",
    [lambda m, i: (m.one, m.two)[i], lambda m, i: (m.one, 1.0)[i], lambda m, i: (1.0, m.one)[i]],
    ids=["another_metric", "number", "metric_after_number"],
)
def test_one_name_stays_with_one_metric(quiet: Quiet, switch: Callable[[Any, int], Any]) -> None:
    def step(module: Any, index: int) -> None:
        module.one(1.0), module.two(1.0)
        module.log("m", switch(module, index))

    with pytest.raises(L.MisconfigurationException, match=r"self.log\(m, ...\)` twice in `training_step`"):
        quiet().fit(Stepping(step, one=MeanMetric(), two=MeanMetric()), loader(4))


def test_a_metric_that_an_attribute_holds_anew_goes_on_under_its_name(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        if index == 1:
            module.m = MeanMetric()
        module.m(float(index))
        module.log("m", module.m, on_step=False, on_epoch=True)

    trainer = quiet()
    trainer.fit(Stepping(step, m=MeanMetric()), loader(6))
    assert numbers(trainer.callback_metrics) == {"m": 1.5}


class Odd(Metric):
    """Computes what it is told to."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def update(self, *values: Any) -> None:
        self.updated = True

    def compute(self) -> Any:
        return self.result


def log_odd(module: Any, index: int) -> None:
    module.m(1.0)
    module.log("foo", module.m, on_step=False, on_epoch=True)


@pytest.mark.parametrize("result", [(torch.tensor(1.0), torch.tensor(2.0)), {"x": torch.tensor(1.0)}, 1.0])
def test_a_metric_must_compute_a_tensor(quiet: Quiet, result: Any) -> None:
    with pytest.raises(ValueError, match=r"compute\(\)` return of Odd.*foo' must be a tensor"):
        quiet().fit(Stepping(log_odd, m=Odd(result)), loader(2))


def test_a_metric_of_several_elements_is_for_callbacks_only(quiet: Quiet) -> None:
    trainer = quiet()
    trainer.fit(Stepping(log_odd, m=Odd(torch.tensor([1.0, 2.0]))), loader(2))
    assert trainer.callback_metrics["foo"].tolist() == [1.0, 2.0]

    class Shown(Stepping):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.m(1.0)
            self.log("foo", self.m)

    with pytest.raises(ValueError, match=r"`foo` has shape \(2,\).*single element.*To fix"):
        quiet().validate(Shown(log_odd, m=Odd(torch.tensor([1.0, 2.0]))), loader(2), verbose=False)


def test_a_collection_of_metrics_is_logged_as_a_dictionary(quiet: Quiet) -> None:
    def step(module: Any, index: int) -> None:
        module.m(torch.tensor([float(index)]), torch.tensor([3.0]))
        module.log_dict(module.m, on_step=True, on_epoch=True)

    metrics = MetricCollection([MeanSquaredError(), MeanAbsoluteError()], prefix="train/")
    trainer = quiet(max_epochs=2)
    trainer.fit(Stepping(step, m=metrics), loader(4))
    squared, absolute = "train/MeanSquaredError", "train/MeanAbsoluteError"
    assert numbers(trainer.callback_metrics) == {
        squared: 6.5, f"{squared}_step": 4.0, f"{squared}_epoch": 6.5,
        absolute: 2.5, f"{absolute}_step": 2.0, f"{absolute}_epoch": 2.5,
    }  # fmt: skip
    with pytest.raises(ValueError, match="MetricCollection cannot be logged under one name"):
        quiet().fit(Stepping(lambda module, index: module.log("m", module.m), m=metrics), loader(2))


@pytest.mark.parametrize("compute_groups", [True, False])
def test_metrics_that_share_a_state_are_computed_from_all_of_the_epoch_and_share_on(
    quiet: Quiet, compute_groups: bool
) -> None:
    guesses, copied = torch.tensor([0, 1, 2, 1]), []

    class Watched(MetricCollection):
        def items(self, *args: Any, copy_state: bool = True, **options: Any) -> Any:
            copied.append(copy_state)
            return super().items(*args, copy_state=copy_state, **options)

    def step(module: Any, index: int) -> None:
        module.m.update(guesses, torch.tensor([0, index % 3, 2, 1]))
        copied.clear()
        module.log_dict(module.m, on_step=False, on_epoch=True)
        assert compute_groups is not any(copied)

    metrics = [MulticlassPrecision(3, average="macro"), MulticlassRecall(3, average="macro")]
    trainer = quiet(max_epochs=2)
    trainer.fit(Stepping(step, m=Watched(metrics, compute_groups=compute_groups)), loader(6))
    precision, recall = (1 + 4 / 6 + 1) / 3, (3 / 4 + 1 + 3 / 4) / 3
    assert numbers(trainer.callback_metrics) == {
        "MulticlassPrecision": round(precision, 5), "MulticlassRecall": round(recall, 5),
    }  # fmt: skip


# ---- hyperparameters, and results printed ------------------------------------------------------------------------------


class Remembering(Logger):
    """Keeps what it is told."""

    name, version = "remembering", 0

    def __init__(self) -> None:
        self.params: list[dict[str, Any]] = []
        self.metrics: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append((step, metrics))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.params.append(params)


class WithParams(Bare):
    def __init__(self, params: Any, logger: bool = True) -> None:
        super().__init__()
        if params is not None:
            self.save_hyperparameters(params, logger=logger)


class DataWithParams(L.LightningDataModule):
    def __init__(self, params: Any, logger: bool = True) -> None:
        super().__init__()
        if params is not None:
            self.save_hyperparameters(params, logger=logger)

    def train_dataloader(self) -> Any:
        return loader(2)


@pytest.mark.parametrize(
    ("of_module", "of_data", "told"),
    [
        ({"a": 1}, {"b": 2}, [{"a": 1, "b": 2}]),
        ({"a": 1, "c": 3}, {"a": 1, "b": 2}, [{"a": 1, "c": 3, "b": 2}]),
        (None, {"b": 2}, [{"b": 2}]),
        ({}, None, [{}]),
        (None, None, []),
    ],
)
def test_loggers_are_told_the_hyperparameters_of_module_and_datamodule_together(
    quiet: Quiet, of_module: Any, of_data: Any, told: Any
) -> None:
    logger = Remembering()
    quiet(logger=logger).fit(WithParams(of_module), datamodule=DataWithParams(of_data))
    assert logger.params == told
    assert [list(one) for one in logger.params] == [list(one) for one in told]


@pytest.mark.parametrize("value", [torch.tensor([1, 2]), np.ones(2), [1, {"x": None}], "text"])
def test_equal_hyperparameters_of_both_are_told_once(quiet: Quiet, value: Any) -> None:
    logger = Remembering()
    quiet(logger=logger).fit(WithParams({"a": value}), datamodule=DataWithParams({"a": value}))
    assert [list(one) for one in logger.params] == [["a"]]


@pytest.mark.parametrize(
    "differing",
    [
        (1, 2), (1, True), (torch.tensor([1, 2]), torch.tensor([1, 3])), (torch.ones(2), torch.ones(3)),
        (np.ones(2), np.zeros(2)), (torch.tensor(1), 1), ([torch.ones(2)], [torch.zeros(2)]),
    ],
    ids=str,
)  # fmt: skip
def test_different_hyperparameters_of_one_name_are_refused_unless_one_is_not_for_loggers(
    quiet: Quiet, differing: tuple[Any, Any]
) -> None:
    one, other = ({"a": value} for value in differing)
    with pytest.raises(RuntimeError, match=r"Error while merging hparams: .*\['a'\].*To fix"):
        quiet(logger=Remembering()).fit(WithParams(one), datamodule=DataWithParams(other))
    quiet(logger=Remembering()).fit(WithParams(one), datamodule=DataWithParams(other, logger=False))
    quiet(logger=False).fit(WithParams(one), datamodule=DataWithParams(other))


def test_results_of_several_loaders_are_printed_side_by_side(quiet: Quiet, capsys: pytest.CaptureFixture[str]) -> None:
    class Module(Bare):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("loss", 1.5 + dataloader_idx)
            self.log(f"own_{dataloader_idx}", 7, add_dataloader_idx=False)

    quiet().validate(Module(), [loader(2), loader(2)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "─" not in line]
    assert rows == [
        ["Validate", "metric", "DataLoader", "0", "DataLoader", "1"],
        ["loss", "1.5", "2.5"],
        ["own_0", "7"],
        ["own_1", "7"],
    ]
