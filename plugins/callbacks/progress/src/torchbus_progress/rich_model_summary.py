"""The model summary as a rich table."""

from __future__ import annotations

from typing import Any

from rich import get_console
from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table

from ._summary import RIGHT_ALIGNED, totals_lines
from .model_summary import ModelSummary

__all__ = ["RichModelSummary"]


class RichModelSummary(ModelSummary):
    """Prints the layers of the model as a table with rules and colours.

    Beside ``max_depth`` it takes ``header_style`` (a rich style, default ``"bold magenta"``) and ``console`` (a rich
    console, default rich's own).
    """

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Print the summary. Arguments as in ``ModelSummary.summarize``."""
        console = summarize_kwargs.get("console") or get_console()
        style = summarize_kwargs.get("header_style", "bold magenta")
        table = Table(box=SIMPLE_HEAD, header_style=style, padding=(0, 1, 0, 0), pad_edge=False)
        for title, _ in summary_data:
            # where room is short, sizes wrap at their blanks, and names stay whole
            justify: JustifyMethod = "right" if title in RIGHT_ALIGNED else "left"
            table.add_column(title, justify=justify, no_wrap="sizes" not in title)
        for row in zip(*(cells for _, cells in summary_data), strict=True):
            table.add_row(*row)
        if not console.is_terminal:  # rich takes a file to be 80 wide, but it has no width
            table.width = console.measure(table, options=console.options.update(width=10_000)).maximum
        console.print(table, crop=console.is_terminal)
        for amount, what in totals_lines(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        ):
            console.print(f"[bold]{amount:>8}[/] {what}", highlight=False)
