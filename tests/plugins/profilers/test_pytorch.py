"""The profiler of operators: torch's own, over windows of steps."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerAction, schedule
from torchbus.profilers import PyTorchProfiler, RegisterRecordFunction
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_profilers._windows import Windows, default_schedule

from .runs import Full, Line, loader, trainer

NONE, WARMUP, RECORD, SAVE = (
    ProfilerAction.NONE, ProfilerAction.WARMUP, ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE,
)  # fmt: skip
STEP = "[pl][profile][Strategy]SingleDeviceStrategy"


def names(profiler: PyTorchProfiler) -> list[str]:
    return [event.name for event in profiler.function_events or []]


def traces(folder: Path) -> list[str]:
    return sorted(path.name.rsplit(".", 4)[0] for path in folder.glob("*.pt.trace.json"))


# ---- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_those_of_lightning() -> None:
    described = {one.name: one.default for one in describe_settings(PyTorchProfiler)}
    assert described == {
        "dirpath": "None", "filename": "None", "group_by_input_shapes": "False", "emit_nvtx": "False",
        "export_to_chrome": "True", "row_limit": "20", "sort_by_key": "None", "record_module_names": "True",
        "table_kwargs": "None",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["row_limit", "sort_by"])
def test_arguments_of_the_table_that_have_a_setting_are_refused_among_the_others(key: str) -> None:
    with pytest.raises(KeyError, match=f"Found invalid table_kwargs key: {key}. This is already a positional argument"):
        PyTorchProfiler(table_kwargs={key: 1})


@pytest.mark.parametrize("key", ["self", "colour"])
def test_arguments_that_the_table_does_not_take_are_refused(key: str) -> None:
    with pytest.raises(KeyError, match=f"Found invalid table_kwargs key: {key}. Should be within"):
        PyTorchProfiler(table_kwargs={key: 1})


def test_what_is_no_sort_key_or_schedule_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match=r"Found sort_by_key: cpu_tim\..*Did you mean `cpu_time`"):
        PyTorchProfiler(sort_by_key="cpu_tim")
    with pytest.raises(MisconfigurationException, match="Schedule should be a callable. Found: 1"):
        PyTorchProfiler(schedule=1)
    with pytest.raises(MisconfigurationException, match=r"Schedule should return a `torch.profiler.ProfilerAction`"):
        PyTorchProfiler(schedule=lambda step: 3)


def test_an_argument_that_torch_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no argument 'profile_memry'. Did you mean `profile_memory`"):
        PyTorchProfiler(profile_memry=True)


# ---- windows ----------------------------------------------------------------------------------------------------------


def test_the_default_schedule_waits_warms_up_and_records_once() -> None:
    assert [default_schedule(step) for step in range(8)] == [NONE, WARMUP, RECORD, RECORD, SAVE, NONE, NONE, NONE]


def test_each_kind_of_step_has_one_window_of_its_own() -> None:
    windows = Windows(schedule(wait=0, warmup=1, active=2))
    seen = []
    for kind in "ttttvvvv":
        assert windows.enter(kind)
        seen.append(windows(0))
    assert seen == [WARMUP, RECORD, SAVE, NONE, WARMUP, RECORD, SAVE, NONE]


def test_an_open_window_stays_open_while_other_steps_come_in_between() -> None:
    windows = Windows(schedule(wait=0, warmup=1, active=2))
    told = [windows.enter(kind) for kind in "ttvvtv"]
    assert told == [True, True, False, False, True, True]
    assert windows(0) == WARMUP, "validation begins with its own first step"


def test_a_few_steps_are_recorded_from_the_first_to_the_last() -> None:
    windows = Windows(default_schedule)
    seen = []
    for _ in range(3):
        windows.enter("t", num_steps=2)
        seen.append((windows(0), windows.records))
    assert seen == [(RECORD, True), (SAVE, True), (NONE, False)]


# ---- by hand ----------------------------------------------------------------------------------------------------------


def test_actions_are_nested_among_the_operators(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf", schedule=None)
    with profiler.profile("outer"):
        ones = torch.ones(8)
        with profiler.profile("inner"):
            ones + ones
    profiler.describe()
    assert {"[pl][profile]outer", "[pl][profile]inner", "aten::ones", "aten::add"} <= set(names(profiler))
    report = (tmp_path / "perf.txt").read_text()
    assert report.startswith("Profiler Report\nProfile stats for: records\n")
    assert "[pl][profile]inner" in report


def test_layers_are_recorded_by_type_and_name() -> None:
    profiler = PyTorchProfiler(schedule=None, export_to_chrome=False, record_module_names=False)
    model = torch.nn.Module()
    model.layer = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU())
    with profiler.profile("a"), RegisterRecordFunction(model):
        model.layer(torch.rand(1, 1))
    with profiler.profile("b"):
        model.layer(torch.rand(1, 1))
    profiler.describe()
    found = [name for name in names(profiler) if name.startswith("[pl][module]")]
    assert sorted(found) == [
        "[pl][module]torch.nn.modules.activation.ReLU: layer.1",
        "[pl][module]torch.nn.modules.container.Sequential: layer",
        "[pl][module]torch.nn.modules.linear.Linear: layer.0",
    ]


def test_the_table_takes_further_arguments() -> None:
    lengths = []
    for width in (1, 5, 55):
        profiler = PyTorchProfiler(schedule=None, export_to_chrome=False, table_kwargs={"max_name_column_width": width})
        with profiler.profile("an action with a long name"):
            torch.ones(1)
        lengths.append(profiler.summary().count("-"))
    assert lengths == sorted(set(lengths))


def test_without_a_folder_no_trace_is_written_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profiler = PyTorchProfiler(schedule=None)
    with profiler.profile("a"):
        torch.ones(1)
    with pytest.warns(UserWarning, match="writes no trace"):
        profiler.describe()
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_copied_before_and_after_recording() -> None:
    profiler = PyTorchProfiler(schedule=None, export_to_chrome=False)
    profiler.start("on_train_start")
    copy.deepcopy(profiler)
    torch.ones(1)
    profiler.describe()
    assert names(copy.deepcopy(profiler)) == names(profiler)


# ---- in a trainer -----------------------------------------------------------------------------------------------------


def test_a_fit_leaves_a_report_and_a_trace_of_each_kind_of_step(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(tmp_path, profiler).fit(Full(), loader(8), loader(8))
    assert traces(tmp_path) == [
        "fit-perf-[Strategy]SingleDeviceStrategy.training_step",
        "fit-perf-[Strategy]SingleDeviceStrategy.validation_step",
    ]
    counts = {one: names(profiler).count(f"{STEP}.{one}") for one in ("training_step", "validation_step", "backward")}
    assert counts == {"training_step": 3, "validation_step": 3, "backward": 3}
    assert "[pl][module]torch.nn.modules.linear.Linear: layers.0" in names(profiler)
    assert (tmp_path / "fit-perf.txt").read_text().startswith("FIT Profiler Report")
    trace = json.loads(next(tmp_path.glob("*training_step*.json")).read_text())
    assert any(event.get("name") == f"{STEP}.training_step" for event in trace["traceEvents"])


@pytest.mark.parametrize("batches", [1, 2, 4, 5])
def test_a_short_run_is_recorded_whole(tmp_path: Path, batches: int) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(tmp_path, profiler, fast_dev_run=batches).fit(Full(), loader(8), loader(8))
    told = [str(one.message) for one in caught if "not enough steps to properly record traces" in str(one.message)]
    recorded = batches if batches < 5 else 3
    assert len(told) == (2 if batches < 5 else 0), "once for training, once for validation"
    assert names(profiler).count(f"{STEP}.validation_step") == recorded
    assert names(profiler).count(f"{STEP}.training_step") == recorded
    assert len(traces(tmp_path)) == 2


@pytest.mark.parametrize(("stage", "step"), [("validate", "validation"), ("test", "test"), ("predict", "predict")])
def test_other_stages_are_recorded_too(tmp_path: Path, stage: str, step: str) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf", schedule=None)
    run = trainer(tmp_path, profiler)
    getattr(run, stage)(Full(), loader(3))
    assert names(profiler).count(f"{STEP}.{step}_step") == 3
    assert traces(tmp_path) == [f"{stage}-perf-[Strategy]SingleDeviceStrategy.{step}_step"]
    assert (tmp_path / f"{stage}-perf.txt").is_file()


def test_the_sanity_check_is_not_counted(tmp_path: Path) -> None:
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf")
    trainer(tmp_path, profiler, num_sanity_val_steps=4).fit(Full(), loader(8), loader(5))
    assert names(profiler).count(f"{STEP}.validation_step") == 3


def test_everything_else_may_be_said_in_torch_words(tmp_path: Path) -> None:
    seen: list[Any] = []
    profiler = PyTorchProfiler(
        dirpath=tmp_path, schedule=schedule(wait=0, warmup=1, active=2), on_trace_ready=seen.append, profile_memory=True
    )
    trainer(tmp_path, profiler, limit_val_batches=0).fit(Full(), loader(8), loader(8))
    assert len(seen) == 1, "one window, though the schedule would repeat itself"
    assert names(profiler).count(f"{STEP}.training_step") == 2
    assert traces(tmp_path) == []


def test_a_run_that_fails_ends_the_recording(tmp_path: Path) -> None:
    class Broken(Line):
        def on_train_end(self) -> None:
            raise RuntimeError("broken")

    profiler = PyTorchProfiler(dirpath=tmp_path, filename="perf", schedule=None)
    run = trainer(tmp_path, profiler)
    with pytest.raises(RuntimeError, match="broken"):
        run.fit(Broken(), loader())
    assert profiler.profiler is None
    assert (tmp_path / "fit-perf.txt").is_file()
    trainer(tmp_path, profiler).fit(Line(), loader())
    assert names(profiler).count(f"{STEP}.training_step") == 4, "the second run has a recording of its own"
