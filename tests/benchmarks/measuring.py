"""What the benchmarks share: rounds in turn, facts about the machine, figures as JSON.

Machines are shared: everything compared runs in turn within each round, and the minimum over many short rounds says most. Steps
are timed by the processor time of this process, with all its threads, so that waiting for others does not count. All files that `--json` writes have the same form: `about` (machine, versions, date), `command`, `figures`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "pluggy", "torchbus-core", "lightning", "pytorch-ignite", "accelerate")

clock = time.process_time  # one thread computes, nothing waits: on an idle machine this is the time on the wall


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def about() -> dict[str, Any]:
    """What figures mean nothing without."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: found for name in LIBRARIES if (found := version(name))},
    }


def save(path: Path | None, figures: Any) -> None:
    """Write ``figures`` with all that belongs to them, if a path was given."""
    if path is not None:
        arguments = [
            argument for argument in sys.argv[1:] if not argument.startswith("--json") and argument != str(path)
        ]
        command = " ".join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *arguments])
        path.write_text(json.dumps({"about": about(), "command": command, "figures": figures}, indent=1) + "\n")


def in_turn(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds that each run reports, in microseconds: one warm-up, then ``rounds`` rounds of all of them in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for count in range(rounds + 1):
        for name, run in runs.items():
            seconds = run()
            if count:
                times[name].append(seconds * 1e6)
    return {name: {"min_us": min(taken), "median_us": statistics.median(taken)} for name, taken in times.items()}


def rss_mib() -> float:
    """Memory of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_rss_mib() -> float:
    """The most memory this process had since it began, or since ``forget_peak``."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is what there is now


def make_distribution(folder: Path, number: int) -> None:
    """Metadata of a distribution as installers leave it, with entry points of somebody else's."""
    info = folder / f"stranger_{number}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: stranger-{number}\nVersion: 1.0\n\n{'words ' * 500}\n"
    )
    (info / "RECORD").write_text(f"stranger_{number}.py,,\n" * 40)
    if number % 5 == 0:
        (info / "entry_points.txt").write_text(f"[console_scripts]\nstranger{number} = stranger_{number}:main\n")
