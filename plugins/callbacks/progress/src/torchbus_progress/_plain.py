"""The display of files, pipes and CI: a line of plain text for each epoch and each run."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from rich.console import Console

from ._display import Row
from ._figures import batches_of, clock

__all__ = ["PlainDisplay"]

# a row that takes hours should show in between that it lives
SIGN_OF_LIFE_S = 60.0


class PlainDisplay:
    """Writes a line when a row ends, and one a minute while it lasts; never a control character."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._separator = " - " if console.options.ascii_only else " · "
        self._rows: dict[Row, tuple[str, float | None, float]] = {}
        self._due = monotonic() + SIGN_OF_LIFE_S

    def is_due(self, done: int) -> bool:
        """Whether no line was written for a minute."""
        return monotonic() >= self._due

    def epoch_title(self, epoch: int, num_epochs: int | None) -> str:
        """Epochs counted from 1, since the line is written when the epoch is over."""
        return f"epoch {epoch + 1}" if num_epochs is None else f"epoch {epoch + 1}/{num_epochs}"

    def begin(self, row: Row, title: str, total: float | None) -> None:
        """Look at the clock."""
        self._rows[row] = (title.lower(), total, monotonic())

    def draw(self, done: dict[Row, int], figures: Mapping[str, str]) -> None:
        """Write how far the newest row is."""
        row = next(reversed(done))
        self._write(row, f"{batches_of(done[row], self._rows[row][1])} batches", figures)

    def end(self, row: Row, done: int, figures: Mapping[str, str]) -> None:
        """Write what the row came to."""
        self._write(row, f"{done} batch{'' if done == 1 else 'es'}", figures)
        self.drop(row)

    def drop(self, row: Row) -> None:
        """Forget the row."""
        self._rows.pop(row, None)

    def close(self) -> None:
        """Nothing to do: every line is complete."""

    def _write(self, row: Row, batches: str, figures: Mapping[str, str]) -> None:
        title, _, begun = self._rows[row]
        now = monotonic()
        took = now - begun
        # the version of the logger would be the same on every line
        metrics = [f"{name} {value}" for name, value in figures.items() if name != "v_num"]
        parts = [title, batches, f"{took:.1f} s" if took < 60 else clock(took), *metrics]
        self._console.out(self._separator.join(parts), highlight=False)
        self._due = now + SIGN_OF_LIFE_S
