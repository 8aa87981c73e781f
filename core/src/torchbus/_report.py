"""What a run prints by itself: results of evaluations, and plugins that were switched off."""

from __future__ import annotations

from collections.abc import Sequence

from ._record import Plugin

__all__ = ["fault_report", "results_table"]


def results_table(results: Sequence[dict[str, float]], stage: str) -> str:
    """What an evaluation logged, a row a metric, a column a loader."""
    columns = [
        {name.removesuffix(f"/dataloader_idx_{index}"): value for name, value in one.items()}
        for index, one in enumerate(results)
    ]
    names = sorted({name for one in columns for name in one})
    heads = [f"{'Validate' if stage == 'validation' else 'Test'} metric"]
    heads += [f"DataLoader {index}" for index in range(len(columns))]
    rows = [[name, *(f"{one[name]:.6g}" if name in one else "" for one in columns)] for name in names]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = cells
        values = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        return "  ".join([first.ljust(widths[0]), *values])

    ruler = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([ruler, line(heads), ruler, *(line(row) for row in rows), ruler])


def fault_report(quarantined: Sequence[Plugin]) -> str:
    """One visible block about plugins that failed too often; empty if there are none."""
    if not quarantined:
        return ""
    lines = []
    for plugin in quarantined:
        hook, error = plugin.last_failure or ("?", None)
        lines.append(f"  {plugin}: {plugin.strikes} failures, the last in `{hook}`: {type(error).__name__}: {error}")
    ruler = "─" * 80
    head = "Plugins that were switched off during this run, since they kept failing:"
    return "\n".join([ruler, head, *lines, ruler])
