"""A history of metrics as a file of JSON lines. Knows nothing of trainers."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchbus_hookspecs.files import replacing, set_aside

__all__ = ["HistoryFile", "read_history"]


class HistoryFile:
    """Keeps a file equal to a growing list of rows: new ones are appended, one line each.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num_written: int | None = None  # None: the file is not known to be ours, or to be whole

    def update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Bring the file up to date.

        A file that was there before is written anew if it begins as these rows do (a run that goes on from a
        checkpoint); otherwise it is an earlier run's, and moved aside.

        Raises:
            OSError: the file cannot be written. The next call tries again, with all rows.
        """
        start, self._num_written = self._num_written, None
        if start is None:
            self._keep_other_file(rows)
            with replacing(self.path) as beside:
                beside.write_text(_lines(rows), encoding="utf-8")
        else:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_lines(rows[start:]))
        self._num_written = len(rows)

    def _keep_other_file(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self.path.exists() or self._is_ours(rows):
            return
        aside = set_aside(self.path)
        warnings.warn(
            f"{self.path} was there already, from an earlier run. It is now {aside}, and this run starts a new file.",
            UserWarning,
            stacklevel=2,
        )

    def _is_ours(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        present = self.path.read_text(encoding="utf-8").splitlines()
        # the last line may be half of one, where the disk was full
        common = min(len(rows), max(len(present) - 1, 1))
        return present[:common] == _lines(rows[:common]).splitlines()


def read_history(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file that ``metrics_logger`` has written, as its ``history`` had them.

    Raises:
        FileNotFoundError: there is no such file.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [
        {name: math.nan if value is None else value for name, value in json.loads(line).items()}
        for line in lines
        if line
    ]


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    # JSON has neither NaN nor infinity; other programs refuse what Python would write for them
    plain = ({name: _plain(value) for name, value in row.items()} for row in rows)
    return "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in plain)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
