"""Curves that grow point by point and never become long. Knows nothing of torchbus and of matplotlib."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MAX_POINTS", "Curve", "Point"]

MAX_POINTS = 4000
"""Points after which every second one is dropped: more than a picture can show."""

Point = tuple[float, float, float]
"""Step, epoch (with its fraction) and value."""


class Curve:
    """The points of one metric, oldest first.

    Attributes:
        points: those that are kept.
    """

    def __init__(self, points: Iterable[Point] = (), stride: int = 1) -> None:
        self.points: list[Point] = list(points)
        self._stride = stride  # one point is kept of so many
        self._num_passed = 0
        self._newest: Point | None = None

    def add(self, step: float, epoch: float, value: float) -> None:
        """Add a point; one at the step of the newest takes its place."""
        point = (float(step), float(epoch), float(value))
        if self.points and self._newest is None and self.points[-1][0] == step:
            self.points[-1] = point
            return
        self._num_passed += 1
        if self._num_passed % self._stride:
            self._newest = point
            return
        self._newest = None
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = self.points[1::2]
            self._stride *= 2

    def shown(self) -> list[Point]:
        """The points to draw: those that are kept, and always the newest."""
        return [*self.points, self._newest] if self._newest is not None else list(self.points)

    def state(self) -> dict[str, object]:
        """What a checkpoint should hold."""
        return {"points": [list(point) for point in self.shown()], "stride": self._stride}
