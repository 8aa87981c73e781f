"""``from torchbus.callbacks import *`` and its like: what they give, and whose code they run."""

from __future__ import annotations

from typing import Any

import pytest
import torchbus as L
from torchbus._facade import lazy_classes


@pytest.mark.parametrize(
    ("room", "some", "absent"),
    [
        (
            "callbacks",
            {"Callback", "EarlyStopping", "ModelCheckpoint", "BaseFinetuning", "TQDMProgressBar"},
            "lazy_classes",
        ),
        ("loggers", {"Logger", "CSVLogger", "TensorBoardLogger"}, "Any"),
        ("accelerators", {"Accelerator", "CPUAccelerator"}, "Any"),
        ("profilers", {"Profiler", "PassThroughProfiler", "SimpleProfiler"}, "Any"),
    ],
)
def test_a_star_gives_the_bases_and_the_classes_of_standard_plugins(room: str, some: set[str], absent: str) -> None:
    given: dict[str, Any] = {}
    exec(f"from torchbus.{room} import *", given)
    assert some <= set(given)
    assert absent not in given
    assert set(getattr(L, room).__all__) <= set(dir(getattr(L, room)))


def test_a_star_passes_over_what_is_broken_and_imports_no_strangers(install) -> None:
    whole, _ = lazy_classes("here", "callbacks", ["Callback"], {})
    assert {"Callback", "MetricsPlot", "Timer"} <= set(whole("__all__"))
    install(
        "torchbus-plotting", "9.0", entry_points={"torchbus.callbacks": {"metrics_plot": "it_raises:MetricsPlot"}},
        modules={"it_raises.py": "raise RuntimeError('broken at import')"},
    )  # fmt: skip
    folder = install(
        "stranger", entry_points={"torchbus.callbacks": {"strange": "it_writes:Strange"}},
        modules={"it_writes.py": "from pathlib import Path; (Path(__file__).parent / 'was_here').touch()"},
    )  # fmt: skip
    without, names = lazy_classes("here", "callbacks", ["Callback"], {})
    assert set(whole("__all__")) - set(without("__all__")) == {"MetricsPlot"}
    assert {"MetricsPlot", "Strange"} <= set(names())
    assert not list(folder.rglob("was_here"))
