"""How torchbus grows with what it is given: `python tests/benchmarks/growth.py`.

A step with more plugins, more logged values, more parameter groups; time and memory of longer runs; finding plugins among more
installed distributions; registering and arranging more plugins.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchbus as L
from measuring import about, clock, in_turn, make_distribution, rss_mib, save
from step import Batches, Module, Watcher, framework
from torch import nn
from torchbus import Bus
from torchbus._discovery import discover
from torchbus_hookspecs.events import TrainBatchEnd, TrainBatchStart

PLUGINS = (0, 1, 10, 30, 100)
LOGS = (0, 1, 3, 10, 30, 100)
GROUPS = (1, 10, 100)
STEPS = (1_000, 10_000, 100_000, 1_000_000)
DISTRIBUTIONS = (10, 100, 300, 1000)


class Logging(Module):
    """Logs so many values, each per step and per epoch."""

    def __init__(self, logs: int) -> None:
        super().__init__()
        self.names = [f"value_{number}" for number in range(logs)]

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        for name in self.names:
            self.log(name, loss, on_step=True, on_epoch=True)
        return loss


class Grouped(Module):
    """Each group has a parameter of its own; the loss depends on all."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.extra = nn.ParameterList(torch.zeros(1) for _ in range(groups - 1))

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss + torch.cat(list(self.extra)).sum() if len(self.extra) else loss

    def configure_optimizers(self):
        extra = [{"params": [parameter]} for parameter in self.extra]
        return torch.optim.SGD([{"params": self.network.parameters()}, *extra], lr=0.01)


class Repeated:
    """Some batches over and over: a long run whose data take no memory."""

    def __init__(self, batches: Batches, steps: int) -> None:
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(itertools.cycle(self.batches), self.steps)


def plain(module: L.LightningModule, batches: Any) -> float:
    """The loop a module would have without a trainer; what it logs is not kept."""
    optimizer = module.configure_optimizers()
    start = clock()
    for index, batch in enumerate(batches):
        loss = module.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (clock() - start) / len(batches)


def by_plugins(batches: Batches, rounds: int) -> Any:
    runs = {
        str(count): lambda count=count: framework(batches, Module(), [Watcher() for _ in range(count)])
        for count in PLUGINS
    }
    return in_turn({"plain": lambda: plain(Module(), batches), **runs}, rounds)


def by_logs(batches: Batches, rounds: int) -> Any:
    runs = {str(count): lambda count=count: framework(batches, Logging(count), []) for count in LOGS}
    return in_turn({"plain": lambda: plain(Module(), batches), **runs}, rounds)


def by_groups(batches: Batches, rounds: int) -> Any:
    runs: dict[str, Callable[[], float]] = {}
    for count in GROUPS:
        runs[f"{count}, plain"] = partial(lambda count: plain(Grouped(count), batches), count)
        runs[f"{count}"] = partial(lambda count: framework(batches, Grouped(count), []), count)
    return in_turn(runs, rounds)


def by_steps(batches: Batches, longest: int) -> Any:
    """One run of each length, three values logged; memory held at its end, less than at its begin."""
    figures = {}
    framework(Repeated(batches, 500), Logging(3), [])
    for steps in (steps for steps in STEPS if steps <= longest):
        before = rss_mib()
        seconds = framework(Repeated(batches, steps), Logging(3), [])
        figures[str(steps)] = {"min_us": seconds * 1e6, "rss_mib": rss_mib(), "rss_growth_mib": rss_mib() - before}
    return figures


def best(run: Callable[[], object], rounds: int) -> float:
    """The least milliseconds."""
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times) * 1e3


def by_distributions(rounds: int) -> Any:
    """Milliseconds to find all plugins, with so many more distributions installed than there are."""
    figures = {"0": {"min_ms": best(discover, rounds)}}
    for count in DISTRIBUTIONS:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                make_distribution(Path(folder), number)
            sys.path.append(folder)
            try:
                found = len(discover())
                figures[str(count)] = {"min_ms": best(discover, rounds), "found": found}
            finally:
                sys.path.remove(folder)
    return figures


def bus_with(count: int) -> tuple[Bus, Callable[[], None]]:
    """A bus with so many plugins of two hooks, and what emits both."""
    bus = Bus()
    start, end = bus.emitter(TrainBatchStart), bus.emitter(TrainBatchEnd)
    for number in range(count):
        bus.register(Watcher(), f"watcher_{number}")

    def emit() -> None:
        start(None, None, None, 0)
        end(None, None, None, None, 0)

    emit()
    return bus, emit


def by_registered(rounds: int) -> Any:
    """Milliseconds to register plugins of two hooks one by one, to add one more, and to set another order; until both are heard."""
    figures = {}
    for count in (10, 50, 100):
        bus, emit = bus_with(count)
        orders = itertools.cycle([list(bus.plugins), list(bus.plugins)[::-1]])
        next(orders)

        def one_more(bus: Bus = bus, emit: Callable[[], None] = emit) -> None:
            bus.register(Watcher(), "one_more")
            emit()
            bus.unregister("one_more")
            emit()

        def another_order(bus: Bus = bus, emit: Callable[[], None] = emit, orders: Any = orders) -> None:
            bus.arrange(next(orders))
            emit()

        figures[str(count)] = {
            "register_all_ms": best(lambda count=count: bus_with(count), rounds),
            "come_and_go_ms": best(one_more, rounds),
            "recompile_ms": best(another_order, rounds),
        }
    return figures


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    print(title)
    for name, values in figures.items():
        print(f"  {name:<12}" + "".join(f"{key} {value:<12.5g}" for key, value in values.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150, help="of each short run")
    parser.add_argument("--longest", type=int, default=STEPS[-1], help="leave out runs of more steps")
    parser.add_argument("--part", action="append", help="only this part; may be given several times")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    batches = Batches(options.steps)
    print(about()["versions"])
    parts: dict[str, Callable[[], Any]] = {
        "plugins": lambda: by_plugins(batches, options.rounds),
        "logs": lambda: by_logs(batches, options.rounds),
        "groups": lambda: by_groups(batches, options.rounds),
        "steps": lambda: by_steps(batches, options.longest),
        "distributions": lambda: by_distributions(options.rounds),
        "registered": lambda: by_registered(options.rounds),
    }
    figures = {}
    for title in options.part or parts:
        with contextlib.redirect_stdout(io.StringIO()):
            figures[title] = parts[title]()
        show(title, figures[title])
    save(options.json, figures)


if __name__ == "__main__":
    main()
