"""What emitting costs, side by side with pluggy: `make bench`, or `python tests/benchmarks/bus.py`.

Three questions: an event that nobody hears, one heard by ten implementations, one somebody subscribes to.
"""

from __future__ import annotations

import argparse
import platform
import timeit
from pathlib import Path
from typing import Any

import pluggy
from measuring import clock, save
from torchbus import Bus, Callback
from torchbus_hookspecs import specs
from torchbus_hookspecs.events import TrainBatchEnd
from torchbus_hookspecs.markers import PROJECT

NUMBER = 50_000
ROUNDS = 9
ARGUMENTS = "trainer, module, outputs, batch, batch_idx"
VALUES: dict[str, Any] = dict.fromkeys(ARGUMENTS.split(", "), 1)
KEYWORDS = "trainer=trainer, pl_module=module, outputs=outputs, batch=batch, batch_idx=batch_idx"


class Hearing(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen = batch_idx


def nanoseconds(statement: str, names: dict[str, Any]) -> float:
    timer = timeit.Timer(statement, globals={**VALUES, **names}, timer=clock)
    return min(timer.repeat(ROUNDS, NUMBER)) / NUMBER * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    plain = pluggy.PluginManager(PROJECT)
    plain.add_hookspecs(specs)
    bus = Bus()
    emit = bus.emitter(TrainBatchEnd)
    figures = {
        "nobody hears: pluggy": nanoseconds(f"hook({KEYWORDS})", {"hook": plain.hook.on_train_batch_end}),
        "nobody hears: torchbus": nanoseconds(f"emit({ARGUMENTS})", {"emit": emit}),
    }
    hearers = [Hearing() for _ in range(10)]
    for index, one in enumerate(hearers):
        bus.register(one, f"hearer_{index}")
    methods = {f"m{index}": one.on_train_batch_end for index, one in enumerate(hearers)}
    direct = "; ".join(f"{name}({ARGUMENTS})" for name in methods)
    figures["ten hear: direct calls"] = nanoseconds(direct, methods)
    figures["ten hear: pluggy"] = nanoseconds(f"hook({KEYWORDS})", {"hook": bus.manager.hook.on_train_batch_end})
    figures["ten hear: torchbus"] = nanoseconds(f"emit({ARGUMENTS})", {"emit": emit})
    figures["building the event"] = nanoseconds(f"Event({ARGUMENTS})", {"Event": TrainBatchEnd})
    bus.subscribe(TrainBatchEnd, lambda event: None)
    figures["ten hear, one subscribed: torchbus"] = nanoseconds(f"emit({ARGUMENTS})", {"emit": emit})

    print(f"pluggy {pluggy.__version__}, Python {platform.python_version()}; minima of {ROUNDS} rounds, ns a call")
    for name, value in figures.items():
        print(f"{name:<36}{value:>9.0f}")
    empty = figures["nobody hears: torchbus"] / figures["nobody hears: pluggy"]
    ten = figures["ten hear: torchbus"] / figures["ten hear: direct calls"]
    print(f"nobody hears: {empty:.3f} of pluggy's empty call")
    print(f"ten hear:     {ten:.3f} of ten direct calls")
    save(options.json, figures)


if __name__ == "__main__":
    main()
