"""The display of terminals: rich's rows of progress, and the metrics below them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from ._display import Row
from ._figures import batches_of, clock, speed
from .theme import RichProgressBarTheme

__all__ = ["LiveDisplay", "standard_columns"]

SHORTEST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
# a drawing that takes a millisecond is followed by at least 50 without: drawing costs 2 % of the time at most
PAUSE_PER_DRAWING = 50


class FigureColumn(ProgressColumn):
    """A column whose text is computed from the row's task."""

    def __init__(self, text: Callable[[Task], str], style: str) -> None:
        super().__init__()
        self._text = text
        self._style = style

    def render(self, task: Task) -> Text:
        """The text in its style."""
        return Text(self._text(task), style=self._style, no_wrap=True)


def standard_columns(theme: RichProgressBarTheme) -> list[ProgressColumn]:
    """Description, bar, batches, times, speed."""
    return [
        TextColumn("{task.description}", style=theme.description, markup=False),
        BarColumn(
            bar_width=None,
            complete_style=theme.progress_bar,
            finished_style=theme.progress_bar_finished,
            pulse_style=theme.progress_bar_pulse,
        ),
        FigureColumn(lambda task: batches_of(task.completed, task.total), theme.batch_progress),
        FigureColumn(_times, theme.time),
        FigureColumn(lambda task: speed(_speed_of(task)), theme.processing_speed),
    ]


def _speed_of(task: Task) -> float | None:
    # rich's own is a mean over the last half minute and needs two drawings
    if task.speed and not task.finished:
        return task.speed
    seconds = task.finished_time or task.elapsed
    return task.completed / seconds if seconds else None


def _times(task: Task) -> str:
    pace = _speed_of(task)
    left = task.remaining / pace if pace and task.remaining is not None else None
    return f"{clock(task.elapsed)} • {clock(left)}"


class _Rows(Progress):
    """Rows of rich with the metrics below them, drawn no more often than is worth the time."""

    metrics = Text()
    due = 0.0

    def get_renderables(self) -> Iterable[RenderableType]:
        """The rows, then the metrics, which may need more than one line."""
        tasks = [task for task in self.tasks if task.visible]
        if tasks:
            yield self.make_tasks_table(tasks)
            if self.metrics:
                yield self.metrics

    def refresh(self) -> None:
        """Draw if it is time; rich asks for it at every change."""
        if monotonic() >= self.due:
            self.redraw()

    def redraw(self) -> None:
        """Draw now."""
        begun = monotonic()
        super().refresh()
        ended = monotonic()
        self.due = ended + min(max(PAUSE_PER_DRAWING * (ended - begun), SHORTEST_PAUSE_S), LONGEST_PAUSE_S)


class LiveDisplay:
    """Rows that are drawn anew in place, ten times a second at most.

    Args:
        every: batches between two drawings; the display waits for them for a tenth of a second at most.
        leave: whether the row of a complete epoch stays on the screen, above that of the next.
    """

    def __init__(
        self, console: Console, columns: list[ProgressColumn], theme: RichProgressBarTheme, every: int, leave: bool
    ) -> None:
        # no thread: it would draw while the loop works, and a loader's worker forked meanwhile would inherit its lock
        self.rows = _Rows(*columns, console=console, auto_refresh=False, expand=True)
        self._theme = theme
        self._every = every
        self._leave = leave
        self._ids: dict[Row, TaskID] = {}
        self.rows.start()

    def is_due(self, done: int) -> bool:
        """Whether the pause since the last drawing is over, and the number of batches is right or another pause is over."""
        late = monotonic() - self.rows.due
        return late >= 0 and (done % self._every == 0 or late >= SHORTEST_PAUSE_S)

    def epoch_title(self, epoch: int, num_epochs: int | None) -> str:
        """The number of the epoch as in Lightning's bar and in names of checkpoints, and that of the last one."""
        return f"Epoch {epoch}" if num_epochs is None else f"Epoch {epoch}/{num_epochs - 1}"

    def begin(self, row: Row, title: str, total: float | None) -> None:
        """Add the row below the others."""
        self.drop(row)
        self._ids[row] = self.rows.add_task(title, total=total)

    def draw(self, done: dict[Row, int], figures: Mapping[str, str]) -> None:
        """Draw all rows."""
        self._update(done, figures)
        self.rows.redraw()

    def end(self, row: Row, done: int, figures: Mapping[str, str]) -> None:
        """Leave the row as it is until it begins anew; with ``leave``, put it above the live rows for good."""
        self._update({row: done}, figures)
        if self._leave:
            complete = list(self.rows.get_renderables())
            self.drop(row)
            self.rows.redraw()
            self.rows.console.print(*complete)
        else:
            self.rows.refresh()

    def drop(self, row: Row) -> None:
        """Remove the row."""
        if row in self._ids:
            self.rows.remove_task(self._ids.pop(row))

    def close(self) -> None:
        """Draw a last time and give the terminal back."""
        self.rows.stop()

    def task(self, row: Row) -> Task | None:
        """The task of a row that is shown."""
        return next((task for task in self.rows.tasks if task.id == self._ids.get(row)), None)

    def _update(self, done: dict[Row, int], figures: Mapping[str, str]) -> None:
        for row, batches in done.items():
            self.rows.update(self._ids[row], completed=batches)
        metrics = self._theme.metrics_text_delimiter.join(f"{name} {value}" for name, value in figures.items())
        self.rows.metrics = Text(metrics, style=self._theme.metrics)
