"""Panels and curves as a picture. Uses matplotlib's objects only: no pyplot, no window, no state that lasts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ._curves import Point
from ._grouping import Line, Panel, arranged

__all__ = ["XAxis", "draw"]

XAxis = Literal["step", "epoch"]

STAGE_COLOURS = {"train": "#2f6db3", "val": "#e0782f", "test": "#3a9a68"}
COLOURS = ("#2f6db3", "#e0782f", "#3a9a68", "#b64a6e", "#7a5bb5", "#a37c27", "#3b9fb3", "#8a8f3c")
INK, FAINT, GRID, ALARM = "#24303b", "#a5afb8", "#e6eaee", "#c8312b"
LEFT, RIGHT, ABOVE, BELOW, HEAD = 0.75, 0.25, 0.4, 0.45, 0.3
"""Inches beside, above and below a panel, and above all of them."""
MANY_POINTS = 40
MANY_LINES = 8
"""Lines of one panel that have a colour and a name; further ones are faint."""


@dataclass(frozen=True, slots=True)
class _Values:
    """The points of one line as two columns, with NaN where there is nothing to draw."""

    x: list[float]
    y: list[float]

    @property
    def finite(self) -> list[float]:
        return [value for value in self.y if math.isfinite(value)]


def draw(
    curves: Mapping[str, Sequence[Point]], path: Path, file_format: str, x_axis: XAxis, log_scale: bool, title: str
) -> None:
    """Draw all curves into one file.

    Args:
        curves: the points of each metric.
        path: the file.
        file_format: ``"png"``, ``"svg"`` or ``"pdf"``.
        x_axis: what points lie above.
        log_scale: logarithmic values in panels where all are positive.
        title: what stands above all panels.

    Raises:
        OSError: the file cannot be written.
    """
    panels = arranged(curves)
    columns = 1 if len(panels) == 1 else 2 if len(panels) <= 4 else 3
    rows = math.ceil(len(panels) / columns)
    wide, high = (6.4, 3.6) if len(panels) == 1 else (3.9, 2.2)
    # places in inches rather than a layout engine: many times faster, and nothing jumps from one picture to the next
    width, height = columns * (wide + LEFT) + RIGHT, rows * (high + BELOW + ABOVE) + HEAD
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    figure.text(LEFT / width, 1 - 0.26 / height, title, fontsize=9, color="#6b7781")
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        x, y = column * (wide + LEFT) + LEFT, height - HEAD - row * (high + BELOW + ABOVE) - ABOVE - high
        axes = figure.add_axes((x / width, y / height, wide / width, high / height))
        values = {line.name: _columns(curves[line.name], x_axis) for line in panel.lines}
        _style(axes, x_axis if index >= len(panels) - columns else "")
        _fill(axes, panel, values)
        _scale(axes, panel, values, log_scale)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        figure.savefig(path, format=file_format, metadata={"Date": None} if file_format == "svg" else None)


def _columns(points: Sequence[Point], x_axis: XAxis) -> _Values:
    place = 0 if x_axis == "step" else 1
    return _Values([point[place] for point in points], [point[2] for point in points])


# ---- one panel --------------------------------------------------------------------------------------------------------


def _style(axes: Axes, x_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=8.5, color=INK)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor="#4a5660", length=3)
    axes.tick_params(which="minor", color=FAINT, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_short(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def _fill(axes: Axes, panel: Panel, values: Mapping[str, _Values]) -> None:
    named, faint = _chosen(panel.lines, values)
    has_epochs = {line.stage for line in panel.lines if line.moment == "epoch"}
    used: list[str] = []
    taken = STAGE_COLOURS.values() if any(line.stage for line in named) else ()
    free = [one for one in COLOURS if one not in taken]
    for line in named:
        # the same stage per step and per epoch: one colour, the first in the background
        is_background = line.moment == "step" and line.stage in has_epochs
        colour = STAGE_COLOURS.get(line.stage, "")
        if not colour or (colour in used and not line.moment):
            colour = next((one for one in free if one not in used), free[len(used) % len(free)])
        used.append(colour)
        _plot(
            axes, values[line.name], colour, _shortened(line.label, 38), width=0.9 if is_background else 1.6,
            alpha=0.4 if is_background else 1.0, layer=2.0,
        )  # fmt: skip
    for line in faint:
        label = f"{len(faint)} others" if line is faint[0] else "_"
        _plot(axes, values[line.name], FAINT, label, width=0.8, alpha=0.6, layer=1.5)
    is_obvious = len(panel.lines) == 1 and panel.lines[0].label == panel.title
    if not is_obvious:
        legend = axes.legend(
            fontsize=7.5, framealpha=0.8, edgecolor="none", labelcolor=INK, handlelength=1.4, labelspacing=0.3, loc="best",
            borderpad=0.2,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)


def _chosen(lines: Sequence[Line], values: Mapping[str, _Values]) -> tuple[list[Line], list[Line]]:
    """Lines to name and lines to leave faint: where there are many, those that end highest are named."""
    if len(lines) <= MANY_LINES:
        return list(lines), []
    by_end = sorted(lines, key=lambda line: (values[line.name].finite or [-math.inf])[-1], reverse=True)
    named = {line.name for line in by_end[: MANY_LINES - 2]}
    return [line for line in by_end if line.name in named], [line for line in lines if line.name not in named]


def _plot(axes: Axes, values: _Values, colour: str, label: str, width: float, alpha: float, layer: float) -> None:
    y = [value if math.isfinite(value) else math.nan for value in values.y]
    lonely = [
        index
        for index, value in enumerate(y)
        if not math.isnan(value)
        and all(math.isnan(one) for one in (*y[max(index - 1, 0) : index], *y[index + 1 : index + 2]))
    ]
    few = len(y) <= MANY_POINTS
    axes.plot(
        values.x, y, color=colour, label=label, linewidth=width, alpha=alpha, solid_capstyle="round",
        solid_joinstyle="round", marker="o", markersize=3.2 if width > 1 else 2.4, markeredgewidth=0,
        markevery=None if few else lonely, zorder=layer,
    )  # fmt: skip
    lost = [x for x, value in zip(values.x, y, strict=True) if math.isnan(value)]
    axes.plot(
        lost, [0.0] * len(lost), color=ALARM, linestyle="", marker="|", markersize=7, markeredgewidth=1.2, label="_",
        transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
    )  # fmt: skip


def _scale(axes: Axes, panel: Panel, values: Mapping[str, _Values], log_scale: bool) -> None:
    finite = [value for one in values.values() for value in one.finite]
    lost = sum(len(one.y) - len(one.finite) for one in values.values())
    axes.set_title(
        _shortened(panel.title, 28 if lost else 40),
        loc="left",
        fontsize=10,
        fontweight="bold",
        color=INK,
        parse_math=False,
    )
    if lost:
        axes.set_title(f"{lost} not finite", loc="right", fontsize=7.5, color=ALARM)
    if not finite:
        axes.set_yticks([])
        return
    low, high = min(finite), max(finite)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        axes.set_ylim(low - margin, high + margin)
    elif low > 0 and (log_scale or (panel.is_rate and high / low > 20)):
        axes.set_yscale("log")
        if high / low < 10:  # between two powers of ten a logarithmic axis has no figures of its own
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axes.tick_params(which="minor", labelsize=7.5, labelcolor="#4a5660")


def _shortened(text: str, length: int) -> str:
    """The text, with its middle left out where it is long: beginnings and ends tell names apart."""
    if text.startswith("_"):
        text = f" {text}"  # matplotlib's sign for "not in the legend"
    if len(text) <= length:
        return text
    head = length // 2 - 1
    return f"{text[:head]}…{text[-(length - head - 1) :]}"


def _in_short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
