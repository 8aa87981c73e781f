"""What is made from the code is what the code makes now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_nothing_generated_is_out_of_date(generate: Any) -> None:
    stale = [file.relative_to(ROOT).as_posix() for file, _ in generate.stale_files()]
    assert not stale, f"{stale}: run `python docs/generate.py`"


def test_each_plugin_has_its_table_in_the_readme_of_its_distribution(generate: Any) -> None:
    from generating.plugins import declared_plugins

    missing = [
        name
        for name, plugin in declared_plugins().items()
        if plugin.settings
        and "contrib" not in plugin.folder.parts
        and f"<!-- settings: {name} -->" not in (plugin.folder / "README.md").read_text()
    ]
    assert not missing


def test_each_setting_is_described_and_used_by_a_test(generate: Any) -> None:
    from generating.plugins import declared_plugins

    for plugin in declared_plugins().values():
        undescribed = [one.name for one in plugin.settings if not one.description]
        assert not undescribed, f"{plugin.name}: {undescribed}"
    untested = re.findall(r"\| `(\w+)` \| `(\w+)` \| .* \| none \|", generate.coverage_table())
    assert not untested


def test_a_stale_table_is_seen(generate: Any) -> None:
    page = "by hand\n<!-- settings: timer -->\n| old |\n<!-- end -->\nby hand\n"
    renewed = generate.renewed(page, generate.GENERATORS)
    assert "| `interval` |" in renewed and "old" not in renewed
    assert renewed.startswith("by hand\n<!-- settings: timer -->") and renewed.endswith("<!-- end -->\nby hand\n")
    assert generate.renewed(renewed, generate.GENERATORS) == renewed


def test_marks_that_nobody_fills_and_plugins_that_are_not_here_keep_their_text(generate: Any) -> None:
    page = "<!-- settings: nobody -->\n| kept |\n<!-- end -->\n<!-- nothing: such -->\nkept\n<!-- end -->\n"
    assert generate.renewed(page, generate.GENERATORS) == page


def test_checking_writes_nothing_and_fails(
    generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- settings: timer -->\n| old |\n<!-- end -->\n")
    figure = tmp_path / "figure.svg"
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "FIGURES", {"figure.svg": lambda: "<svg/>\n"})
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    told = capsys.readouterr().out
    assert "README.md: out of date" in told and "figure.svg: out of date" in told
    assert "old" in page.read_text() and not figure.exists()
    monkeypatch.setattr("sys.argv", ["generate.py"])
    assert generate.main() == 0
    assert "interval" in page.read_text() and figure.read_text() == "<svg/>\n"
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 0
