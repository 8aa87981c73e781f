"""The profiler of functions."""

from __future__ import annotations

import copy
import os
import pickle
import pstats
from pathlib import Path

import pytest
from torchbus.profilers import AdvancedProfiler
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings

from .runs import Full, loader, trainer


def test_settings_are_those_of_lightning() -> None:
    described = {one.name: one.default for one in describe_settings(AdvancedProfiler)}
    assert described == {
        "dirpath": "None", "filename": "None", "line_count_restriction": "1.0", "dump_stats": "False",
    }  # fmt: skip


def functions_of(profiler: AdvancedProfiler, action: str) -> set[str]:
    return {name for _, _, name in pstats.Stats(profiler.profiled_actions[action]).stats}


def outer(profiler: AdvancedProfiler) -> None:
    sorted([2, 1])
    with profiler.profile("inner"):
        sum([1, 2])
    max(1, 2)


def test_an_action_pauses_while_another_runs_inside() -> None:
    profiler = AdvancedProfiler()
    with profiler.profile("outer"):
        outer(profiler)
    outside, inside = functions_of(profiler, "outer"), functions_of(profiler, "inner")
    assert any("sorted" in name for name in outside)
    assert any("max" in name for name in outside), "it goes on after the inner action"
    assert not any("built-in method builtins.sum" in name for name in outside)
    assert any("sum" in name for name in inside)


def test_stopping_what_was_not_started_is_refused() -> None:
    profiler = AdvancedProfiler()
    with pytest.raises(ValueError, match="Attempting to stop recording"):
        profiler.stop("a")
    profiler.start("a")
    profiler.stop("a")


@pytest.mark.parametrize(("restriction", "num_lines"), [(1, 1), (2, 2), (2.0, 2), (1.0, None), (0.5, None)])
def test_the_restriction_is_a_number_of_functions_or_a_share(restriction: float, num_lines: int | None) -> None:
    profiler = AdvancedProfiler(line_count_restriction=restriction)
    with profiler.profile("a"):
        outer(AdvancedProfiler())
    text = profiler.summary()
    assert text.startswith("Profiler Report\nProfile stats for: a\n")
    lines = text.partition("filename:lineno(function)\n")[2].split("\n\n")[0].splitlines()
    everything = len(pstats.Stats(profiler.profiled_actions["a"]).stats)
    assert len(lines) == (num_lines or int(everything * restriction + 0.5))


def test_a_negative_restriction_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="line_count_restriction"):
        AdvancedProfiler(line_count_restriction=-1)


def test_profiles_are_dumped_under_names_that_every_file_system_takes(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(dirpath=tmp_path, dump_stats=True)
    with profiler.profile('log/a:b*?"<>|\n\\'):
        sorted([2, 1])
    profiler.describe()
    (name,) = os.listdir(tmp_path)
    assert name == "log_a_b________.prof"
    assert pstats.Stats(str(tmp_path / name)).total_calls > 0


def test_a_run_is_reported_and_its_profiles_are_dropped(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(dirpath=tmp_path, filename="perf")
    trainer(tmp_path, profiler).fit(Full(), loader(), loader())
    report = (tmp_path / "fit-perf.txt").read_text()
    assert "Profile stats for: [Strategy]SingleDeviceStrategy.training_step" in report
    assert "Profile stats for: my action" in report
    assert profiler.profiled_actions == {}
    copy.deepcopy(profiler)


def test_it_can_be_copied_and_pickled_while_it_has_profiles() -> None:
    profiler = AdvancedProfiler(line_count_restriction=3)
    with profiler.profile("a"):
        pass
    for copied in (copy.deepcopy(profiler), pickle.loads(pickle.dumps(profiler))):
        assert copied.line_count_restriction == 3
        with copied.profile("b"):
            pass
        assert list(copied.profiled_actions) == ["b"]
