"""Tables that are made from the code are those that the code makes now."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


def test_tables_are_up_to_date(generate: Any) -> None:
    pages = [page for pattern in generate.PAGES for page in ROOT.glob(pattern)]
    stale = [page.name for page in pages if generate.renewed(page.read_text()) != page.read_text()]
    assert not stale, f"{stale}: run `python docs/generate.py`"


def test_each_plugin_has_its_table_in_the_readme_of_its_distribution(generate: Any) -> None:
    missing = [
        name
        for name, plugin in generate.declared_plugins().items()
        if plugin.settings
        and "contrib" not in plugin.folder.parts
        and f"<!-- settings: {name} -->" not in (plugin.folder / "README.md").read_text()
    ]
    assert not missing


def test_each_setting_is_described_and_used_by_a_test(generate: Any) -> None:
    for plugin in generate.declared_plugins().values():
        undescribed = [one.name for one in plugin.settings if not one.description]
        assert not undescribed, f"{plugin.name}: {undescribed}"
    untested = re.findall(r"\| `(\w+)` \| `(\w+)` \| .* \| none \|", generate.coverage_table())
    assert not untested


def test_a_stale_table_is_seen(generate: Any) -> None:
    page = "<!-- settings: timer -->\n| old |\n<!-- end -->\n"
    renewed = generate.renewed(page)
    assert "| `interval` |" in renewed and "old" not in renewed
    assert generate.renewed(renewed) == renewed
