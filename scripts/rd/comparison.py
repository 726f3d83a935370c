"""BD-rates of our encoders against the peers, picture by picture and metric by metric."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rd.bdrate import Curve, bd_rate
from rd.encoders import JPEGLI, JPEGLI_444, LIBJPEG, MOZJPEG
from rd.measure import HIGH, MAIN, MIN_POINTS, Point
from rd.scores import SSIMULACRA2, Metric

PEERS = (LIBJPEG, MOZJPEG, JPEGLI)
BETTER = "better peer"
"""Of each picture and metric: the peer nearest to us, that is the largest BD-rate."""
HIGH_PEER = f"{JPEGLI_444}, {HIGH[0]:.0f}..{HIGH[1]:.0f}"


class Judged(Protocol):
    """A file: its bytes and its scores by metric name."""

    @property
    def size(self) -> int: ...

    @property
    def scores(self) -> dict[str, float]: ...


@dataclass(frozen=True)
class Rate:
    """A BD-rate in percent; NaN where the curves have no range of scores in common."""

    picture: str
    encoder: str
    peer: str
    metric: str
    percent: float


def compare(points: Sequence[Point], metrics: Sequence[Metric]) -> list[Rate]:
    """Every one of our encoders against every peer and the better of them.

    Args:
        points: all that were measured.
        metrics: which scores to compare.
    """
    pictures = list(dict.fromkeys(point.picture for point in points))
    rates = []
    for encoder in ours(points):
        for metric in metrics:
            for picture in pictures:
                percents = [_rate(points, picture, (encoder, peer), metric, MAIN) for peer in PEERS]
                known = [percent for percent in percents if not math.isnan(percent)]
                better = max(known, default=math.nan)
                above = _rate(points, picture, (encoder, JPEGLI_444), metric, HIGH)
                rates += [
                    Rate(picture, encoder, peer, metric.name, percent)
                    for peer, percent in zip(
                        (*PEERS, BETTER, HIGH_PEER), (*percents, better, above), strict=True
                    )
                ]
    return rates


def compare_ours(points: Sequence[Point], metrics: Sequence[Metric]) -> list[Rate]:
    """Every one of our encoders against the first of them, so that one difference in settings shows.

    Args:
        points: all that were measured.
        metrics: which scores to compare.
    """
    first, *others = ours(points)
    return [
        Rate(picture, encoder, first, metric.name, _rate(points, picture, (encoder, first), metric, MAIN))
        for encoder in others
        for metric in metrics
        for picture in dict.fromkeys(point.picture for point in points)
    ]


def ours(points: Sequence[Point]) -> list[str]:
    """Names of our encoders, in the order measured."""
    return list(dict.fromkeys(p.encoder for p in points if p.encoder not in (*PEERS, JPEGLI_444)))


def _rate(
    points: Sequence[Point],
    picture: str,
    encoders: tuple[str, str],
    metric: Metric,
    window: tuple[float, float],
) -> float:
    return bd_rate(*(curve(points, picture, encoder, metric, window) for encoder in encoders))


def curve(
    points: Sequence[Point], picture: str, encoder: str, metric: Metric, window: tuple[float, float]
) -> Curve:
    """The files of one encoder whose SSIMULACRA2 lies within the window, under a metric."""
    chosen = [
        point
        for point in points
        if (point.picture, point.encoder) == (picture, encoder)
        and window[0] <= point.scores[SSIMULACRA2] <= window[1]
    ]
    return curve_through(chosen, metric)


def curve_through(files: Iterable[Judged], metric: Metric) -> Curve:
    """Files under a metric, but those that it has no score for."""
    chosen = [file for file in files if not math.isnan(file.scores.get(metric.name, math.nan))]
    return Curve([file.size for file in chosen], [metric.axis(file.scores[metric.name]) for file in chosen])


def thin_curves(points: Sequence[Point]) -> list[str]:
    """A sentence for each curve with fewer points in its range than the comparison asks for."""
    counts: dict[tuple[str, str], int] = {}
    for point in points:
        low, high = HIGH if point.encoder == JPEGLI_444 else MAIN
        pair = (point.picture, point.encoder)
        counts[pair] = counts.get(pair, 0) + (low <= point.scores[SSIMULACRA2] <= high)
    return [
        f"{picture}, {encoder}: {count} points"
        for (picture, encoder), count in counts.items()
        if count < (4 if encoder == JPEGLI_444 else MIN_POINTS)
    ]
