"""One scale of coarseness for everybody: quality numbers, SSIMULACRA2 scores, and steps.

A quality stands for the mean score that libjpeg-turbo gives the 24 Kodak pictures at that number (4:2:0), so
a number means a look. A nominal score stands for the step that gives it on average with our tables; what a
picture really scores at that step differs by some points, which is what a search is for.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

_SCORE_OF_QUALITY = (
    (1.0, -100.0),
    (10.0, -13.9),
    (30.0, 46.2),
    (50.0, 61.8),
    (75.0, 73.9),
    (90.0, 84.0),
    (95.0, 88.2),
    (100.0, 92.0),
)
"""Means of the C++ SSIMULACRA2 2.1, measured at 10 to 95; the ends are extrapolated."""

# Means over 384x384 crops of Kodak 1, 5, 7, 13, 15, 19, 20, 23 with the adaptive dead zone; with one round of
# the loop they are the same within .6, with three about 1 higher. The ends are extrapolated.
_STEP_OF_SCORE = (
    (-100.0, 1500.0),
    (26.8, 60.0),
    (53.2, 30.0),
    (62.5, 21.0),
    (71.2, 14.0),
    (77.5, 9.5),
    (84.1, 5.5),
    (89.8, 2.5),
    (92.6, 1.0),
    (97.0, 0.3),
)
LOWEST, HIGHEST = _STEP_OF_SCORE[0][0], _STEP_OF_SCORE[-1][0]
"""Nominal scores at which every step is 255 and 1: the ends of any search."""


def score_of_quality(quality: int) -> float:
    """The SSIMULACRA2 score that a quality stands for.

    Args:
        quality: 1 to 100.
    """
    return interpolate(_SCORE_OF_QUALITY, float(quality))


def step_of_score(nominal: float) -> float:
    """The reference step that gives a score on average.

    Args:
        nominal: a score; outside of the scale its end is meant.

    Returns:
        The luma step at the reference frequency, > 0, before rounding.
    """
    return math.exp(interpolate([(score, math.log(step)) for score, step in _STEP_OF_SCORE], nominal))


def interpolate(points: Sequence[tuple[float, float]], at: float) -> float:
    """The value of a piecewise linear function; outside of its points that of the nearest end.

    Args:
        points: at least two (place, value), places rising.
        at: any place.
    """
    places = [place for place, _ in points]
    at = min(max(at, places[0]), places[-1])
    right = max(1, bisect_left(places, at))
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
