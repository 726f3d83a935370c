"""Which results of a run are shown beside their sources: the worst, the best, the largest savings."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from math import nan

from imgcompress.dataset.pair_drawing import draw_pair
from imgcompress.dataset.shortlist import Shortlist
from imgcompress.drawing.pair import PairDrawing
from imgcompress.records import FileRecord, Status
from imgcompress.targets import METRICS

RANKED_BY = ("ssimulacra2", "vgg", "ssim", "psnr")
"""Scores that order results; of those that there are the first is taken."""

MOST_BYTES = 8_000_000
"""A source and an output that are larger together are drawn at once: a few large files are much memory."""

Bytes = Callable[[], bytes]


class Group(StrEnum):
    """What a pair was chosen for."""

    WORST = "worst"
    BEST = "best"
    SAVING = "saving"


@dataclass(frozen=True)
class Pair:
    """A result beside its source.

    Attributes:
        record: what the report says of it.
        drawing: how it looks.
        places: what it was chosen for, and its place there, 0 the first.
        metric: the score that is meant by worst and best.
    """

    record: FileRecord
    drawing: PairDrawing
    places: dict[Group, int]
    metric: str | None


def goodness(record: FileRecord, metric: str | None) -> float:
    """The score on an axis where more is better; not a number where there is none."""
    if metric is None:
        return nan
    return METRICS[metric].axis(record.scores.get(metric, nan))


def saving(record: FileRecord) -> float:
    """Share of bytes saved, 1 at most, below 0 for a larger output; not a number where there is none."""
    if not record.bytes_in or record.bytes_out is None:
        return nan
    return 1 - record.bytes_out / record.bytes_in


class SamplePairs:
    """Looks at every result while a run goes on, and keeps a few to be drawn after it. For one thread.

    Args:
        each: how many of the worst and best by score, and of the largest savings.
        metric: the score; None takes the first of ``RANKED_BY`` that the first result has.
    """

    def __init__(self, each: int = 4, metric: str | None = None) -> None:
        self.metric = metric
        self._lists: dict[Group, Shortlist[_Kept]] = {group: Shortlist(each) for group in Group}

    def offer(self, record: FileRecord, source: Bytes, output: Bytes) -> None:
        """Takes a result or passes it by; one that cannot be read or drawn is passed by.

        Args:
            record: of any file; only recompressed ones have new pixels to look at.
            source: gives the source's bytes; called only if the result is taken.
            output: gives the output's bytes, likewise.
        """
        if record.status is not Status.RECOMPRESSED:
            return
        if self.metric is None:
            self.metric = next((name for name in RANKED_BY if name in record.scores), None)
        good = goodness(record, self.metric)
        ranks = {Group.WORST: -good, Group.BEST: good, Group.SAVING: saving(record)}
        taken = [group for group, rank in ranks.items() if self._lists[group].takes(rank)]
        if not taken:
            return
        try:
            kept = _Kept(record, source(), output())
        except Exception:  # a picture to look at is not worth a run
            return
        for group in taken:
            self._lists[group].add(ranks[group], kept)

    def draw(self) -> list[Pair]:
        """Draws what was kept, each once: the worst first, then the best, then the largest savings.

        Returns:
            Those that can be drawn.
        """
        places: dict[_Kept, dict[Group, int]] = {}
        for group, shortlist in self._lists.items():
            for place, kept in enumerate(shortlist.items):
                places.setdefault(kept, {})[group] = place
        pairs = []
        for kept, found in places.items():
            with suppress(Exception):
                pairs.append(Pair(kept.record, kept.draw(), found, self.metric))
        return pairs


class _Kept:
    """A result that was taken: its two files, or where they are large its drawing."""

    def __init__(self, record: FileRecord, source: bytes, output: bytes) -> None:
        self.record = record
        self._held: PairDrawing | tuple[bytes, bytes] = (source, output)
        if len(source) + len(output) > MOST_BYTES:
            self._held = self.draw()

    def draw(self) -> PairDrawing:
        """How it looks."""
        return self._held if isinstance(self._held, PairDrawing) else draw_pair(*self._held)
