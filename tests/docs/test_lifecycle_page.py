"""`docs/lifecycle.md` and its figure are what runs record now."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torchbus_hookspecs.specs import HOOKS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "lifecycle.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- lifecycle: (\w+) -->\n\n```text\n(.*?)```\n\n<!-- end -->", PAGE, re.DOTALL))
FIGURE = DOCS / "figures" / "lifecycle.svg"
SVG = "{http://www.w3.org/2000/svg}"


def hooks_in(block: str) -> list[str]:
    return re.findall(r"^ *(\w+)(?:  #.*)?$", block, re.MULTILINE)


def test_every_recorded_run_has_its_block(generate: Any) -> None:
    from generating.runs import RUNS

    assert list(BLOCKS) == list(RUNS)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_what_a_new_recording_gives(name: str, generate: Any) -> None:
    from generating.lifecycle import lifecycle
    from generating.runs import outline_of_run

    outline_of_run.cache_clear()  # a second recording, not that of another test
    assert lifecycle(name) == f"```text\n{BLOCKS[name]}```\n"


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_hold_hooks_of_the_contract_and_titles_only(name: str) -> None:
    lines = [line.strip().partition("  #")[0] for line in BLOCKS[name].splitlines()]
    titles = [line for line in lines if line.endswith(":")]
    assert set(lines) - set(titles) <= set(HOOKS)
    assert all(re.fullmatch(r"(for (each|every \d) \w+, )?\d+ times:", title) for title in titles)


def test_the_blocks_show_what_the_page_says_of_them() -> None:
    fit = hooks_in(BLOCKS["fit"])
    assert fit.index("on_sanity_check_end") < fit.index("train_dataloader") < fit.index("on_train_start")
    assert fit.index("on_after_batch_transfer") < fit.index("on_train_batch_start") < fit.index("optimizer_step")
    assert "lr_scheduler_step  # the last time\n" in BLOCKS["fit"]
    assert fit.index("on_train_epoch_end") > len(fit) - fit[::-1].index("on_validation_end") - 1
    failed = hooks_in(BLOCKS["exception"])
    assert failed[-2:] == ["on_exception", "finalize"] and "teardown" not in failed
    assert BLOCKS["exception"].count("does not follow") == 4
    assert not {"optimizer_step", "on_before_zero_grad", "lr_scheduler_step"} & set(hooks_in(BLOCKS["manual"]))
    assert "for every 2 batches, 2 times:" in BLOCKS["accumulation"]
    resumed = hooks_in(BLOCKS["resume"])
    assert "on_train_epoch_end" in resumed and not {"on_train_epoch_start", "on_sanity_check_start"} & set(resumed)
    assert "log_metrics" not in hooks_in(BLOCKS["predict"])


# ---- the figure -------------------------------------------------------------------------------------------------------


def hooks_of(nodes: Sequence[Any]) -> Iterator[str]:
    for node in nodes:
        if hasattr(node, "steps"):
            yield from hooks_of(node.steps)
        else:
            yield node.hook
            yield from hooks_of([*node.inside, *([node.end] if node.end else [])])


def test_the_figure_has_every_hook_of_the_recorded_fit_in_order(generate: Any) -> None:
    from generating.runs import outline_of_run

    texts = [one.text or "" for one in ElementTree.parse(FIGURE).iter(f"{SVG}text")]
    assert [text for text in texts if text in HOOKS] == list(hooks_of(outline_of_run("fit")))


def test_the_figure_needs_nothing_from_elsewhere() -> None:
    root = ElementTree.parse(FIGURE).getroot()
    assert {one.tag for one in root.iter()} == {f"{SVG}{tag}" for tag in ("svg", "title", "style", "rect", "text")}
    assert not re.findall(r"href|url\(|@import|@font-face", FIGURE.read_text(encoding="utf-8"))


def test_boxes_lie_within_one_another_and_texts_within_the_page(generate: Any) -> None:
    from generating.diagram import LETTER

    root = ElementTree.parse(FIGURE).getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [
        (x, y, x + float(one.attrib["width"]), y + float(one.attrib["height"]))
        for one in root.iter(f"{SVG}rect")
        for x, y in [(float(one.attrib["x"]), float(one.attrib["y"]))]
    ]
    for a in boxes:
        for b in boxes:
            apart = a[3] <= b[1] or b[3] <= a[1]
            inside = (a[0] <= b[0] and b[2] <= a[2] and a[1] <= b[1] and b[3] <= a[3]) or (
                b[0] <= a[0] and a[2] <= b[2] and b[1] <= a[1] and a[3] <= b[3]
            )
            assert apart or inside, (a, b)
    lines: dict[str, float] = {}
    for one in root.iter(f"{SVG}text"):
        x, y, text = float(one.attrib["x"]), one.attrib["y"], one.text or ""
        assert 0 < float(y) < height and x + len(text) * LETTER < width, text
        assert x >= lines.get(y, 0), f"{text} lies over the text before it"
        lines[y] = x + len(text) * LETTER
