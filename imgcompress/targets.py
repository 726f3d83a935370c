"""What a user can aim at, and the search for the step that hits it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from imgcompress.errors import UsageError
from imgcompress.quantization.scale import HIGHEST, LOWEST

MetricName = Literal["ssimulacra2", "vgg", "ssim", "psnr", "bpp", "bytes"]


@dataclass(frozen=True)
class Metric:
    """A quantity that a picture can be encoded to.

    Attributes:
        name: as on the command line.
        axis: maps its values to an axis that rises about linearly with the nominal score.
        slope: how far that axis moves for one point of the nominal score, about; the search learns the rest.
        tolerance: how near is a hit, in its own units; a share of the target where ``relative``.
        relative: whether the tolerance is a share.
        lowest, highest: the values that make sense.
        is_size: whether it counts bytes; else it is how near the result is to the original.
    """

    name: MetricName
    axis: Callable[[float], float]
    slope: float
    tolerance: float
    relative: bool
    lowest: float
    highest: float
    is_size: bool = False

    @property
    def worst(self) -> float:
        """The value of the coarsest picture."""
        return min(self.lowest, self.highest, key=self.axis)

    @property
    def is_ceiling(self) -> bool:
        """Whether a bound is the largest value that keeps it, rather than the smallest."""
        return self.is_size or self.axis(self.highest) < self.axis(self.lowest)

    def keeps(self, value: float, bound: float, slack: float = 0.0) -> bool:
        """Whether a value is no worse than a bound by more than some slack; what is not a number never is."""
        return value <= bound + slack if self.is_ceiling else value >= bound - slack


def _log(value: float) -> float:
    return math.log(max(value, 1e-9))


FLATTEST = 4
"""A curve that is so many times flatter than usual has a plateau: strides over it double."""
STEEPEST = 4
"""A curve that is so many times steeper than usual has a cliff: it jumps over the target."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("ssimulacra2", float, 1.0, 0.5, False, -1000.0, 100.0),
        Metric("vgg", lambda value: -_log(value), 0.06, 0.03, True, 1e-6, 10.0),
        Metric("ssim", lambda value: -_log(1 - value), 0.04, 0.002, False, 0.0, 0.99999),
        Metric("psnr", float, 0.25, 0.1, False, 10.0, 99.0),
        Metric("bpp", _log, 0.035, 0.01, True, 1e-3, 24.0, is_size=True),
        Metric("bytes", _log, 0.035, 0.01, True, 1.0, 1e12, is_size=True),
    )
}


@dataclass(frozen=True)
class Target:
    """A value of a metric, and how near is near enough.

    Attributes:
        metric: which quantity.
        value: what it should be.
        tolerance: largest distance of a hit, in the metric's units.
    """

    metric: Metric
    value: float
    tolerance: float

    @property
    def bound(self) -> float:
        """The worst value that does not fall short."""
        return self.value + self.tolerance if self.metric.is_ceiling else self.value - self.tolerance

    def is_hit(self, value: float) -> bool:
        """Whether a measured value is near enough."""
        return abs(value - self.value) <= self.tolerance

    def falls_short(self, value: float) -> bool:
        """Whether a picture looks worse, or a file is larger, than was asked for; the contrary is fine.

        What is not a number falls short.
        """
        beyond = self.metric.axis(value) - self.metric.axis(self.value)
        return not self.is_hit(value) and not (beyond <= 0 if self.metric.is_size else beyond >= 0)


def parse_target(text: str, tolerance: float | None = None) -> Target:
    """Reads ``METRIC=VALUE``.

    Args:
        text: such as ``ssimulacra2=80``.
        tolerance: in the metric's units, or a share of the value for bytes, bpp and vgg; None for the
            metric's own.

    Raises:
        UsageError: no such metric, no number, or a value that cannot be.
    """
    name, separator, number = text.partition("=")
    metric = METRICS.get(name.strip())
    if not separator or metric is None:
        raise UsageError(
            f"target: expected METRIC=VALUE with METRIC one of {', '.join(METRICS)}, got {text!r}"
        )
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"target: {number!r} is not a number") from None
    if not metric.lowest <= value <= metric.highest:
        raise UsageError(
            f"target: {name} lies between {metric.lowest:g} and {metric.highest:g}, got {value:g}"
        )
    near = metric.tolerance if tolerance is None else tolerance
    return Target(metric, value, near * value if metric.relative else near)


@dataclass
class Search:
    """Looks for the nominal score at which one picture hits its target: secant within a bracket.

    Attributes:
        target: what to hit.
        start: the first nominal score to try.
        first_is_off: later tries follow another curve than the first one, which is forgotten when it can be.
        tried: (nominal score, measured value), in the order tried.
    """

    target: Target
    start: float
    first_is_off: bool = False
    tried: list[tuple[float, float]] = field(default_factory=list)

    def add(self, nominal: float, value: float) -> None:
        """Tells what came out; a value that is not a number counts as far below the target."""
        self.tried.append((nominal, value if math.isfinite(value) else self.target.metric.worst))

    @property
    def best(self) -> int:
        """Which try came nearest."""
        return min(range(len(self.tried)), key=lambda index: abs(self.tried[index][1] - self.target.value))

    def proposal(self) -> float | None:
        """The next nominal score to try; None when the target is hit or nothing is left to try."""
        if not self.tried:
            return min(max(self.start, LOWEST), HIGHEST)
        if self.target.is_hit(self.tried[self.best][1]):
            return None
        goal, points = self._goal, self._points()
        bracket = self._bracket(points)
        proposal = self._beyond(points, goal) if bracket is None else self._within(*bracket, goal)
        return None if self._is_tried(proposal) else proposal

    @property
    def cliff(self) -> int | None:
        """Which try stands on the edge above a jump over the target; None where there is no jump."""
        if len(self.tried) < 3 or self.target.is_hit(self.tried[self.best][1]):
            return None
        bracket = self._bracket(self._points())
        if bracket is None:
            return None
        (x0, y0), (x1, y1) = bracket
        if y1 - y0 <= STEEPEST * self.target.metric.slope * (x1 - x0):
            return None
        return [nominal for nominal, _ in self.tried].index(x1)

    @property
    def _goal(self) -> float:
        return self.target.metric.axis(self.target.value)

    def _points(self) -> list[tuple[float, float]]:
        tried = self.tried[1:] if self.first_is_off and len(self.tried) > 2 else self.tried
        return sorted((nominal, self.target.metric.axis(value)) for nominal, value in tried)

    def _bracket(
        self, points: list[tuple[float, float]]
    ) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Neighbors on both sides of the goal."""
        # On a curve that is not monotone, too, there is at most one such pair; a proposal makes it narrower.
        for left, right in pairwise(points):
            if (left[1] < self._goal) != (right[1] < self._goal):
                return left, right
        return None

    def _within(self, left: tuple[float, float], right: tuple[float, float], goal: float) -> float:
        share = (goal - left[1]) / (right[1] - left[1])
        # Never onto an end of the bracket: where the curve is bent the end would hardly move.
        return left[0] + min(max(share, 0.1), 0.9) * (right[0] - left[0])

    def _beyond(self, points: list[tuple[float, float]], goal: float) -> float:
        """All are on one side: on from the nearest; of equally near ones, from the one on the way."""
        nearest = min(
            points, key=lambda point: (abs(point[1] - goal), -point[0] if point[1] < goal else point[0])
        )
        slope = self._slope(points)
        step = (goal - nearest[1]) / slope
        if slope <= self.target.metric.slope / FLATTEST:
            step = math.copysign(max(abs(step), points[-1][0] - points[0][0]), step)
        return min(max(nearest[0] + step, LOWEST), HIGHEST)

    def _slope(self, points: list[tuple[float, float]]) -> float:
        usual = self.target.metric.slope
        if len(points) < 2:
            return usual
        (x0, y0), (x1, y1) = points[0], points[-1]
        return min(max((y1 - y0) / (x1 - x0), usual / FLATTEST), usual * FLATTEST)

    def _is_tried(self, proposal: float) -> bool:
        return any(abs(proposal - nominal) < 0.02 for nominal, _ in self.tried)
