"""Which curves share a panel, and what they are called there. Knows nothing of torchbus and of matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["Line", "Panel", "Stage", "arranged"]

Stage = Literal["train", "val", "test", ""]

STAGES: dict[str, Stage] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
MOMENTS = ("step", "epoch")
ORDER: tuple[Stage, ...] = ("train", "val", "test", "")
LOADER = re.compile(r"/dataloader_idx_(\d+)$")
WORD = re.compile(r"[_/. -]")
RATES = "learning rate"
BRANCH = 3
"""From so many curves on, those with one beginning (`grad_norm/...`) share a panel."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve in its panel.

    Attributes:
        name: the metric.
        label: what the legend calls it.
        stage: the stage it is of, or empty.
        moment: ``"step"``, ``"epoch"`` or empty, where the name says it.
    """

    name: str
    label: str
    stage: Stage = ""
    moment: str = ""


@dataclass(slots=True)
class Panel:
    """Curves of one quantity.

    Attributes:
        title: the quantity.
        lines: the curves.
        is_rate: whether it shows learning rates.
    """

    title: str
    lines: list[Line] = field(default_factory=list)
    is_rate: bool = False


def arranged(names: Iterable[str]) -> list[Panel]:
    """Panels for metrics: one for each quantity, its stages together; learning rates last.

    ``train_loss``, ``val_loss`` and ``loss_epoch`` are one quantity, ``loss``. Three or more metrics that begin alike up to a
    slash, such as ``grad_norm/layer1.weight``, are one as well.
    """
    parts = {name: _split(name) for name in dict.fromkeys(names)}
    branches: dict[str, int] = {}
    for name, (quantity, *_) in parts.items():
        stem, slash, _ = quantity.partition("/")
        if slash and not _is_rate(name):
            branches[stem] = branches.get(stem, 0) + 1
    panels: dict[str, Panel] = {}
    for name, (quantity, stage, moment, loader) in parts.items():
        if _is_rate(name):
            panels.setdefault(RATES, Panel(RATES, is_rate=True)).lines.append(Line(name, name.removeprefix("lr-")))
            continue
        stem, slash, rest = quantity.partition("/")
        shares = bool(slash) and branches[stem] >= BRANCH
        words = [rest if shares else "", stage, f"loader {loader}" if loader else ""]
        label = ", ".join(word for word in words if word)
        title = stem if shares else quantity
        panels.setdefault(title, Panel(title)).lines.append(Line(name, label, stage, moment))
    for panel in panels.values():
        panel.lines = [_labelled(line, panel) for line in sorted(panel.lines, key=lambda one: ORDER.index(one.stage))]
        _drop_common_beginning(panel)
    return sorted(panels.values(), key=_rank)


def _labelled(line: Line, panel: Panel) -> Line:
    """The line with a label that no other line of its panel has."""
    if sum(one.label == line.label for one in panel.lines) == 1:
        label = line.label or panel.title
    else:
        label = ", ".join(word for word in (line.label, f"per {line.moment}" if line.moment else "") if word)
    return Line(line.name, label or line.name, line.stage, line.moment)


def _drop_common_beginning(panel: Panel) -> None:
    """Where names are paths of modules, leave out what all of them begin with."""
    paths = [line.label.split(".") for line in panel.lines if "." in line.label]
    if len(paths) < 2:
        return
    common = 0
    while all(len(path) > common + 1 and path[common] == paths[0][common] for path in paths):
        common += 1
    start = "".join(f"{part}." for part in paths[0][:common])
    for index, line in enumerate(panel.lines):
        if start and "." in line.label:
            panel.lines[index] = replace(line, label=f"…{line.label[len(start) :]}")


def _rank(panel: Panel) -> tuple[int, str]:
    """Losses first, then what several stages share, then the rest, learning rates last."""
    title = panel.title.lower()
    if panel.is_rate:
        return 3, title
    if "loss" in title:
        return 0, title
    return (1 if any(line.stage for line in panel.lines) else 2), title


def _split(name: str) -> tuple[str, Stage, str, str]:
    """Quantity, stage, moment and loader of a metric, by the words of its name."""
    loader = LOADER.search(name)
    bare = name[: loader.start()] if loader else name
    moment = next((one for one in MOMENTS if bare.endswith(f"_{one}") and bare != f"_{one}"), "")
    bare = bare.removesuffix(f"_{moment}") if moment else bare
    stage: Stage = ""
    first, last = WORD.split(bare, maxsplit=1)[0], WORD.split(bare)[-1]
    if first.lower() in STAGES and len(first) < len(bare):
        stage, bare = STAGES[first.lower()], bare[len(first) + 1 :]
    elif last.lower() in STAGES and len(last) < len(bare):
        stage, bare = STAGES[last.lower()], bare[: -len(last) - 1]
    return bare or name, stage, moment, loader[1] if loader else ""


def _is_rate(name: str) -> bool:
    return name in ("lr", "learning_rate") or name.startswith(("lr-", "lr/", "lr_"))
