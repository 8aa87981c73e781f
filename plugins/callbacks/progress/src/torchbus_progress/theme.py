"""How the progress bar looks."""

from __future__ import annotations

from dataclasses import dataclass

from rich.errors import StyleSyntaxError
from rich.style import Style

__all__ = ["DEFAULT_THEME", "RichProgressBarTheme"]

_NOT_STYLES = ("metrics_text_delimiter", "metrics_format")


@dataclass(frozen=True, slots=True)
class RichProgressBarTheme:
    """The looks of a ``RichProgressBar``. All but the last two are rich styles, as ``"bold cyan"`` or ``"#5f00ff"``.

    Attributes:
        description: what is being done, such as ``Epoch 3/19``.
        progress_bar: the done part of the bar.
        progress_bar_finished: the bar when all is done.
        progress_bar_pulse: the bar when nobody knows how many batches will come.
        batch_progress: batches done and in all.
        time: time gone by and still to go.
        processing_speed: batches per second.
        metrics: names and values of metrics.
        metrics_text_delimiter: what stands between two metrics.
        metrics_format: how a value is written, as for ``format``.
    """

    description: str = "bold"
    progress_bar: str = "cyan"
    progress_bar_finished: str = "green"
    progress_bar_pulse: str = "cyan"
    batch_progress: str = "default"
    time: str = "dim"
    processing_speed: str = "dim"
    metrics: str = "default"
    metrics_text_delimiter: str = "  "
    metrics_format: str = ".4g"

    def __post_init__(self) -> None:
        # found here, where the user wrote it, and not at the first drawing
        for name in self.__slots__:
            value = getattr(self, name)
            if name not in _NOT_STYLES:
                try:
                    Style.parse(value)
                except StyleSyntaxError as error:
                    raise ValueError(f"{name}={value!r} is no rich style ({error}); such as 'bold cyan'") from None
        try:
            format(0.0, self.metrics_format)
        except ValueError as error:
            raise ValueError(f"metrics_format={self.metrics_format!r} is no format ({error}); such as '.4g'") from None


DEFAULT_THEME = RichProgressBarTheme()
