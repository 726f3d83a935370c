"""What a page tells of a run's records, gathered one by one."""

import json
import os
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import Any

from imgcompress.dataset.html.wording import score_of, words
from imgcompress.dataset.report import Summary
from imgcompress.dataset.sample_pairs import RANKED_BY, goodness, saving
from imgcompress.dataset.shortlist import Shortlist
from imgcompress.errors import Reason
from imgcompress.records import FileRecord, Status

MOST_ROWS = 200_000
"""Of the table; a browser gets slow, and its scroll bar coarse, with more. Totals and plots count all."""
MOST_FAILURES = 1000
"""Listed of one reason; the table has the others."""
_EXTREMES = 10


@dataclass
class Gathered:
    """What the page tells of the records; grows by a few numbers a file after the table is full."""

    summary: Summary = field(default_factory=Summary)
    reasons: Counter[tuple[Status, Reason]] = field(default_factory=Counter)
    savings: "array[float]" = field(default_factory=lambda: array("d"))
    scores: dict[str, "array[float]"] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    targets: Counter[str] = field(default_factory=Counter)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    costs: dict[int, str] = field(default_factory=dict)
    failures: dict[Reason, list[FileRecord]] = field(default_factory=lambda: defaultdict(list))
    worst: dict[str, Shortlist[FileRecord]] = field(
        default_factory=lambda: defaultdict(lambda: Shortlist(_EXTREMES))
    )
    best: dict[str, Shortlist[FileRecord]] = field(
        default_factory=lambda: defaultdict(lambda: Shortlist(_EXTREMES))
    )

    def add(self, record: FileRecord) -> None:
        """Counts one file; what an earlier run has done counts as it ended there."""
        if record.was is not None:
            record = replace(record, status=record.was)
        self.summary.add(record)
        self.reasons[record.status, record.reason] += 1
        is_new = record.status is Status.RECOMPRESSED
        # Of the others they are those of a result that was not taken.
        scores = {name: value for name, value in record.scores.items() if is_new and isfinite(value)}
        for name, value in scores.items():
            self.scores[name].append(value)
        for name in RANKED_BY:
            if name in scores:
                self.worst[name].add(-goodness(record, name), record)
                self.best[name].add(goodness(record, name), record)
        if is_new:
            self.targets[str(record.settings.get("target"))] += 1
        if record.reason is not Reason.NOT_A_PICTURE and isfinite(share := saving(record)):
            self.savings.append(100 * share)
        if record.status is Status.FAILED and len(self.failures[record.reason]) < MOST_FAILURES:
            self.failures[record.reason].append(record)
        if len(self.rows) < MOST_ROWS:
            self._add_row(record, scores)

    def _add_row(self, record: FileRecord, scores: dict[str, float]) -> None:
        if record.error is not None:
            self.errors[len(self.rows)] = record.error
        if costs := costs_of(record):
            self.costs[len(self.rows)] = ", ".join(f"{form} {size:,}" for form, size in costs.items())
        self.names.append(record.source)
        self.rows.append(
            (
                record.status,
                record.reason,
                record.format or "",
                record.width,
                record.height,
                record.bytes_in,
                record.bytes_out,
                round(record.seconds, 2),
                scores,
            )
        )

    @property
    def count(self) -> int:
        """How many files there are."""
        return self.summary.statuses.total()

    @property
    def metrics(self) -> list[str]:
        """The scores there are, those that order results first."""
        others = sorted(name for name in self.scores if name not in RANKED_BY)
        return [name for name in RANKED_BY if name in self.scores] + others

    @property
    def metric(self) -> str | None:
        """The score that orders the results: the one most of them have."""
        found = [name for name in RANKED_BY if name in self.scores]
        return max(found, key=lambda name: len(self.scores[name]), default=None)

    @property
    def target(self) -> str | None:
        """What was aimed at."""
        return self.targets.most_common(1)[0][0] if self.targets else None

    @cached_property
    def folder(self) -> str:
        """What all names begin with, up to a slash; asked for when all are there."""
        # What the first and the last in order share, all share.
        first, last = min(self.names, default=""), max(self.names, default="")
        common = next(
            (first[:at] for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1),
            first,
        )
        return common[: max(common.rfind("/"), common.rfind(os.sep)) + 1]

    def as_json(self) -> str:
        """The table by columns, fit for a script element: no character of it ends the element."""
        status, reason, form, width, height, bytes_in, bytes_out, seconds, scores = (
            zip(*self.rows, strict=True) if self.rows else ((),) * 9
        )
        statuses, reasons, formats = list(Status), sorted(set(reason)), sorted(set(form))
        columns = {
            "folder": self.folder,
            "names": [name.removeprefix(self.folder) for name in self.names],
            "statuses": statuses,
            "status": [statuses.index(value) for value in status],
            "reasons": [words(value) for value in reasons],
            "reason": [reasons.index(value) for value in reason],
            "formats": formats,
            "format": [formats.index(value) for value in form],
            "width": width,
            "height": height,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "seconds": seconds,
            "scores": [
                {
                    "label": score_of(name).name,
                    "digits": score_of(name).digits,
                    "values": [_rounded(found.get(name), score_of(name).digits) for found in scores],
                }
                for name in self.metrics
            ],
            "errors": self.errors,
            "costs": self.costs,
        }
        packed = json.dumps(columns, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return packed.replace("<", "\\u003c")


def costs_of(record: FileRecord) -> dict[str, int]:
    """Bytes of each format that was made, where the smallest was taken."""
    costs = record.settings.get("costs")
    return costs if isinstance(costs, dict) else {}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
