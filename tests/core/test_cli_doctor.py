"""``torchbus doctor``: a healthy installation, and one with everything wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ONLY = {"TORCHBUS_PLUGIN_ALLOW": "torchbus-stopping,torchbus-stoping-too,torchbus-broken"}


def test_a_healthy_installation_has_its_versions_told_and_no_problems(torchbus: Any) -> None:
    done = torchbus("doctor", TORCHBUS_PLUGIN_ALLOW="torchbus-stopping")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("Problems\n  none\n0 problems\n")
    assert "  contract" in done.stdout and "  torchbus-hookspecs" in done.stdout


def test_all_that_is_wrong_is_told_at_once(offer: Any, torchbus: Any, tmp_path: Path) -> None:
    offer("torchbus-stoping-too", "[torchbus.callbacks]\ntimer = nowhere:Timer\n")
    offer("torchbus-broken", "[torchbus.callbacks]\nbroken = torchbus_broken:X\n", code="import os; os._exit(3)")
    offer("torchbus-csv", "", version="0.0.9")
    (tmp_path / "torchbus.toml").write_text(
        'enable = ["early_stoping", "no:timer"]\n[plugins.early_stopping]\npatience = -1\n[plugins.early_stoppin]\nmonitor = "a"\n'
    )
    variables = {
        "TORCHBUS_EARLY_STOPPING__PATIENC": "3",
        "TORCHBUS_PLUGIN_ALOW": "x",
        "TORCHBUS_EARLY_STOPING__MONITOR": "x",
        "TORCHBUS_BEST__MONITOR": "x",
    }
    done = torchbus("doctor", "--json", **ONLY, **variables)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["configuration"] == str(tmp_path / "torchbus.toml")
    problems = [f"{one['area']}: {one['about']}: {one['text']}" for one in told["problems"]]

    def is_told(*parts: str) -> bool:
        return any(all(part in problem for part in parts) for problem in problems)

    assert is_told("installation: timer", "torchbus-stoping-too 1.2 and torchbus-stopping")
    assert is_told("installation: torchbus-csv", "several versions", "0.0.9 in ")
    assert is_told("plugins: broken (torchbus-broken 1.2)", "exit code 3")
    assert is_told("plugins: timer (torchbus-stoping-too 1.2)", "No module named 'nowhere'")
    assert is_told("configuration: early_stopping", "`patience` is -1", "torchbus.toml, [plugins.early_stopping]")
    assert is_told("configuration: ", "`early_stoping`", "Did you mean `early_stopping`")
    assert is_told("configuration: ", "[plugins.early_stoppin]", "Did you mean `early_stopping`")
    assert is_told("environment: early_stopping", "`patienc`", "Did you mean `patience`")
    assert is_told("environment: TORCHBUS_PLUGIN_ALOW", "Did you mean `TORCHBUS_PLUGIN_ALLOW`")
    assert is_told("environment: TORCHBUS_EARLY_STOPING__MONITOR", "means nothing", "Did you mean `early_stopping`")
    assert not is_told("TORCHBUS_BEST__MONITOR"), "an instance that a script may name"
    assert not is_told("environment: TORCHBUS_PLUGIN_ALLOW")


def test_a_file_that_cannot_be_read_is_a_problem_and_does_not_end_the_command(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text("enable = [")
    done = torchbus("doctor", TORCHBUS_PLUGIN_ALLOW="")
    assert done.returncode == 1 and "not valid TOML" in done.stdout and "1 problem\n" in done.stdout
