"""Tables and plots of docs/performance.md from the figures that the others wrote: `python tests/benchmarks/report.py docs/figures`.

The folder holds `peers.json`, `growth.json`, `checkpoints.json` and `start.json`. Prints the tables as Markdown, and puts two plots
into the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

COLOURS = {"torchbus": "#2a6fbb", "Ignite": "#6aa84f", "Accelerate": "#999999", "Lightning": "#c0504d"}


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    lines = [list(head), None, *rows]
    width = len(lines[0] or [])
    for line in lines:
        print("|" + "---|" * width if line is None else "| " + " | ".join(str(one) for one in line) + " |")
    print()


def peers_table(figures: dict[str, Any]) -> None:
    def cell(one: dict[str, float] | None) -> str:
        return "" if one is None else f"{one['ratio']:.2f}"

    rows = (
        [case, f"{found['plain']['min_us']:.0f}", *(cell(found.get(name)) for name in COLOURS)]
        for case, found in figures.items()
    )
    table(("case", "plain loop, µs", *COLOURS), rows)


def growth_tables(figures: dict[str, Any]) -> None:
    for part in ("plugins", "logs"):
        plain = figures[part].pop("plain")["min_us"]
        rows = [[count, f"{one['min_us']:.0f}", f"{one['min_us'] - plain:.0f}"] for count, one in figures[part].items()]
        table((part, "µs a step", f"more than the plain loop's {plain:.0f}"), rows)
    groups = figures["groups"]
    counts = [name for name in groups if "plain" not in name]
    table(
        ("parameter groups", "plain loop, µs", "torchbus, µs"),
        ([n, f"{groups[f'{n}, plain']['min_us']:.0f}", f"{groups[n]['min_us']:.0f}"] for n in counts),
    )
    table(
        ("steps", "µs a step", "memory at the end, MiB", "more than at the start, MiB"),
        (
            [f"{int(n):,}", f"{one['min_us']:.0f}", f"{one['rss_mib']:.0f}", f"{one['rss_growth_mib']:.1f}"]
            for n, one in figures["steps"].items()
        ),
    )
    table(
        ("more distributions", "finding plugins, ms"),
        ([n, f"{one['min_ms']:.0f}"] for n, one in figures["distributions"].items()),
    )
    table(
        ("plugins", "registering all, ms", "one comes and goes, ms", "another order, ms"),
        ([n, *(f"{value:.2f}" for value in one.values())] for n, one in figures["registered"].items()),
    )


def checkpoint_tables(figures: dict[str, Any]) -> None:
    for size, found in figures.items():
        rows = [[name, f"{one['min_s']:.3f}", f"{one['extra_mib']:.0f}"] for name, one in found.items()]
        table((f"{int(size):,} parameters", "s", "memory on top, MiB"), rows)


def start_table(figures: dict[str, Any]) -> None:
    table(("", "s"), ([name, f"{one['min_s']:.2f}"] for name, one in figures.items()))


def plot_peers(figures: dict[str, Any], target: Path) -> None:
    """Bars: how long a step takes, as a multiple of the plain loop's."""
    figure, axes = plt.subplots(figsize=(8, 5.5))
    cases = list(figures)[::-1]
    for index, (name, colour) in enumerate(COLOURS.items()):
        places = [place + 0.3 - 0.2 * index for place, case in enumerate(cases) if name in figures[case]]
        ratios = [figures[case][name]["ratio"] for case in cases if name in figures[case]]
        axes.barh(places, ratios, height=0.2, color=colour, label=name)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(cases)), cases)
    axes.set_xlabel("time of a small step, multiple of the plain loop's (logarithmic; shorter is better)")
    axes.legend(frameon=False)
    finish(figure, target)


def plot_growth(figures: dict[str, Any], target: Path) -> None:
    """Lines: how each cost grows with what it depends on."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6))
    plugins, logs, groups, steps, memory, found = axes.flat
    for panel, part, label in (
        (plugins, "plugins", "callbacks of two hooks"),
        (logs, "logs", "values logged by step and epoch"),
    ):
        plain = figures[part]["plain"]["min_us"]
        values = {int(count): one["min_us"] - plain for count, one in figures[part].items() if count != "plain"}
        curve(panel, values, label, "µs a step, beyond the plain loop")
    for suffix, label, colour in ((", plain", "plain loop", "#999999"), ("", "torchbus", "#2a6fbb")):
        counts = [name for name in figures["groups"] if "plain" not in name]
        values = {int(count): figures["groups"][f"{count}{suffix}"]["min_us"] for count in counts}
        curve(groups, values, "parameter groups", "µs a step", colour=colour, name=label)
    groups.legend(frameon=False)
    lengths = {int(count): one for count, one in figures["steps"].items()}
    curve(steps, {count: one["min_us"] for count, one in lengths.items()}, "steps of a run", "µs a step")
    curve(
        memory,
        {count: one["rss_growth_mib"] for count, one in lengths.items()},
        "steps of a run",
        "MiB more at its end",
    )
    memory.set_ylim(-1, max(5.0, memory.get_ylim()[1]))
    for panel in (steps, memory):
        panel.set_xscale("log")
    more = {int(count): one["min_ms"] for count, one in figures["distributions"].items()}
    curve(found, more, "more distributions installed", "ms to find all plugins")
    finish(figure, target)


def curve(
    panel: Any, values: dict[int, float], along: str, what: str, colour: str = "#2a6fbb", name: str | None = None
) -> None:
    panel.plot(list(values), list(values.values()), marker="o", color=colour, label=name)
    panel.set_xlabel(along)
    panel.set_ylabel(what)
    panel.set_ylim(0, max(1.1 * max(values.values()), panel.get_ylim()[1]))


def finish(figure: Any, target: Path) -> None:
    for panel in figure.axes:
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    matplotlib.rcParams["svg.hashsalt"] = "torchbus"  # the same figures give the same file
    tables = {"peers": peers_table, "growth": growth_tables, "checkpoints": checkpoint_tables, "start": start_table}
    for name, write in tables.items():
        if not (folder / f"{name}.json").exists():
            continue
        known = json.loads((folder / f"{name}.json").read_text())
        print(f"{known['command']}: {known['about']}\n")
        if name == "peers":
            plot_peers(known["figures"], folder / "peers.svg")
        if name == "growth":
            plot_growth(known["figures"], folder / "growth.svg")
        write(known["figures"])


if __name__ == "__main__":
    main()
