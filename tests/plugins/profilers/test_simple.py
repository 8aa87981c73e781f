"""The profiler of actions."""

from __future__ import annotations

import copy
import os
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from torchbus.profilers import SimpleProfiler
from torchbus_hookspecs.settings import describe_settings

from .runs import Full, Line, loader, trainer


def test_settings_are_those_of_lightning() -> None:
    described = {one.name: one.default for one in describe_settings(SimpleProfiler)}
    assert described == {"dirpath": "None", "filename": "None", "extended": "True"}


def test_the_duration_of_each_call_is_recorded() -> None:
    profiler = SimpleProfiler()
    for _ in range(2):
        with profiler.profile("nap") as name:
            time.sleep(0.002)
    assert name == "nap"
    assert len(profiler.recorded_durations["nap"]) == 2
    assert min(profiler.recorded_durations["nap"]) >= 0.002
    assert profiler.current_actions == {}


def test_an_action_that_raises_is_recorded_too() -> None:
    profiler = SimpleProfiler()
    with pytest.raises(KeyError), profiler.profile("fails"):
        raise KeyError
    assert len(profiler.recorded_durations["fails"]) == 1


def test_starting_twice_and_stopping_what_was_not_started_are_refused() -> None:
    profiler = SimpleProfiler()
    with pytest.raises(ValueError, match=r"Attempting to stop recording an action \(a\)"):
        profiler.stop("a")
    profiler.start("a")
    with pytest.raises(ValueError, match="Attempted to start a"):
        profiler.start("a")
    profiler.stop("a")


def test_the_extended_table_has_the_columns_that_scripts_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    profiler = SimpleProfiler()
    profiler.start_time = 10.0
    profiler.recorded_durations["short"] = [0.5, 0.25]
    profiler.recorded_durations["long one"] = [4.0]
    monkeypatch.setattr(time, "perf_counter", lambda: 20.0)
    head, empty, *lines = profiler.summary().expandtabs().splitlines()
    assert (head, empty) == ("Profiler Report", "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows == [
        ["Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"],
        ["Total", "-", "3", "10.0", "100 %"],
        ["long one", "4.0", "1", "4.0", "40.0"],
        ["short", "0.375", "2", "0.75", "7.5"],
    ]
    rulers = [line for line in lines if not line.startswith("|")]
    assert len(rulers) == 4
    assert set("".join(rulers)) == {"-"}
    widths = {len(line) for line in lines if line.startswith("|")}
    assert len(widths) == 1, "columns are aligned once tabs are expanded"


def test_the_short_table_is_sorted_by_mean() -> None:
    profiler = SimpleProfiler(extended=False)
    profiler.recorded_durations["often"] = [1.0, 1.0, 1.0]
    profiler.recorded_durations["once"] = [2.0]
    rows = [line.split("|")[1:-1] for line in profiler.summary().splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Action", "Mean duration (s)", "Total time (s)"],
        ["once", "2.0", "2.0"],
        ["often", "1.0", "3.0"],
    ]


def test_each_stage_writes_a_report_of_its_own(tmp_path: Path) -> None:
    run = trainer(tmp_path, SimpleProfiler(dirpath=tmp_path / "new" / "folder", filename="perf"))
    model = Full()
    run.fit(model, loader(), loader())
    run.validate(model, loader(), verbose=False)
    run.test(model, loader(), verbose=False)
    run.predict(model, loader())
    reports = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(reports) == {f"{stage}-perf.txt" for stage in ("fit", "validate", "test", "predict")}
    assert reports["fit-perf.txt"].startswith("FIT Profiler Report")
    assert "my action" in reports["fit-perf.txt"]
    assert "[Strategy]SingleDeviceStrategy.predict_step" in reports["predict-perf.txt"]


def test_the_folder_is_that_of_the_logger_if_none_is_given(tmp_path: Path) -> None:
    profiler = SimpleProfiler(filename="perf")
    run = trainer(tmp_path / "root", profiler)
    run.fit(Line(), loader())
    assert profiler.dirpath == run.log_dir == str(tmp_path / "root")
    assert (tmp_path / "root" / "fit-perf.txt").is_file()


def test_without_a_file_name_the_report_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer(tmp_path, "simple")
    run.fit(Line(), loader())
    run.test(Full(), loader(), verbose=False)
    assert capsys.readouterr().out.count("Profiler Report") == 2
    assert list(tmp_path.iterdir()) == []


def test_any_path_like_is_a_folder(tmp_path: Path) -> None:
    class Folder(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path)

    profiler = SimpleProfiler(filename="perf")
    profiler.dirpath = Folder()  # type: ignore[assignment]
    with profiler.profile("a"):
        pass
    profiler.describe()
    assert (tmp_path / "perf.txt").is_file()


def test_it_can_be_copied_and_pickled(tmp_path: Path) -> None:
    profiler = SimpleProfiler(dirpath=tmp_path)
    trainer(tmp_path, profiler).fit(Line(), loader())
    for copied in (copy.deepcopy(profiler), pickle.loads(pickle.dumps(profiler))):
        assert len(copied.recorded_durations["my action"]) == 4


def test_a_run_that_fails_is_reported_as_well(tmp_path: Path) -> None:
    class Broken(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("broken")

    run = trainer(tmp_path, SimpleProfiler(dirpath=tmp_path, filename="perf"))
    with pytest.raises(RuntimeError, match="broken"):
        run.fit(Broken(), loader())
    assert "run_training_batch" in (tmp_path / "fit-perf.txt").read_text()
    assert run.profiler.current_actions == {}
    run.fit(Line(), loader())
