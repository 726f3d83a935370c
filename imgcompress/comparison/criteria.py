"""What a pair must fulfil to pass: bounds for metrics, over the whole picture and in its worst window."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from imgcompress.dataset.html.wording import score_of
from imgcompress.errors import UsageError
from imgcompress.measure import LOWER_IS_BETTER, WINDOWED
from imgcompress.perception.windows import Window

HASHES = ("phash", "phash_color")
"""Distances of perceptual hashes; all other metrics are ``Measure``'s."""


@dataclass(frozen=True)
class Metric:
    """A measure of how near two pictures are.

    Attributes:
        name: as on the command line.
        lowest, highest: its values that make sense as bounds.
    """

    name: str
    lowest: float
    highest: float

    @property
    def lower_is_better(self) -> bool:
        """Whether 0 is for equal pictures; else the highest value is."""
        return self.name in LOWER_IS_BETTER or self.name in HASHES

    @property
    def has_windows(self) -> bool:
        """Whether it can be taken window by window."""
        return self.name in WINDOWED

    def passes(self, value: float, bound: float) -> bool:
        """Whether a value is at least as good as a bound; what is not a number never is."""
        return value <= bound if self.lower_is_better else value >= bound

    def text(self, value: float) -> str:
        """A value for people."""
        return score_of(self.name).text(value)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("ssimulacra2", -1000.0, 100.0),
        Metric("vgg", 0.0, 100.0),
        Metric("ssim", -1.0, 1.0),
        Metric("ms_ssim", 0.0, 1.0),
        Metric("psnr", 0.0, 100.0),
        Metric("max_error", 0.0, 255.0),
        Metric("phash", 0.0, 256.0),
        Metric("phash_color", 0.0, 512.0),
    )
}


@dataclass(frozen=True)
class Criterion:
    """A bound that a metric must keep.

    Attributes:
        metric: which one.
        bound: the worst value that passes.
        in_windows: whether the worst window counts, and not the whole picture.
    """

    metric: Metric
    bound: float
    in_windows: bool = False

    def complaint(self, value: float, window: Window | None = None) -> str | None:
        """Why a value does not pass, as a sentence; None where it does.

        Args:
            value: what was measured.
            window: where, if not over the whole picture.
        """
        metric = self.metric
        if metric.passes(value, self.bound):
            return None
        place = "" if window is None else f" in the window at ({window.x}, {window.y})"
        beyond = "above" if metric.lower_is_better else "below"
        beyond = beyond if isfinite(value) else "which is not"
        return f"{metric.name} is {metric.text(value)}{place}, {beyond} {self.bound:g}"


def parse_criterion(text: str, option: str, *, in_windows: bool = False) -> Criterion:
    """Reads ``METRIC=VALUE``.

    Args:
        text: such as ``ssimulacra2=70``.
        option: what it was given to, for errors.
        in_windows: whether the worst window is meant.

    Raises:
        UsageError: no such metric, no number, or a value that the metric cannot have.
    """
    name, separator, number = text.partition("=")
    if not separator:
        raise UsageError(f"{option}: expected METRIC=VALUE, got {text!r}")
    try:
        return criterion(name.strip(), float(number), option, in_windows=in_windows)
    except ValueError:
        raise UsageError(f"{option}: {number!r} is not a number") from None


def criterion(name: str, bound: float, option: str, *, in_windows: bool = False) -> Criterion:
    """Checks a bound.

    Args:
        name: of the metric.
        bound: the worst value that passes.
        option: where it was given, for errors.
        in_windows: whether the worst window is meant.

    Raises:
        UsageError: no such metric, none that is taken in windows, or a value that it cannot have.
    """
    metric = metric_named(name, option)
    if in_windows and not metric.has_windows:
        able = ", ".join(metric.name for metric in METRICS.values() if metric.has_windows)
        raise UsageError(f"{option}: {name} is not taken in windows; those that are: {able}")
    if not metric.lowest <= bound <= metric.highest:
        limits = f"between {metric.lowest:g} and {metric.highest:g}"
        raise UsageError(f"{option}: {name} lies {limits}, got {bound:g}")
    return Criterion(metric, bound, in_windows)


def metric_named(name: str, option: str) -> Metric:
    """The metric of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in METRICS:
        raise UsageError(f"{option}: expected one of {', '.join(METRICS)}, got {name!r}")
    return METRICS[name]


def merged(criteria: Iterable[Criterion]) -> tuple[Criterion, ...]:
    """One criterion for each metric and place: the last one, where the first was."""
    found: dict[tuple[str, bool], Criterion] = {}
    for item in criteria:
        found[item.metric.name, item.in_windows] = item
    return tuple(found.values())
