"""A single bar."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    _Base = tqdm[Any]
elif importlib.util.find_spec("ipywidgets") is not None:
    from tqdm.auto import tqdm as _Base  # a widget in notebooks, text elsewhere
else:
    from tqdm import tqdm as _Base  # tqdm.auto would warn in every notebook that it has no widgets

__all__ = ["Tqdm"]

WIDTH = 5
"""Room for ``0.123``. Fractions are filled up to it, so that what stands behind them does not jump to and fro."""


class Tqdm(_Base):
    """tqdm's bar; fractions among its metrics keep their width."""

    @staticmethod
    def format_num(n: float | str) -> str:
        """Three significant digits, as tqdm writes them, and zeros behind: ``0.1`` is ``0.100``, ``1.0`` is ``1.000``.

        Whole numbers, numbers with an exponent, and text that is no fraction stay as they are.
        """
        is_fraction = "." in n if isinstance(n, str) else not isinstance(n, int)
        text = n if isinstance(n, str) else _Base.format_num(n)
        if not is_fraction or not re.fullmatch(r"-?\d+(\.\d*)?", text):
            return text
        return (text if "." in text else f"{text}.").ljust(WIDTH, "0")
