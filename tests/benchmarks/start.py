"""How long it takes to begin: `python tests/benchmarks/start.py`. Each command in a process of its own, in turn, least of some."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from measuring import about, in_turn, make_distribution, save

CODE = {
    "python, nothing imported": "",
    "import torch": "import torch",
    "import torchbus": "import torchbus",
    "import torch, torchbus.Trainer": "import torch, torchbus; torchbus.Trainer",
    "a Trainer is made": "import torch, torchbus; torchbus.Trainer(accelerator='cpu', enable_progress_bar=False)",
}
LIGHTNING = {
    "import lightning.pytorch": "import lightning.pytorch",
    "a Lightning Trainer is made": (
        "import lightning.pytorch as L; L.Trainer(accelerator='cpu', enable_progress_bar=False, logger=False)"
    ),
}


def timed(command: list[str], path: str = "") -> Callable[[], float]:
    environment = {**os.environ, "PYTHONPATH": path} if path else None

    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - start

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    code = CODE | (LIGHTNING if find_spec("lightning") else {})
    runs = {name: timed([sys.executable, "-c", statement]) for name, statement in code.items()}
    command = Path(sys.executable).with_name("torchbus" + (".exe" if os.name == "nt" else ""))
    runs["torchbus plugins list"] = timed([str(command), "plugins", "list"])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(300):
            make_distribution(Path(folder), number)
        runs["the same, 300 more distributions"] = timed([str(command), "plugins", "list"], folder)
        figures = {
            name: {"min_s": one["min_us"] / 1e6, "median_s": one["median_us"] / 1e6}
            for name, one in in_turn(runs, options.rounds).items()
        }
    print(about()["versions"])
    for name, values in figures.items():
        print(f"{name:<34}{values['min_s']:>8.2f} s{values['median_s']:>8.2f} s")
    save(options.json, figures)


if __name__ == "__main__":
    main()
