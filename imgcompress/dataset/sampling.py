"""Trying some of the pictures first, and what that says of all."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from imgcompress.dataset.shards import open_shard
from imgcompress.dataset.sources import Entry, Listing
from imgcompress.errors import PictureError
from imgcompress.records import FileRecord, Status

CONFIDENCE = 1.96
"""Standard errors to either side of an estimate: 95 %."""


@dataclass(frozen=True)
class Chosen:
    """Some pictures by their keys, and how many there are in all.

    Attributes:
        keys: of those chosen.
        files: keys of the files that they are or are in.
        pictures, bytes: of all, chosen or not.
    """

    keys: frozenset[str]
    files: frozenset[str]
    pictures: int
    bytes: int


def choose(listing: Listing) -> Chosen | None:
    """Goes through all pictures for the sake of ``limit`` and ``sample``; None where neither is asked for.

    A sample is drawn with a fixed seed, each picture as likely as any other (algorithm R of J. S. Vitter,
    Random sampling with a reservoir, 1985), keeping no more than are drawn.
    """
    limit, sample = listing.selection.limit, listing.selection.sample
    if limit is None and sample is None:
        return None
    generator = random.Random(0)
    drawn: list[tuple[str, str]] = []
    pictures = size = 0
    for file, key, length in islice(_pictures(listing), limit):
        pictures, size = pictures + 1, size + length
        if sample is None or len(drawn) < sample:
            drawn.append((file, key))
        elif (place := generator.randrange(pictures)) < sample:
            drawn[place] = (file, key)
    return Chosen(frozenset(key for _, key in drawn), frozenset(file for file, _ in drawn), pictures, size)


def _pictures(entries: Iterable[Entry]) -> Iterator[tuple[str, str, int]]:
    """File, key and size of every picture."""
    for entry in entries:
        if entry.is_other:
            continue
        try:
            if not entry.is_shard:
                yield entry.key, entry.key, entry.source.stat().st_size
                continue
            for member in open_shard(entry.source).members():
                size = 0 if member.blob is None else member.blob.size()
                yield entry.key, f"{entry.key}/{member.key}", size
        except (OSError, PictureError):
            yield entry.key, entry.key, 0  # a line of the report says what is wrong with it


@dataclass(frozen=True)
class Estimate:
    """What a sample says of all: shares saved, with an interval of 95 %, and bytes.

    Attributes:
        saved, low, high: shares of the bytes, 0 to 1.
        pictures, bytes: of all.
    """

    saved: float
    low: float
    high: float
    pictures: int
    bytes: int

    def __str__(self) -> str:
        """One line for people."""
        most, least = self.bytes * self.high / 1e6, self.bytes * self.low / 1e6
        share = f"{100 * self.low:.1f} to {100 * self.high:.1f} %, {least:,.1f} to {most:,.1f} MB"
        return (
            f"of all {self.pictures:,} pictures ({self.bytes / 1e6:,.1f} MB) about "
            f"{100 * self.saved:.1f} % would be saved (95 %: {share})"
        )


def estimate(records: Iterable[FileRecord], chosen: Chosen) -> Estimate | None:
    """Extrapolates by the ratio of bytes; what failed saves nothing.

    Args:
        records: of the chosen pictures.
        chosen: how many there are in all.

    Returns:
        The estimate; None where fewer than two records have sizes.

    Source: ratio estimator with linearized variance, W. G. Cochran, Sampling techniques, 3rd edition, 6.4.
    """
    pairs = []
    for record in records:
        if record.bytes_in is not None and record.reason != "exists":
            is_new = record.status is not Status.FAILED and record.bytes_out is not None
            pairs.append((record.bytes_in, record.bytes_in - (record.bytes_out or 0) if is_new else 0))
    total = sum(size for size, _ in pairs)
    if len(pairs) < 2 or total == 0:
        return None
    saved = sum(gain for _, gain in pairs) / total
    count, mean = len(pairs), total / len(pairs)
    variance = sum((gain - saved * size) ** 2 for size, gain in pairs) / (count - 1)
    unseen = max(0.0, 1 - count / max(count, chosen.pictures))
    error = CONFIDENCE * math.sqrt(unseen * variance / count) / mean
    return Estimate(saved, saved - error, min(1.0, saved + error), chosen.pictures, chosen.bytes)
