"""A CSV file that grows in rows and in columns. Knows nothing of runs."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from torchbus_hookspecs.files import replacing, set_aside

__all__ = ["CSVWriter"]


class CSVWriter:
    """Rows of metrics, kept until ``save`` adds them to ``metrics.csv``.

    A new metric becomes a new last column: the file is then written anew beside itself and renamed, so that nobody
    ever sees half of it. Otherwise rows are appended.

    Args:
        folder: where the file goes; must exist when ``save`` is called.

    Attributes:
        metrics: the rows that wait to be saved.
        metrics_file_path: the file.
    """

    NAME_METRICS_FILE: ClassVar[str] = "metrics.csv"

    def __init__(self, folder: str) -> None:
        self.metrics_file_path = os.path.join(folder, self.NAME_METRICS_FILE)
        self.metrics: list[dict[str, Any]] = []
        self._columns: list[str] = []  # of the file; empty until it is this writer's own
        self._num_rows = 0

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep one row. Without a step, the number of rows before it is its step."""
        self.metrics.append({**metrics, "step": self._num_rows if step is None else step})
        self._num_rows += 1

    def save(self) -> None:
        """Add the rows to the file.

        Raises:
            OSError: the file cannot be written. The rows are still there to be saved later.
        """
        if not self.metrics:
            return
        if not self._columns:
            self._keep_earlier_file()
        new = sorted({name for row in self.metrics for name in row}.difference(self._columns))
        if new or not os.path.exists(self.metrics_file_path):
            self._rewrite([*self._columns, *new])
        else:
            with open(self.metrics_file_path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerows(self.metrics)
        self.metrics.clear()

    def _rewrite(self, columns: list[str]) -> None:
        with (
            replacing(self.metrics_file_path) as beside,
            open(beside, "w", newline="", encoding="utf-8") as file,
        ):
            table = csv.DictWriter(file, columns)
            table.writeheader()
            if os.path.exists(self.metrics_file_path):
                with open(self.metrics_file_path, newline="", encoding="utf-8") as earlier:
                    table.writerows(csv.DictReader(earlier))
            table.writerows(self.metrics)
        self._columns = columns

    def _keep_earlier_file(self) -> None:
        """Move another run's file of the same name to the first free ``metrics.N.csv``."""
        if not os.path.exists(self.metrics_file_path):
            return
        aside = set_aside(self.metrics_file_path)
        warnings.warn(
            f"{self.metrics_file_path} was there already, from an earlier run of this version. It is now "
            f"{aside.name}, and this run starts a new file. Leave `version` out to give each run a folder.",
            stacklevel=2,
        )
