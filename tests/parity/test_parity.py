"""torchbus does what Lightning 2.6.6 was recorded doing, scenario by scenario."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the scenarios import each other by plain names

from compare import judge, judge_exact_resume  # noqa: E402
from runner import Namespace, arithmetic_fingerprint, load_scenarios, run_isolated, run_scenario  # noqa: E402

SCENARIOS = load_scenarios(HERE / "scenarios.py")

ENDS_BETTER = {"checkpoints_on_exceptions": "weights"}
"""What differs from the recording on purpose, by scenario: a run that is resumed inside an epoch goes on with its data,
where Lightning's starts over. Its other observations are compared."""


@pytest.fixture(scope="session")
def namespace() -> Namespace:
    import torchbus

    # each scenario runs in a forked child: import here what all of them would import again
    for name in torchbus.__all__:
        getattr(torchbus, name)
    for name in ("EarlyStopping", "ModelCheckpoint", "RichProgressBar", "ModelSummary"):
        getattr(torchbus.callbacks, name)
    for name in ("CSVLogger", "TensorBoardLogger"):
        getattr(torchbus.loggers, name)
    namespace = Namespace("torchbus")
    # one in this process, for what torch itself makes only at its first optimizer
    run_scenario(SCENARIOS["fit_plain"], namespace)
    return namespace


@pytest.fixture(scope="session")
def rounding() -> str:
    return arithmetic_fingerprint()


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_matches_its_recording(name: str, namespace: Namespace, rounding: str) -> None:
    recorded = json.loads((HERE / "traces" / f"{name}.json").read_text())
    answer = run_isolated(SCENARIOS[name], namespace)
    ignored = frozenset() if recorded["arithmetic"] == rounding else frozenset({"sha256"})
    ignored |= {ENDS_BETTER[name]} if name in ENDS_BETTER else set()
    rule = judge_exact_resume if getattr(SCENARIOS[name], "exact_resume", False) else judge
    difference = rule(recorded, answer, ignored)
    assert difference is None, f"{difference}\n{answer['error'] or ''}"
