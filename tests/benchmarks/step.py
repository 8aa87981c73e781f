"""How much a training step costs beside the plain PyTorch loop: `make bench`, or `python tests/benchmarks/step.py`.

One process, one thread, rounds of both loops in turn; minima and medians. An MLP 32-32-2, batches of 8, SGD: a step so small
that the framework's own work shows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torchbus as L
from measuring import clock, save
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchbus.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, Timer

STEPS = 2000
BATCH = 8

Case = Callable[["Batches"], float]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


class Batches:
    """Batches made in advance: what a DataLoader costs is no business of this comparison."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(1)
        data = TensorDataset(torch.randn(steps * BATCH, 32), torch.randint(0, 2, (steps * BATCH,)))
        self.batches = list(DataLoader(data, batch_size=BATCH))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        return iter(self.batches)


class Module(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return nn.functional.cross_entropy(self.network(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Logging(Module):
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self.network(inputs), targets)
        self.log("forked", loss, on_step=True, on_epoch=True)
        self.log("per_epoch", loss, on_step=False, on_epoch=True)
        self.log("number", 1.0)
        return loss


class Evaluated(Module):
    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        return nn.functional.cross_entropy(self.network(inputs), targets)

    def predict_step(self, batch, batch_idx):
        return self.network(batch[0])


class EvaluatedLogging(Evaluated):
    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self.network(inputs), targets)
        self.log("val_loss", loss)


class Watcher(L.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.started = batch_idx

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.ended = batch_idx


def plain_loop(loader: Batches) -> float:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    start = clock()
    for inputs, targets in loader:
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (clock() - start) / len(loader)


def plain_evaluation(loader: Batches) -> float:
    model = network().eval()
    start = clock()
    with torch.inference_mode():
        for inputs, targets in loader:
            nn.functional.cross_entropy(model(inputs), targets)
    return (clock() - start) / len(loader)


def plain_prediction(loader: Batches) -> float:
    model = network().eval()
    start = clock()
    with torch.inference_mode():
        [model(inputs) for inputs, _ in loader]
    return (clock() - start) / len(loader)


class Clock(L.Callback):
    """Times the epoch alone, as the plain loop is timed."""

    def on_train_epoch_start(self, trainer, pl_module):
        self.start = clock()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds = clock() - self.start

    on_validation_epoch_start = on_predict_epoch_start = on_train_epoch_start
    on_validation_epoch_end = on_predict_epoch_end = on_train_epoch_end


def framework(
    loader: Batches, module: L.LightningModule, callbacks: list[L.Callback], entry: str = "fit", **options
) -> float:
    clock = Clock()
    settings = {
        "accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, **options,
    }  # fmt: skip
    trainer = L.Trainer(callbacks=[clock, *callbacks], **settings)
    getattr(trainer, entry)(module, loader)
    return clock.seconds / len(loader)


def full_set(loader: Batches) -> float:
    """What a usual script has: TensorBoard, a progress bar, three values logged, and the usual callbacks."""
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [
            EarlyStopping("per_epoch", check_on_train_epoch_end=True), ModelCheckpoint(monitor="per_epoch"),
            LearningRateMonitor("step"), Timer(),
        ]  # fmt: skip
        plugins = {"default_root_dir": folder, "enable_progress_bar": True, "enable_checkpointing": True}
        return framework(loader, Logging(), callbacks, logger="tensorboard", **plugins)


CASES = {
    "bare": lambda loader: framework(loader, Module(), []),
    "10 callbacks": lambda loader: framework(loader, Module(), [Watcher() for _ in range(10)]),
    "3 logs": lambda loader: framework(loader, Logging(), []),
    "full set": full_set,
}

EVALUATION_CASES = {
    "evaluation": lambda loader: framework(loader, Evaluated(), [], "validate"),
    "evaluation, 1 log": lambda loader: framework(loader, EvaluatedLogging(), [], "validate"),
}

PREDICTION_CASES = {"prediction": lambda loader: framework(loader, Evaluated(), [], "predict")}

COMPARISONS = (
    ("plain", plain_loop, CASES),
    ("plain evaluation", plain_evaluation, EVALUATION_CASES),
    ("plain prediction", plain_prediction, PREDICTION_CASES),
)


def compare(
    plain: str, base: Case, cases: dict[str, Case], loader: Batches, rounds: int
) -> dict[str, dict[str, float]]:
    """Run a plain loop and its cases in turn, print and return what they took."""
    times: dict[str, list[float]] = {plain: [], **{name: [] for name in cases}}
    base(loader)
    for _ in range(rounds):
        for name, run in {plain: base, **cases}.items():
            with contextlib.redirect_stdout(io.StringIO()):  # tables of results
                times[name].append(run(loader))
    figures = {}
    for name, seconds in times.items():
        low, middle = min(seconds), statistics.median(seconds)
        ratio, of_medians = low / min(times[plain]), middle / statistics.median(times[plain])
        figures[name] = {"min_us": low * 1e6, "median_us": middle * 1e6, "ratio": ratio}
        print(f"{name:<20}{low * 1e6:>9.1f}{middle * 1e6:>11.1f}{ratio:>17.3f}{of_medians:>12.3f}")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    loader = Batches(options.steps)
    figures: dict[str, dict[str, float]] = {}
    print(
        f"torch {torch.__version__}, Python {platform.python_version()}, {options.steps} steps, {options.rounds} rounds"
    )
    print(f"{'case':<20}{'min us':>9}{'median us':>11}{'ratio of minima':>17}{'of medians':>12}")
    for plain, base, cases in COMPARISONS:
        figures |= compare(plain, base, cases, loader, options.rounds)
    save(options.json, figures)


if __name__ == "__main__":
    sys.exit(main())
