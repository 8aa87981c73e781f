"""What a progress bar needs of a place to show progress. Two follow it: ``LiveDisplay`` and ``PlainDisplay``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

__all__ = ["Display", "Row"]

Row = Literal["sanity", "train", "validate", "test", "predict"]


class Display(Protocol):
    """A place to show progress, in rows. ``figures`` are metrics by name as text; a ``total`` of ``None``: unknown."""

    def is_due(self, done: int) -> bool:
        """Whether it is worth drawing again, ``done`` batches into the newest row. Asked after every batch."""
        ...

    def epoch_title(self, epoch: int, num_epochs: int | None) -> str:
        """The title of a row of training; ``epoch`` counts from 0, ``num_epochs`` is ``None`` when unlimited."""
        ...

    def begin(self, row: Row, title: str, total: float | None) -> None:
        """A row begins, or begins anew."""
        ...

    def draw(self, done: dict[Row, int], figures: Mapping[str, str]) -> None:
        """Show how many batches of each open row are done, the newest row last."""
        ...

    def end(self, row: Row, done: int, figures: Mapping[str, str]) -> None:
        """A row is complete; its last state stays to be seen."""
        ...

    def drop(self, row: Row) -> None:
        """A row that was part of something larger is complete; it leaves no trace."""
        ...

    def close(self) -> None:
        """Nothing more comes. What is shown stays."""
        ...
