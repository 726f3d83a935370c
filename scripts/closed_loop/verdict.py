"""What counts as worse, decided from figures alone."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from closed_loop.history import Entry, Score

FEWEST_PAIRS = 7
"""With fewer no result of the sign test is as rare as ``CHANCE``."""
CHANCE = 0.01
"""How often a stage that takes as long as before may be called slower, however noisy the machine is."""


@dataclass(frozen=True)
class Pace:
    """How a stage's seconds compare with those of the earlier commit, taken in turns.

    Attributes:
        ratio: median over the pairs of rounds, new to old; above 1 is slower.
        lowest, highest: of the pairs.
        is_slower: whether the ratio is above the limit and too many pairs say so to be chance.
    """

    ratio: float
    lowest: float
    highest: float
    is_slower: bool


def pace(new: Sequence[float], old: Sequence[float], percent: float) -> Pace:
    """Compares the seconds of rounds that took turns.

    Args:
        new, old: seconds, round by round; as many of one as of the other.
        percent: by how much the median may be slower.
    """
    ratios = [after / before for after, before in zip(new, old, strict=True)]
    middle, slower = statistics.median(ratios), sum(ratio > 1 for ratio in ratios)
    count = len(ratios)
    by_chance = sum(comb(count, wins) for wins in range(slower, count + 1)) / 2**count
    is_slower = middle > 1 + percent / 100 and by_chance <= CHANCE
    return Pace(middle, min(ratios), max(ratios), is_slower)


def worse_results(now: Entry, before: Entry, percent: float) -> list[str]:
    """Sentences on what is worse in bytes and scores, which do not depend on the day.

    Bytes count in all. A score counts by what it lacks to a perfect copy's: 100 minus a SSIMULACRA2, the mean
    squared error behind a PSNR. A score that was a number and is none is worse, and so is a picture that
    had a result and has none.

    Args:
        now, before: two entries that are alike.
        percent: by how much each may be worse.
    """
    said = []
    if now.failed > before.failed:
        said.append(f"{now.failed} pictures have no result, {before.failed} before")
    if now.bytes > before.bytes * (1 + percent / 100):
        said.append(f"bytes: {now.bytes:,} are {_more(now.bytes, before.bytes)} than {before.bytes:,}")
    for metric, earlier in before.scores.items():
        later = now.scores.get(metric, Score(None, None))
        for kind in ("mean", "worst"):
            value, reference = getattr(later, kind), getattr(earlier, kind)
            if reference is None:
                continue
            if value is None:
                said.append(f"{metric}, {kind}: not a number, {reference:.3f} before")
                continue
            lack, lacked = _lack(metric, value), _lack(metric, reference)
            if lack > lacked * (1 + percent / 100):
                more = f"lacks {_more(lack, lacked)} to a perfect copy"
                said.append(f"{metric}, {kind}: {value:.3f} after {reference:.3f} {more}")
    return said


def slower_stages(paces: Mapping[str, Pace]) -> list[str]:
    """Sentences on the stages that are slower."""
    return [
        f"{name}: {pace.ratio:.2f} times the seconds (median of pairs; {pace.lowest:.2f}..{pace.highest:.2f})"
        for name, pace in paces.items()
        if pace.is_slower
    ]


def _lack(metric: str, score: float) -> float:
    return 10 ** (-score / 10) if metric == "psnr" else 100 - score


def _more(now: float, before: float) -> str:
    return f"{100 * (now / before - 1):.1f} % more" if before else "more"
