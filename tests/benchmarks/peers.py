"""The same work in torchbus, Lightning, Ignite and Accelerate, beside the plain loop: `python tests/benchmarks/peers.py`.

One process, one thread, all of them in turn within each round. A peer that is not installed is left out, and so is a case that
a peer has no counterpart for. The model is that of `step.py`: so small that the frameworks' own work shows.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from measuring import about, clock, in_turn, save
from step import BATCH, Batches, network
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WORKSPACE = Path(__file__).parents[2]
WINDOW = 4  # batches a step is accumulated over
Run = Callable[[], float]  # seconds per batch


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    inputs, targets = batch
    return nn.functional.cross_entropy(model(inputs), targets)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01)


class Stopwatch:
    """From the first batch's step to the last one's: the start of an epoch, and of its workers, is not measured."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.begin()

    def begin(self) -> None:
        self.count = 0

    def lap(self) -> None:
        self.count += 1
        if self.count == 1:
            self.start = clock()
        elif self.count == self.steps:
            self.per_step = (clock() - self.start) / (self.steps - 1)


# ---- the plain loops -------------------------------------------------------------------------------------------------


class Plain:
    """What one would write without a framework."""

    def __init__(self, loader: Any, workers: Any, watch: Stopwatch) -> None:
        self.loader, self.workers, self.watch = loader, workers, watch

    def train(self, window: int = 1, loader: Any = None) -> float:
        self.watch.begin()
        model = network()
        optimizer = sgd(model)
        for index, batch in enumerate(loader or self.loader):
            self.watch.lap()
            loss = loss_of(model, batch)
            if window > 1:
                loss = loss / window
            if index % window == 0:
                optimizer.zero_grad()
            loss.backward()
            if (index + 1) % window == 0:
                optimizer.step()
        return self.watch.per_step

    def evaluate(self) -> float:
        self.watch.begin()
        model = network().eval()
        with torch.inference_mode():
            for batch in self.loader:
                self.watch.lap()
                loss_of(model, batch)
        return self.watch.per_step

    def predict(self) -> float:
        self.watch.begin()
        model = network().eval()
        outputs = []
        with torch.inference_mode():
            for inputs, _ in self.loader:
                self.watch.lap()
                outputs.append(model(inputs))
        return self.watch.per_step

    def runs(self) -> dict[str, Run]:
        return {
            **dict.fromkeys(("bare", "10 callbacks", "3 logs", "full set", "manual optimization"), self.train),
            "accumulate=4": lambda: self.train(WINDOW),
            "DataLoader, 2 workers": lambda: self.train(loader=self.workers),
            **dict.fromkeys(("evaluation", "evaluation, 1 log"), self.evaluate),
            "prediction": self.predict,
        }


# ---- torchbus and Lightning: the same code, another import -----------------------------------------------------------


class LightningLike:
    """The cases in Lightning's API; ``namespace`` is the module that offers it."""

    def __init__(self, namespace: str, loader: Any, workers: Any, watch: Stopwatch) -> None:
        self.namespace: Any = importlib.import_module(namespace)
        self.callbacks: Any = importlib.import_module(f"{namespace}.callbacks")
        self.loggers: Any = importlib.import_module(f"{namespace}.loggers")
        self.loader, self.workers, self.watch = loader, workers, watch
        self.modules = lightning_modules(self.namespace, watch)

    def run(self, module: str, callbacks: Any = (), loader: Any = None, entry: str = "fit", **options: Any) -> float:
        self.watch.begin()
        settings = {
            "accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_checkpointing": False,
            "enable_progress_bar": False, "enable_model_summary": False, **options,
        }  # fmt: skip
        trainer = self.namespace.Trainer(callbacks=list(callbacks), **settings)
        getattr(trainer, entry)(self.modules[module](), loader or self.loader)
        return self.watch.per_step

    def watchers(self) -> list[Any]:
        class Watcher(self.namespace.Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                self.started = batch_idx

            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                self.ended = batch_idx

        return [Watcher() for _ in range(10)]

    def full_set(self) -> float:
        """What a usual script has: TensorBoard, a progress bar, three values logged, and the usual callbacks."""
        with tempfile.TemporaryDirectory() as folder:
            callbacks = [
                self.callbacks.EarlyStopping("per_epoch", check_on_train_epoch_end=True),
                self.callbacks.ModelCheckpoint(monitor="per_epoch"), self.callbacks.LearningRateMonitor("step"),
                self.callbacks.Timer(), self.callbacks.RichProgressBar(),
            ]  # fmt: skip
            switches = {"enable_progress_bar": True, "enable_checkpointing": True, "default_root_dir": folder}
            return self.run("logging", callbacks, logger=self.loggers.TensorBoardLogger(folder), **switches)

    def runs(self) -> dict[str, Run]:
        return {
            "bare": lambda: self.run("bare"),
            "10 callbacks": lambda: self.run("bare", self.watchers()),
            "3 logs": lambda: self.run("logging"),
            "full set": self.full_set,
            "accumulate=4": lambda: self.run("bare", accumulate_grad_batches=WINDOW),
            "manual optimization": lambda: self.run("manual"),
            "DataLoader, 2 workers": lambda: self.run("bare", loader=self.workers),
            "evaluation": lambda: self.run("evaluated", entry="validate"),
            "evaluation, 1 log": lambda: self.run("evaluated, logging", entry="validate"),
            "prediction": lambda: self.run("evaluated", entry="predict"),
        }


def lightning_modules(namespace: Any, watch: Stopwatch) -> dict[str, Callable[[], Any]]:
    """Modules of the namespace, by what they do."""

    class Module(namespace.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch, batch_idx):
            watch.lap()
            return loss_of(self.network, batch)

        def configure_optimizers(self):
            return sgd(self)

    class Logging(Module):
        def training_step(self, batch, batch_idx):
            watch.lap()
            loss = loss_of(self.network, batch)
            self.log("forked", loss, on_step=True, on_epoch=True)
            self.log("per_epoch", loss, on_step=False, on_epoch=True)
            self.log("number", 1.0)
            return loss

    class Manual(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            watch.lap()
            optimizer = self.optimizers()
            loss = loss_of(self.network, batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    class Evaluated(Module):
        def validation_step(self, batch, batch_idx):
            watch.lap()
            return loss_of(self.network, batch)

        def predict_step(self, batch, batch_idx):
            watch.lap()
            return self.network(batch[0])

    class EvaluatedLogging(Evaluated):
        def validation_step(self, batch, batch_idx):
            watch.lap()
            self.log("val_loss", loss_of(self.network, batch))

    names = ("bare", "logging", "manual", "evaluated", "evaluated, logging")
    return dict(zip(names, (Module, Logging, Manual, Evaluated, EvaluatedLogging), strict=True))


# ---- Ignite ----------------------------------------------------------------------------------------------------------


class Ignite:
    """An engine around the plain step. Manual optimization is what all of its training is."""

    def __init__(self, loader: Any, workers: Any, watch: Stopwatch) -> None:
        self.engines: Any = importlib.import_module("ignite.engine")
        self.handlers: Any = importlib.import_module("ignite.handlers")
        self.metrics: Any = importlib.import_module("ignite.metrics")
        self.loader, self.workers, self.watch = loader, workers, watch

    def trainer(self, window: int = 1) -> Any:
        model = network()
        optimizer = sgd(model)

        def step(engine: Any, batch: Any) -> Any:
            self.watch.lap()
            loss = loss_of(model, batch)
            if window > 1:
                loss = loss / window
            if (engine.state.iteration - 1) % window == 0:
                optimizer.zero_grad()
            loss.backward()
            if engine.state.iteration % window == 0:
                optimizer.step()
            return loss.detach()

        engine = self.engines.Engine(step)
        engine.model, engine.optimizer = model, optimizer
        return engine

    def run(self, engine: Any, loader: Any = None) -> float:
        self.watch.begin()
        engine.run(loader or self.loader, max_epochs=1)
        return self.watch.per_step

    def with_logs(self) -> Any:
        engine, average = self.trainer(), self.metrics.Average
        average().attach(engine, "forked_step", usage=self.metrics.metric.BatchWise())
        average().attach(engine, "forked_epoch")
        average().attach(engine, "per_epoch")
        average(lambda output: 1.0).attach(engine, "number", usage=self.metrics.metric.BatchWise())
        return engine

    def with_handlers(self) -> Any:
        engine, events = self.trainer(), self.engines.Events
        seen: dict[int, int] = {}
        for number in range(10):
            for event in (events.ITERATION_STARTED, events.ITERATION_COMPLETED):
                engine.add_event_handler(event, lambda engine, n=number: seen.update({n: engine.state.iteration}))
        return engine

    def full_set(self) -> float:
        from ignite.handlers import tensorboard_logger as tensorboard

        engine, events = self.with_logs(), self.engines.Events
        with tempfile.TemporaryDirectory() as folder:
            score = lambda engine: -float(engine.state.metrics["per_epoch"])  # noqa: E731
            engine.add_event_handler(events.EPOCH_COMPLETED, self.handlers.EarlyStopping(3, score, engine))
            saved = {"model": engine.model, "optimizer": engine.optimizer}
            engine.add_event_handler(
                events.EPOCH_COMPLETED, self.handlers.Checkpoint(saved, folder, score_function=score)
            )
            self.handlers.Timer().attach(engine)
            self.handlers.ProgressBar(persist=False).attach(engine, metric_names=["forked_step"])
            every = events.ITERATION_COMPLETED(every=50)
            with tensorboard.TensorboardLogger(log_dir=folder) as logger:
                logger.attach_opt_params_handler(engine, event_name=every, optimizer=engine.optimizer)
                values = {"tag": "training", "metric_names": ["forked_step", "number"]}
                logger.attach_output_handler(engine, event_name=every, **values)
                return self.run(engine)

    def evaluator(self, step: Callable[[nn.Module, Any], Any]) -> Any:
        model = network().eval()

        def evaluate(engine: Any, batch: Any) -> Any:
            self.watch.lap()
            with torch.inference_mode():
                return step(model, batch)

        return self.engines.Engine(evaluate)

    def evaluation_with_log(self) -> float:
        engine = self.evaluator(loss_of)
        self.metrics.Average().attach(engine, "val_loss")
        return self.run(engine)

    def prediction(self) -> float:
        engine, outputs = self.evaluator(lambda model, batch: model(batch[0])), []
        engine.add_event_handler(
            self.engines.Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output)
        )
        return self.run(engine)

    def runs(self) -> dict[str, Run]:
        return {
            "bare": lambda: self.run(self.trainer()),
            "10 callbacks": lambda: self.run(self.with_handlers()),
            "3 logs": lambda: self.run(self.with_logs()),
            "full set": self.full_set,
            "accumulate=4": lambda: self.run(self.trainer(WINDOW)),
            "DataLoader, 2 workers": lambda: self.run(self.trainer(), self.workers),
            "evaluation": lambda: self.run(self.evaluator(loss_of)),
            "evaluation, 1 log": self.evaluation_with_log,
            "prediction": self.prediction,
        }


# ---- Accelerate ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def installed_path() -> Iterator[None]:
    """The import path without the folders of editable installs.

    Accelerate asks at each step whether a package is installed, which takes the longer the more folders there are. A workspace
    of editable distributions has one for each, users have one for all.
    """
    before = sys.path[:]
    sys.path[:] = [folder for folder in before if not folder.startswith(str(WORKSPACE)) or "site-packages" in folder]
    try:
        yield
    finally:
        sys.path[:] = before


class Accelerate:
    """The plain loop with prepared parts. It has neither callbacks nor logged values, and its loop is always one's own."""

    def __init__(self, loader: Any, workers: Any, watch: Stopwatch) -> None:
        self.accelerator_class: Any = importlib.import_module("accelerate").Accelerator
        self.loader, self.workers, self.watch = loader, workers, watch

    def train(self, window: int = 1, loader: Any = None) -> float:
        self.watch.begin()
        accelerator = self.accelerator_class(cpu=True, gradient_accumulation_steps=window)
        model = network()
        model, optimizer, batches = accelerator.prepare(model, sgd(model), loader or self.loader)
        for batch in batches:
            self.watch.lap()
            with accelerator.accumulate(model) if window > 1 else contextlib.nullcontext():
                loss = loss_of(model, batch)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        return self.watch.per_step

    def evaluate(self, step: Callable[[nn.Module, Any], Any]) -> float:
        self.watch.begin()
        accelerator = self.accelerator_class(cpu=True)
        model, batches = accelerator.prepare(network().eval(), self.loader)
        outputs = []
        with torch.inference_mode():
            for batch in batches:
                self.watch.lap()
                outputs.append(step(model, batch))
        return self.watch.per_step

    def runs(self) -> dict[str, Run]:
        runs: dict[str, Run] = {
            "bare": self.train,
            "accumulate=4": lambda: self.train(WINDOW),
            "DataLoader, 2 workers": lambda: self.train(loader=self.workers),
            "evaluation": lambda: self.evaluate(loss_of),
            "prediction": lambda: self.evaluate(lambda model, batch: model(batch[0])),
        }
        return {name: installed_path()(run) for name, run in runs.items()}


FRAMEWORKS: dict[str, Callable[[Any, Any, Stopwatch], Any]] = {
    "torchbus": lambda *parts: LightningLike("torchbus", *parts),
    "Lightning": lambda *parts: LightningLike("lightning.pytorch", *parts),
    "Ignite": Ignite,
    "Accelerate": Accelerate,
}


def frameworks(loader: Any, workers: Any, watch: Stopwatch) -> dict[str, dict[str, Run]]:
    """The cases of each framework that is installed."""
    found = {"plain": Plain(loader, workers, watch).runs()}
    for name, make in FRAMEWORKS.items():
        try:
            found[name] = make(loader, workers, watch).runs()
        except ModuleNotFoundError as error:
            print(f"{name}: left out, there is no module {error.name!r} (pip install -e '.[bench]')")
    return found


def compare(case: str, found: dict[str, dict[str, Run]], rounds: int) -> dict[str, dict[str, float]]:
    """Figures of one case by framework; ratios are to the plain loop."""
    runs = {name: quietly(cases[case]) for name, cases in found.items() if case in cases}
    figures = in_turn(runs, rounds)
    for name, figure in figures.items():
        figure["ratio"] = figure["min_us"] / figures["plain"]["min_us"]
        figure["ratio_of_medians"] = figure["median_us"] / figures["plain"]["median_us"]
        print(
            f"{case:<24}{name:<12}{figure['min_us']:>9.1f}{figure['median_us']:>11.1f}{figure['ratio']:>8.2f}{figure['ratio_of_medians']:>12.2f}"
        )
    return figures


def quietly(run: Run) -> Run:
    def silent() -> float:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return run()

    return silent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--case", action="append", help="only this case; may be given several times")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    loader = Batches(options.steps)
    data = TensorDataset(torch.randn(options.steps * BATCH, 32), torch.randint(0, 2, (options.steps * BATCH,)))
    found = frameworks(loader, DataLoader(data, batch_size=BATCH, num_workers=2), Stopwatch(options.steps))
    print(f"{about()['versions']}, {options.steps} steps, {options.rounds} rounds, one thread")
    print(f"{'case':<24}{'':<12}{'min us':>9}{'median us':>11}{'ratio':>8}{'of medians':>12}")
    cases = options.case or list(found["plain"])
    save(options.json, {case: compare(case, found, options.rounds) for case in cases})


if __name__ == "__main__":
    main()
