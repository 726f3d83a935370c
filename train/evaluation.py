"""How well distances agree with people."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import kendalltau, rankdata
from torch import Tensor

from train.judgments import Item

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Of distances with one study's scores, over all its pictures together; 1 is perfect.

    Attributes:
        srocc, krocc: Spearman's and Kendall's rank correlation.
        plcc: Pearson's correlation after a 4-parameter logistic curve.
        low, high: 95 % interval of srocc, by drawing pictures with replacement.
    """

    srocc: float
    krocc: float
    plcc: float
    low: float
    high: float


def agreement(
    distances: Sequence[float], scores: Sequence[float], pictures: Sequence[str], draws: int = 1000
) -> Agreement:
    """Agreement of one metric with one study.

    Args:
        distances: lower is better, any units.
        scores: higher is better.
        pictures: what each item shows.
        draws: of the bootstrap; seeded.
    """
    x, y = -np.asarray(distances, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    members = [np.flatnonzero(np.asarray(pictures) == picture) for picture in sorted(set(pictures))]
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        drawn.append(_spearman(x[chosen], y[chosen]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Agreement(
        _spearman(x, y), float(kendalltau(x, y).statistic), _logistic_pearson(x, y), float(low), float(high)
    )


def study_figures(
    items: Sequence[Item], pairs: Sequence[tuple[int, int]], distances: Tensor
) -> dict[str, dict[str, float]]:
    """A study's figures, without intervals.

    Args:
        items: all pictures judged.
        pairs: (better, worse) where preferences were given as such.
        distances: of the items, lower is better, any units.

    Returns:
        By study: ``srocc`` over all items with scores, ``within`` (mean of the pictures' own), and ``pairs``,
        the share of given preferences that the distance agrees with.
    """
    values = distances.double().numpy()
    figures: dict[str, dict[str, float]] = defaultdict(dict)
    for study in sorted({item.study for item in items}):
        members = [i for i, item in enumerate(items) if item.study == study and item.score is not None]
        if members:
            scores = np.array([items[i].score for i in members], dtype=np.float64)
            figures[study]["srocc"] = _spearman(-values[members], scores)
            within = []
            for picture in sorted({items[i].picture for i in members}):
                mine = np.array([items[i].picture == picture for i in members])
                if mine.sum() > 1:
                    within.append(_spearman(-values[members][mine], scores[mine]))
            if np.isfinite(within).any():
                figures[study]["within"] = float(np.nanmean(within))
        mine_pairs = [(a, b) for a, b in pairs if items[a].study == study]
        if mine_pairs:
            figures[study]["pairs"] = float(np.mean([values[a] < values[b] for a, b in mine_pairs]))
    return dict(figures)


def _spearman(x: _Array, y: _Array) -> float:
    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")


def _logistic_pearson(x: _Array, y: _Array) -> float:
    def curve(v: _Array, top: float, bottom: float, center: float, width: float) -> _Array:
        return bottom + (top - bottom) / (1 + np.exp(-np.clip((v - center) / width, -60, 60)))

    spread = float(x.std())
    if not spread:
        return float("nan")
    start = (y.max(), y.min(), float(np.median(x)), spread)
    try:
        fitted = curve(x, *curve_fit(curve, x, y, start, maxfev=20000)[0])
    except RuntimeError:  # no convergence: the straight line
        fitted = x
    return float(np.corrcoef(fitted, y)[0, 1])
