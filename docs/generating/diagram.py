"""``docs/figures/lifecycle.svg``: the recorded fit as boxes within boxes.

Widths are counted in characters, since nothing here may depend on the fonts of the machine: a monospaced letter is at most
``LETTER`` wide in all common fonts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from torchbus._cli.outline import Node, Repeat, Step
from torchbus_hookspecs.markers import kind_of
from torchbus_hookspecs.specs import HOOKS

from .runs import outline_of_run

WIDTH, MARGIN, PADDING, GAP = 800, 8, 12, 8
LETTER, LINE = 7.9, 21
STYLE = """
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
  .page { fill: #ffffff; stroke: #d0d7de }
  .box { fill: #f6f8fa; stroke: #8c959f }
  .train { fill: #eff6ff; stroke: #54aeff }
  .validation { fill: #effbf2; stroke: #4ac26b }
  .repeat { stroke-dasharray: 5 3 }
  .bound { font-weight: 700 }
  .provider { fill: #953800 }
  .transform { fill: #8250df }
  .muted, .remark { fill: #59636e; font-style: italic }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117; stroke: #30363d }
    .box { fill: #161b22; stroke: #6e7681 }
    .train { fill: #111d2e; stroke: #388bfd }
    .validation { fill: #11211a; stroke: #2ea043 }
    .provider { fill: #ffa657 }
    .transform { fill: #d2a8ff }
    .muted, .remark { fill: #9198a1 }
  }
"""


def lifecycle_figure() -> str:
    """The figure, as SVG with its text as text."""
    canvas = Canvas()
    bottom = canvas.legend(MARGIN + PADDING)
    bottom = canvas.stack(outline_of_run("fit"), MARGIN + PADDING, bottom + GAP, WIDTH - 2 * (MARGIN + PADDING))
    height = round(bottom + PADDING + MARGIN)
    page = f'<rect class="page" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8"/>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title">'
    )
    title = '<title id="title">The hooks of a fit in their order, as boxes within boxes</title>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", page, *canvas.boxes, *canvas.texts, "</svg>"]) + "\n"


class Canvas:
    """What is drawn so far. Every method draws from ``y`` downwards and returns where it ended."""

    def __init__(self) -> None:
        self.boxes: list[str] = []
        self.texts: list[str] = []

    def legend(self, y: float) -> float:
        """What the colours of names mean."""
        kinds = [("broadcast: everyone hears it", "broadcast"), ("provider: one answers", "provider")]
        kinds.append(("transform: changes a value", "transform"))
        return self.flow(kinds, MARGIN + PADDING, y, WIDTH, between="  ·  ")

    def stack(self, nodes: Sequence[Node], x: float, y: float, width: float) -> float:
        """Nodes below each other; hooks that hold nothing, side by side."""
        first = True
        for is_plain, group in groupby(nodes, _is_plain):
            if is_plain:
                names = [pair for one in group for pair in _words(one)]
                y, first = self.flow(names, x, y if first else y + GAP, width), False
                continue
            for node in group:
                y, first = self.box(node, x, y if first else y + GAP, width), False
        return y

    def box(self, node: Node, x: float, y: float, width: float) -> float:
        """One node with what it holds: a start above, its end below; or what repeats, behind a dashed line."""
        top, remark, place = y, "", len(self.boxes)
        self.boxes.append("")  # what is behind comes first in the file
        dashed = isinstance(node, Repeat)
        if isinstance(node, Repeat):
            remark = f"{node.title or 'again'}, {node.times} times"
            if len(node.steps) == 1 and isinstance(node.steps[0], Step):
                node = node.steps[0]
        x, y, inner = x + PADDING, y + PADDING / 2, width - 2 * PADDING
        if isinstance(node, Repeat):
            y = self.flow([(remark, "muted")], x, y, inner)
            y = self.stack(node.steps, x, y + GAP / 2, inner)
        else:
            y = self.flow(
                [(node.hook, f"bound {_kind(node.hook)}"), *([(remark, "remark")] if remark else [])], x, y, inner
            )
            y = self.stack(node.inside, x, y + GAP / 2, inner)
            if node.end:
                y = self.flow([(node.end.hook, f"bound {_kind(node.end.hook)}")], x, y + GAP / 2, inner)
                y = self.flow([pair for one in node.end.inside for pair in _words(one)], x + 2 * LETTER, y, inner)
        y += PADDING / 2
        shape = (
            f'x="{_number(x - PADDING)}" y="{_number(top)}" width="{_number(width)}" height="{_number(y - top)}" rx="6"'
        )
        self.boxes[place] = f'<rect class="{_colour(node)}{" repeat" if dashed else ""}" {shape}/>'
        return y

    def flow(self, words: Sequence[tuple[str, str]], x: float, y: float, width: float, between: str = " → ") -> float:
        """Words side by side, each with its class, on as many lines as they need."""
        place = x
        for number, (word, style) in enumerate(words):
            joined = " " if style == "remark" else between
            space = len(joined) * LETTER if number else 0
            if number and place + space + len(word) * LETTER > x + width:
                self.write(joined.rstrip(), "muted", place, y)
                place, y, space = x, y + LINE, 0
            elif number:
                self.write(joined, "muted", place, y)
            self.write(word, style, place + space, y)
            place += space + len(word) * LETTER
        return y + LINE if words else y

    def write(self, text: str, style: str, x: float, y: float) -> None:
        indent = len(text) - len(text.lstrip())
        if text.strip():
            at = f'x="{_number(x + indent * LETTER)}" y="{_number(y + LINE - 6)}"'
            self.texts.append(f'<text class="{style}" {at}>{escape(text.strip())}</text>')


def _is_plain(node: Node) -> bool:
    return isinstance(node, Step) and not node.inside and not node.end


def _words(node: Node) -> Iterator[tuple[str, str]]:
    assert isinstance(node, Step)
    yield node.hook, _kind(node.hook)
    if node.when:
        yield f"({node.when})", "remark"


def _kind(hook: str) -> str:
    return kind_of(HOOKS[hook])


def _colour(node: Node) -> str:
    """Blue for training, green for validation, by the first start in it."""
    if isinstance(node, Repeat):
        return next((colour for one in node.steps if (colour := _colour(one)) != "box"), "box")
    if "validation" in node.hook or "sanity" in node.hook:
        return "validation"
    return "train" if "train" in node.hook and "model" not in node.hook else "box"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
