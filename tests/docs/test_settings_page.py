"""`docs/settings.md` has every argument of the trainer and every standard plugin."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torchbus as L

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_argument_of_the_trainer_has_a_row_with_its_default(generate: Any) -> None:
    section = PAGE[PAGE.index("## Trainer") : PAGE.index("## Callbacks")]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| `")]
    named = [name for names, *_ in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted(inspect.signature(L.Trainer).parameters)
    assert ["| `log_every_n_steps`", "`int` or none", "`None`"] in [row[:3] for row in rows]
    assert [row for row in rows if not row[3].rstrip(" |")] == []


def test_an_argument_that_the_docstring_leaves_out_is_refused(generate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        L.Trainer, "__doc__", "Trains.\n\nArgs:\n    max_epochs, min_epochs: when to stop.\n    epochs: no such.\n"
    )
    with pytest.raises(ValueError, match=r"'accelerator', (?!.*'max_epochs').*'epochs', "):
        generate.trainer_arguments()


def test_every_standard_plugin_has_a_section_and_contrib_has_none(generate: Any) -> None:
    from generating.plugins import declared_plugins, standard_plugins

    sections = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(standard_plugins())
    assert "confusion" in declared_plugins().keys() - set(sections)


def test_a_kind_without_plugins_keeps_its_text(generate: Any) -> None:
    page = "<!-- plugins: strangers -->\nkept\n<!-- end -->\n"
    assert generate.renewed(page, generate.GENERATORS) == page


@pytest.mark.parametrize(
    ("type_text", "words"),
    [
        ("int | None", "`int` or none"),
        ("Literal['min', 'max']", '`"min"` or `"max"`'),
        ("int | float | Callable[[int], int | float]", r"`int`, `float` or `Callable[[int], int \| float]`"),
        ("dict[str, int | None]", r"`dict[str, int \| None]`"),
    ],
)
def test_types_are_told_in_words_and_stay_whole_inside_of_brackets(generate: Any, type_text: str, words: str) -> None:
    from generating.settings import in_words

    assert in_words(type_text) == words
