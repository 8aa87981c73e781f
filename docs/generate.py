"""Write what comes from the code: text between marks in READMEs and docs pages, and figures.

    python docs/generate.py            # bring everything up to date
    python docs/generate.py --check    # only say what is not; exit status 1 if anything

Marks are comments, and ``<!-- end -->`` closes each of them:

    <!-- settings: early_stopping -->    the settings of that plugin
    <!-- trainer -->                     the arguments of ``Trainer``
    <!-- plugins: callbacks -->          the settings of all plugins of that kind
    <!-- coverage -->                    each setting of each plugin, with a test that uses it
    <!-- hooks: index -->                every hook in one line
    <!-- hooks: rooms -->                every hook in full
    <!-- lifecycle: fit -->              the hooks of a recorded run, as an outline
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from generating.coverage import coverage_table
from generating.diagram import lifecycle_figure
from generating.hooks import hooks_reference
from generating.lifecycle import lifecycle
from generating.pages import ROOT, Generator, renewed
from generating.reference import plugins_of_kind, trainer_arguments
from generating.settings import settings_table

PAGES = ("README.md", "docs/*.md", "plugins/*/*/README.md", "contrib/plugins/*/README.md")
GENERATORS: dict[str, Generator] = {
    "settings": settings_table,
    "trainer": lambda subject: trainer_arguments(),
    "plugins": plugins_of_kind,
    "coverage": lambda subject: coverage_table(),
    "hooks": hooks_reference,
    "lifecycle": lifecycle,
}
FIGURES = {"docs/figures/lifecycle.svg": lifecycle_figure}


def stale_files() -> Iterator[tuple[Path, str]]:
    """Each file that is not what the code makes now, and what it should be."""
    for page in (page for pattern in PAGES for page in sorted(ROOT.glob(pattern))):
        old = page.read_text(encoding="utf-8")
        new = renewed(old, GENERATORS)
        if new != old:
            yield page, new
    for path, figure in FIGURES.items():
        drawn = figure()
        if not (file := ROOT / path).exists() or file.read_text(encoding="utf-8") != drawn:
            yield file, drawn


def main() -> int:
    check, stale = "--check" in sys.argv, list(stale_files())
    for file, text in stale:
        print(f"{file.relative_to(ROOT)}: {'out of date; run docs/generate.py' if check else 'written'}")
        if not check:
            file.write_text(text, encoding="utf-8")
    return int(bool(stale) and check)


if __name__ == "__main__":
    sys.exit(main())
