"""What saving and loading checkpoints costs beside `torch.save` and a flush: `python tests/benchmarks/checkpoints.py`.

torchbus writes beside the target, flushes file and folder, and renames; checks first that the file can be read with
`weights_only=True`. The plain way here writes onto the target and flushes it. Each size is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchbus as L
from measuring import about, forget_peak, peak_rss_mib, rss_mib, save
from torch import nn

SIZES = (1_000_000, 100_000_000)
LAYERS = 16


class Large(L.LightningModule):
    """So many parameters in all, in some layers, without an optimizer's state."""

    def __init__(self, parameters: int) -> None:
        super().__init__()
        width = math.isqrt(parameters // LAYERS)
        self.layers = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(LAYERS)))

    def training_step(self, batch, batch_idx):
        return self.layers[0].weight[0, 0] * batch.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def plain_save(state: Any, path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds, the least of some rounds in turn, and the memory that came on top meanwhile."""
    figures: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            before = rss_mib()
            forget_peak()
            start = time.perf_counter()
            result = run()
            seconds = time.perf_counter() - start
            extra = peak_rss_mib() - before
            del result
            known = figures.setdefault(name, {"min_s": seconds, "extra_mib": extra})
            known.update(min_s=min(known["min_s"], seconds), extra_mib=min(known["extra_mib"], extra))
    return figures


def one_size(parameters: int, rounds: int, root: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        module = Large(parameters)
        trainer = L.Trainer(
            accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(torch.ones(1)))
        plain, ours = Path(folder, "plain.pt"), Path(folder, "ours.ckpt")
        state = {"state_dict": module.state_dict(), "optimizer_states": [trainer.optimizers[0].state_dict()]}
        figures = measure(
            {
                "save: torch.save and fsync": lambda: plain_save(state, plain),
                "save: trainer.save_checkpoint": lambda: trainer.save_checkpoint(ours),
                "load: torch.load": lambda: torch.load(plain, weights_only=True),
                "load: load_from_checkpoint": lambda: Large.load_from_checkpoint(ours, parameters=parameters),
                "load: torch.load into a new module": lambda: Large(parameters).load_state_dict(
                    torch.load(plain, weights_only=True)["state_dict"]
                ),
            },
            rounds,
        )
        return {"file_mib": {"plain": plain.stat().st_size / 2**20, "torchbus": ours.stat().st_size / 2**20}, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to write, default: the system's temporary folder")
    parser.add_argument("--size", type=int, help="only so many parameters, and print JSON")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.size:
        print(json.dumps(one_size(options.size, options.rounds, options.folder)))
        return
    print(about()["versions"])
    figures = {}
    for size in SIZES:
        arguments = ["--size", str(size), "--rounds", str(options.rounds)]
        arguments += ["--folder", options.folder] if options.folder else []
        done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
        figures[str(size)] = json.loads(done.stdout.splitlines()[-1])
        print(f"{size:,} parameters; files: {figures[str(size)].pop('file_mib')}")
        for name, values in figures[str(size)].items():
            print(f"  {name:<38}{values['min_s']:>9.3f} s{values['extra_mib']:>9.0f} MiB more")
    save(options.json, figures)


if __name__ == "__main__":
    main()
