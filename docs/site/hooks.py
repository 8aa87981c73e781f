"""What the site needs beside its pages: the READMEs of the distributions as pages, and links that fit.

mkdocs calls the functions whose names begin with ``on_``. On a forge, a page's links are paths in the repository; here they
become those of the site. What is no page (source files, folders) is named rather than linked.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "Callbacks": "plugins/callbacks/*/README.md",
    "Loggers": "plugins/loggers/*/README.md",
    "Accelerators": "plugins/accelerators/*/README.md",
    "Strategies": "plugins/strategies/*/README.md",
    "Profilers": "plugins/profilers/*/README.md",
    "Contrib": "contrib/plugins/*/README.md",
}
"""Sections of the navigation that stand where mkdocs.yml has ``...``, and the READMEs in each."""

OTHERS = {
    "hookspecs/README.md": "hookspecs/README.md",
    "core/README.md": "core/README.md",
    "contrib/README.md": "contrib/README.md",
    "contrib/template/README.md": "contrib/template/README.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Further files that are pages: where they are in the repository, and on the site."""

PIECE = re.compile(
    r"^(?P<fence>```|~~~).*?^(?P=fence)[ ]*$"
    r"|^<!--.*?-->[ ]*$"
    r"|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])+)\]\((?P<target>[^)\s]+)\)"
    r"|(?P<ticks>`+).+?(?P=ticks)",
    re.DOTALL | re.MULTILINE,
)


def sources() -> dict[str, str]:
    """The files outside of docs/ that are pages: the path in the repository, and the one on the site."""
    found = {path: path for pattern in SECTIONS.values() for path in _paths(pattern)}
    return found | OTHERS


def _paths(pattern: str) -> list[str]:
    return sorted(one.relative_to(ROOT).as_posix() for one in ROOT.glob(pattern))


# ---- what mkdocs calls ------------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Put the READMEs into the navigation."""
    for tab in config.nav:
        for title, entries in tab.items():
            if isinstance(entries, list) and "..." in entries:
                place = entries.index("...")
                tab[title] = [*entries[:place], *readme_sections(), *entries[place + 1 :]]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Bring in the files that are pages and not in docs/."""
    for path, page in sources().items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fit the links of a page; leave out comments, which are for generators and tests."""
    uri = page.file.src_uri
    if uri == "index.md":
        page.meta["hide"] = ["navigation"]  # it would have one entry
    origin = {site: path for path, site in sources().items()}.get(uri, f"docs/{uri}")
    return fitted(markdown, origin, uri, {file.src_uri for file in files})


# ---- navigation -------------------------------------------------------------------------------------------------------


def readme_sections() -> list[dict[str, Any]]:
    """The plugins by kind, each under the name of its distribution."""
    sections: list[dict[str, Any]] = []
    for title, pattern in SECTIONS.items():
        pages = [{_title(path): path} for path in _paths(pattern)]
        if title == "Contrib":
            pages = [{"About contrib": "contrib/README.md"}, *pages, {"template": "contrib/template/README.md"}]
        if pages:
            sections.append({title: pages})
    return [*sections, {"The ground": [{"hookspecs": "hookspecs/README.md"}, {"core": "core/README.md"}]}]


def _title(path: str) -> str:
    first_line = (ROOT / path).read_text(encoding="utf-8").split("\n", 1)[0]
    return first_line.removeprefix("# ").removeprefix("torchbus-")


# ---- links ------------------------------------------------------------------------------------------------------------


def fitted(markdown: str, origin: str, uri: str, pages: set[str]) -> str:
    """A page with links as the site has them.

    Args:
        markdown: its text.
        origin: its path in the repository.
        uri: its path on the site.
        pages: what the site has.
    """

    def piece(found: re.Match[str]) -> str:
        if found["target"] is None:
            # in a table a bar in code is escaped for forges; Markdown here would show the escape
            return "" if found[0].startswith("<!--") else found[0].replace("\\|", "|") if found["ticks"] else found[0]
        if re.match(r"[a-z]+:|#", found["target"]):
            return found[0]
        target, mark, anchor = found["target"].partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        there = site_path(path, pages)
        if there is None:
            return named(found["text"], path)
        relative = posixpath.relpath(there, posixpath.dirname(uri) or ".")
        return f"{found['image']}[{found['text']}]({relative}{mark}{anchor})"

    return PIECE.sub(piece, markdown)


def site_path(path: str, pages: set[str]) -> str | None:
    """Where a file or folder of the repository is on the site; ``None`` if it is not there."""
    if path in ("README.md", "."):
        return "index.md"
    known = sources()
    for candidate in (known.get(path), known.get(f"{path}/README.md"), path.removeprefix("docs/")):
        if candidate in pages and (candidate != path or path in known):
            return candidate
    return None


def named(text: str, path: str) -> str:
    """A link to what is no page, as text that says where it is in the repository."""
    plain = text.strip("`").rstrip("/")
    return f"`{path}`" if path.endswith(plain) else f"{text} (`{path}`)"
