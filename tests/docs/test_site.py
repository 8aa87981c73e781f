"""The site is built without a warning, has every page, fetches nothing, and its links lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"
PAGES = (
    "index", "get-started", "coming-from-lightning", "differences", "faq", "plugins", "write-a-plugin", "ship-a-plugin",
    "profiling", "hooks", "lifecycle", "settings", "cli", "coverage", "architecture", "performance", "contributing",
    "changelog", "reference/torchbus", "reference/torchbus_hookspecs", "reference/testing",
)  # fmt: skip
MODULES = (
    "torchbus", "torchbus_hookspecs", "torchbus.testing", "torchbus.plugins", "torchbus.strategies", "torchbus.utilities",
)  # fmt: skip


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(SITE / "mkdocs.yml"), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder, done


@pytest.fixture(scope="session")
def site(built: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    folder, done = built
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", SITE / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Page(HTMLParser):
    """What a page of HTML points to, and what in it can be pointed to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.anchors = {"", "__top"}
        self.text: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.parts.append(given["href"])
        elif "src" in given:
            self.parts.append(given["src"])

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@cache
def page_of(file: Path) -> Page:
    return Page(file)


def dead_links(site: Path) -> Iterator[str]:
    for file in sorted(site.rglob("*.html")):
        if file.name == "404.html":  # it may be shown at any address, so its links begin at the top
            continue
        page = page_of(file)
        for link in {*page.links, *page.parts}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (target.suffix == ".html" and parts.fragment not in page_of(target).anchors):
                yield f"{file.relative_to(site)}: {link}"


@pytest.mark.slow
def test_it_is_built_without_a_warning(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = built[1]
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr and "ERROR" not in done.stdout + done.stderr, done.stderr
    assert "Documentation built" in done.stderr


@pytest.mark.slow
def test_it_has_every_page_and_every_readme(site: Path) -> None:
    readmes = [*ROOT.glob("plugins/*/*/README.md"), *ROOT.glob("contrib/plugins/*/README.md")]
    names = [*PAGES, *(f"{one.parent.relative_to(ROOT).as_posix()}/index" for one in readmes)]
    assert [name for name in [*names, "hookspecs/index", "core/index"] if not (site / f"{name}.html").is_file()] == []
    assert {file.stem for file in ROOT.glob("docs/*.md")} <= set(PAGES)


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_a_place_in_it(site: Path) -> None:
    assert list(dead_links(site)) == []


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = [page_of(file) for file in site.rglob("*.html")]
    assert [part for page in pages for part in page.parts if urlsplit(part).netloc] == []
    assert (site / "search" / "search_index.json").is_file()
    assert [file.name for file in site.rglob("*.css") if "url(http" in file.read_text(encoding="utf-8")] == []


@pytest.mark.slow
def test_sources_and_notes_for_generators_stay_outside(site: Path) -> None:
    assert [file.name for file in site.rglob("*.py")] == [] and not (site / "site" / "mkdocs.yml").exists()
    assert "<!-- settings" not in (site / "plugins/callbacks/stopping/index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_in_the_reference(name: str, site: Path) -> None:
    module: Any = importlib.import_module(name)
    found = set().union(*(page_of(file).anchors for file in site.glob("reference/*.html")))
    own = {one for one in module.__all__ if not isinstance(getattr(module, one), ModuleType)}
    # a name that comes from another of these modules is documented there
    missing = {one for one in own if not any(f"{home}.{one}" in found for home in MODULES)}
    assert own and not missing


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text('<p id="here"><a href="two.html#there"></a><a href="two.html#not"></a></p>')
    (tmp_path / "two.html").write_text('<p id="there"><a href="three.html"></a><img src="four.svg"></p>')
    expected = ["one.html: two.html#not", "two.html: four.svg", "two.html: three.html"]
    assert sorted(dead_links(tmp_path)) == expected


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](../plugins/callbacks/stopping/README.md#timer)", "[a](plugins/callbacks/stopping/README.md#timer)"),
        ("[a](../contrib/plugins/confusion)", "[a](contrib/plugins/confusion/README.md)"),
        ("[home\nagain](../README.md), [next](faq.md)", "[home\nagain](index.md), [next](faq.md)"),
        ("[a script](../contrib/examples/digits.py)", "a script (`contrib/examples/digits.py`)"),
        ("[examples/digits.py](../contrib/examples/digits.py)", "`contrib/examples/digits.py`"),
        ("![a picture](figures/peers.svg)", "![a picture](figures/peers.svg)"),
        ("`[a](../core)`\n```text\n[a](../core)\n```", "`[a](../core)`\n```text\n[a](../core)\n```"),
        (r"| `int \| None` | a \| b |", r"| `int | None` | a \| b |"),
        ("[out](https://example.org), [here](#here)", "[out](https://example.org), [here](#here)"),
        ("<!-- settings: timer -->\n\n| a |\n<!-- end -->", "\n\n| a |\n"),
    ],
)
def test_links_of_the_repository_become_those_of_the_site(hooks: Any, markdown: str, expected: str) -> None:
    pages = {*hooks.sources().values(), "index.md", "faq.md", "figures/peers.svg"}
    assert hooks.fitted(markdown, "docs/page.md", "page.md", pages) == expected


def test_links_of_a_readme_are_fitted_to_its_place(hooks: Any) -> None:
    readme = "plugins/callbacks/stopping/README.md"
    text = "[failures](../../../docs/plugins.md#failures), [top](../../../README.md), [guard](../training/README.md)"
    fitted = "[failures](../../../plugins.md#failures), [top](../../../index.md), [guard](../training/README.md)"
    assert hooks.fitted(text, readme, readme, {*hooks.sources().values(), "plugins.md", "index.md"}) == fitted
