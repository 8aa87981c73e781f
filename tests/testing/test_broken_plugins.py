"""The contracts find what is broken, and find it where they promise to look."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

EXPECTED = {
    "TestNotACallback": "test_is_a_callback",
    "TestMisspelt": "test_its_hooks_fit_the_contract",
    "TestUnpicklable": "test_pickles",
    "TestNoTest": "test_survives[test]",
    "TestForgetful": "test_state_comes_back",
    "TestUnsafeState": "test_state_is_plain",
    "TestLeavesThread": "test_leaves_nothing_open",
    "TestNeedsASetting": "test_settings_round_trip_through_json",
    "TestChangingVersion": "test_has_a_name_and_a_version",
    "TestBoundless": "test_refuses_what_is_not_there",
}


@pytest.fixture(scope="module")
def failures() -> dict[str, set[str]]:
    """The tests that failed, by the name of the broken plugin's test class."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", "-W", "ignore"]
    options = ["--rootdir", str(HERE), "-c", os.devnull, str(HERE / "broken_plugins.py")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)
    found: dict[str, set[str]] = {}
    for name, test in re.findall(r"^FAILED .*?::(\w+)::([\w\[\]]+)", done.stdout, re.MULTILINE):
        found.setdefault(name, set()).add(test)
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "test"), EXPECTED.items())
def test_a_broken_plugin_fails_at_the_intended_test(name: str, test: str, failures: dict[str, set[str]]) -> None:
    assert test in failures[name]


@pytest.mark.slow
def test_only_what_is_broken_fails(failures: dict[str, set[str]]) -> None:
    assert failures.keys() == EXPECTED.keys()
    alone = {"TestUnpicklable", "TestForgetful", "TestLeavesThread", "TestChangingVersion", "TestBoundless"}
    for name in alone:
        assert all(test.startswith(EXPECTED[name]) for test in failures[name]), failures[name]
