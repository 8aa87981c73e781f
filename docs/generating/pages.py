"""Pages with marks, and what is between the marks.

A mark is a comment before the generated text, ``<!-- KIND -->`` or ``<!-- KIND: SUBJECT -->``, and ``<!-- end -->`` behind it.
What is outside of marks is written by hand, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Generator = Callable[[str], str | None]
"""Makes the text for a subject, which is empty where the mark names none; ``None`` leaves the text as it is."""


def renewed(text: str, generators: Mapping[str, Generator]) -> str:
    """A page with the text between its marks as the code has it now.

    Args:
        text: the page.
        generators: who makes the text of a mark, by the mark's kind.
    """
    kinds = "|".join(map(re.escape, generators))
    marked = re.compile(
        rf"(?P<mark><!-- (?P<kind>{kinds})(?:: (?P<subject>[\w.-]+))? -->\n).*?(?P<end><!-- end -->)", re.DOTALL
    )

    def fresh(found: re.Match[str]) -> str:
        made = generators[found["kind"]](found["subject"] or "")
        return found[0] if made is None else f"{found['mark']}\n{made}\n{found['end']}"

    return marked.sub(fresh, text)
