"""Measures pairs of pictures and judges them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from imgcompress.comparison.common_space import Seen
from imgcompress.comparison.criteria import HASHES, METRICS, Criterion
from imgcompress.comparison.pairing import Pair
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.config import Config
from imgcompress.errors import PictureError
from imgcompress.faults import caught
from imgcompress.hashing.perceptual_hash import are_smooth, hash_distances, hash_pictures
from imgcompress.measure import Measure
from imgcompress.perception.windows import WindowMap, worst_windows

BACKGROUNDS = (0.1, 0.5, 0.9)
"""Gray levels, gamma-coded, that show through where there is alpha: dark, medium, light."""
MOST_WINDOWS = 3
"""Told of each pair and metric, the worst ones."""


_SMOOTH = "both pictures are smooth: phash says nothing of them"


class Opened(NamedTuple):
    """A pair of files and what is seen in them."""

    pair: Pair
    seen: Seen


class Comparer:
    """Measures pairs of pictures on the device and judges them.

    Args:
        config: limits, and how the VGG distance is taken.
        device: where.
        criteria: what a pair must fulfil.
        metrics: names of those that are measured beside the criteria's.
        locate: metrics whose worst windows are told beside the criteria's.

    Raises:
        UsageError: the trunk's file is missing or not the one expected.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        criteria: Sequence[Criterion],
        *,
        metrics: Iterable[str] = (),
        locate: Iterable[str] = (),
    ) -> None:
        self._criteria = tuple(criteria)
        self._device = device
        wanted = {item.metric.name for item in criteria} | set(metrics)
        self._metrics = [name for name in METRICS if name in wanted]
        local = {item.metric.name for item in criteria if item.in_windows} | set(locate)
        self._local = [name for name in METRICS if name in local]
        measured = [name for name in METRICS if name in wanted | local and name not in HASHES]
        self._measure = Measure(measured, config, device, backgrounds=BACKGROUNDS)

    def compare(self, opened: Sequence[Opened]) -> list[Compared]:
        """Compares pairs; those of one kind are measured together.

        Args:
            opened: pairs of one size each.

        Returns:
            In their order. Where a pair cannot be measured, the outcome is an error and the others go on.
        """
        if not opened:
            return []
        together = caught(self._all, opened)
        if not isinstance(together, PictureError):
            return together
        if len(opened) == 1:
            return [_error(opened[0], together)]
        return [compared for item in opened for compared in self.compare([item])]

    def _all(self, opened: Sequence[Opened]) -> list[Compared]:
        references, tests = [item.seen.reference for item in opened], [item.seen.test for item in opened]
        scores = self._measure.scores(references, tests)
        if set(self._metrics) & set(HASHES):
            hashes = hash_pictures([*references, *tests], self._device)
            hashed = list(zip(hashes, hashes[len(opened) :], strict=False))
            scores = [found | hash_distances(*pair) for found, pair in zip(scores, hashed, strict=True)]
            opened = [
                _with_note(item, _SMOOTH) if are_smooth(*pair) else item
                for item, pair in zip(opened, hashed, strict=True)
            ]
        maps: list[dict[str, WindowMap]] = [{} for _ in opened]
        if self._local:
            maps = self._measure.windows(self._local, references, tests)
        return [self._judged(*measured) for measured in zip(opened, scores, maps, strict=True)]

    def _judged(self, item: Opened, scores: dict[str, float], maps: dict[str, WindowMap]) -> Compared:
        worst = {
            name: worst_windows(windows, MOST_WINDOWS, lower_is_worse=not METRICS[name].lower_is_better)
            for name, windows in maps.items()
        }
        complaints = []
        for criterion in self._criteria:
            name = criterion.metric.name
            if criterion.in_windows:
                complaints.append(criterion.complaint(worst[name][0].value, worst[name][0]))
            else:
                complaints.append(criterion.complaint(scores[name]))
        failures = tuple(filter(None, complaints))
        height, width = item.seen.reference.pixels.shape[1:]
        return Compared(
            item.pair.name,
            Outcome.FAILED if failures else Outcome.PASSED,
            item.pair.reference,
            item.pair.test,
            width,
            height,
            {name: scores[name] for name in self._metrics},
            worst,
            item.seen.notes,
            failures,
        )


def _with_note(item: Opened, note: str) -> Opened:
    return item._replace(seen=item.seen._replace(notes=(*item.seen.notes, note)))


def _error(item: Opened, error: PictureError) -> Compared:
    return Compared(item.pair.name, Outcome.ERROR, item.pair.reference, item.pair.test, error=str(error))
