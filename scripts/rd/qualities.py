"""Which quality numbers to try so that a curve's points cover a range of scores."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

_LOWEST, _HIGHEST = 1, 100


def next_qualities(
    measured: Mapping[int, float], targets: Sequence[float], low: float, high: float
) -> list[int]:
    """Qualities predicted to hit the targets that no measured point is close to.

    Args:
        measured: score of each quality tried so far.
        targets: scores wanted, ascending, within the range.
        low, high: the range; points outside it count for no target.

    Returns:
        New qualities, ascending; empty when every target is met or the integers around it are tried.
    """
    reach = (targets[-1] - targets[0]) / max(1, len(targets) - 1) / 2 if len(targets) > 1 else 1.0
    inside = [score for score in measured.values() if low <= score <= high]
    missed = [target for target in targets if all(abs(score - target) > reach for score in inside)]
    return sorted({_quality_for(target, measured) for target in missed} - measured.keys())


def bracket(score_of: Callable[[int], float], wanted: float, start: Sequence[int]) -> tuple[int, int] | None:
    """Two neighboring qualities, the lower one's score below what is wanted and the upper one's not.

    Args:
        score_of: measures a quality.
        wanted: a score.
        start: at least one quality to begin with.

    Returns:
        None where no quality is below, or none above. Where the scores do not rise steadily there may be
        several such pairs; one of them is found.
    """
    measured = {quality: score_of(quality) for quality in start}
    while True:
        lower = max((quality for quality, score in measured.items() if score < wanted), default=_LOWEST - 1)
        upper = min((quality for quality in measured if quality > lower), default=_HIGHEST + 1)
        if upper - lower == 1:
            return (lower, upper) if lower >= _LOWEST and upper <= _HIGHEST else None
        # Every third step halves: interpolation alone creeps along where the curve is bent.
        halve = (len(measured) - len(start)) % 3 == 2
        quality = (lower + upper) // 2 if halve else _quality_for(wanted, measured)
        quality = min(max(quality, lower + 1), upper - 1)
        measured[quality] = score_of(quality)


def _quality_for(target: float, measured: Mapping[int, float]) -> int:
    """Linear between the neighbors; beyond the ends the outermost slope goes on."""
    qualities = np.array(sorted(measured), dtype=np.float64)
    scores = np.maximum.accumulate(np.array([measured[int(q)] for q in qualities]))
    if len(qualities) > 1 and not scores[0] <= target <= scores[-1]:
        end, inner = (0, 1) if target < scores[0] else (-1, -2)
        slope = (scores[end] - scores[inner]) / (qualities[end] - qualities[inner])
        predicted = qualities[end] + (target - scores[end]) / max(slope, 0.1)
    else:
        predicted = float(np.interp(target, scores, qualities))
    return int(np.clip(round(predicted), _LOWEST, _HIGHEST))


def refine(measured: Mapping[int, float], low: float, high: float) -> list[int]:
    """The middle of the widest step in score that reaches into the range, where an integer is left there.

    Args:
        measured: score of each quality tried so far.
        low, high: the range of scores that should hold more points.

    Returns:
        One quality, or none.
    """
    ordered = sorted(measured)
    gaps = [
        (abs(measured[upper] - measured[lower]), (lower + upper) // 2)
        for lower, upper in pairwise(ordered)
        if upper - lower > 1 and measured[upper] > low and measured[lower] < high
    ]
    return [max(gaps)[1]] if gaps else []
