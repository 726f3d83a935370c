"""Bjontegaard's rate difference of two curves, and how sure its mean over pictures is.

Source: Bjontegaard, VCEG-M33 (2001), with the piecewise cubic of Fritsch and Carlson (1980) in place of one
polynomial, as JCT-VC does since JCTVC-L1100.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of one encoder on one picture.

    Attributes:
        sizes: bytes, > 0.
        scores: one a size, larger is better.
    """

    sizes: Sequence[float]
    scores: Sequence[float]

    def range(self) -> tuple[float, float]:
        """Smallest and largest score."""
        return min(self.scores), max(self.scores)


def log_rate(curve: Curve) -> PchipInterpolator:
    """Log bytes as a function of the score; points of one score are averaged.

    Raises:
        ValueError: fewer than two different scores.
    """
    scores = np.asarray(curve.scores, dtype=np.float64)
    logs = np.log(np.asarray(curve.sizes, dtype=np.float64))
    unique, group = np.unique(scores, return_inverse=True)
    if len(unique) < 2:
        raise ValueError("a curve needs two different scores")
    return PchipInterpolator(unique, np.bincount(group, logs) / np.bincount(group))


def bd_rate(ours: Curve, peer: Curve) -> float:
    """How many more bytes ours takes than the peer, averaged over the scores that both reach.

    Args:
        ours, peer: at least two different scores each.

    Returns:
        Percent, negative when ours is smaller; NaN where the curves share no range of scores.
    """
    if min(len(set(ours.scores)), len(set(peer.scores))) < 2:
        return math.nan
    low = max(ours.range()[0], peer.range()[0])
    high = min(ours.range()[1], peer.range()[1])
    if low >= high:
        return math.nan
    difference = log_rate(ours).integrate(low, high) - log_rate(peer).integrate(low, high)
    return float(100.0 * np.expm1(difference / (high - low)))


@dataclass(frozen=True)
class Summary:
    """BD-rates over pictures, percent.

    Attributes:
        mean: NaN without pictures.
        low, high: bootstrap interval of the mean, 95 %.
        worst: the largest.
        larger: on how many pictures ours took more bytes.
        count: pictures with a rate.
    """

    mean: float
    low: float
    high: float
    worst: float
    larger: int
    count: int


def summarize(rates: Sequence[float], resamples: int = 10_000, seed: int = 0) -> Summary:
    """Mean and its percentile bootstrap interval over pictures (resampled with replacement).

    Args:
        rates: one a picture, percent; NaN is left out.
        resamples: bootstrap samples.
        seed: of the resampling, so that a table can be printed again.
    """
    known = np.asarray([rate for rate in rates if not np.isnan(rate)], dtype=np.float64)
    if known.size == 0:
        return Summary(math.nan, math.nan, math.nan, math.nan, 0, 0)
    indices = np.random.default_rng(seed).integers(known.size, size=(resamples, known.size))
    low, high = np.percentile(known[indices].mean(axis=1), [2.5, 97.5])
    return Summary(
        float(known.mean()),
        float(low),
        float(high),
        float(known.max()),
        int((known > 0).sum()),
        int(known.size),
    )
