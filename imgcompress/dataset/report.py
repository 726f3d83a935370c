"""What people and programs learn about a run: a progress bar, a report of JSON lines, a summary."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from imgcompress.config import Config
from imgcompress.dataset.sampling import Chosen, Estimate, estimate
from imgcompress.dataset.sources import Listing
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord, Status

MOST_FAILURES = 100
"""Failures that a summary shows; the report has all."""


@dataclass
class Summary:
    """Totals of a run.

    Attributes:
        statuses: how many files ended how.
        bytes_in, bytes_out: totals over the files that have an output of this run.
        formats, format_bytes: how many of these outputs have which format, and bytes of them.
        megapixels: decoded, millions of pixels.
        failures: the records of the first ones.
        done: how many were done already.
        estimate: what a sample says of all pictures; None where all were taken.
        seconds: since the run began.
    """

    statuses: Counter[Status] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    format_bytes: Counter[str] = field(default_factory=Counter)
    megapixels: float = 0.0
    failures: list[FileRecord] = field(default_factory=list)
    done: int = 0
    estimate: Estimate | None = None
    seconds: float = 0.0

    def add(self, record: FileRecord) -> None:
        """Counts one file."""
        self.statuses[record.status] += 1
        self.done += record.reason is Reason.DONE
        if record.status is Status.FAILED:
            if len(self.failures) < MOST_FAILURES:
                self.failures.append(record)
        elif record.reason is Reason.NOT_A_PICTURE:
            return
        elif record.bytes_in is not None and record.bytes_out is not None:
            self.bytes_in += record.bytes_in
            self.bytes_out += record.bytes_out
            if record.format is not None:
                self.formats[record.format] += 1
                self.format_bytes[record.format] += record.bytes_out
            self.megapixels += (record.width or 0) * (record.height or 0) / 1e6

    @property
    def failed(self) -> int:
        """How many files have no output because of an error."""
        return self.statuses[Status.FAILED]

    @property
    def is_all_done(self) -> bool:
        """Whether an earlier run has left nothing to do."""
        return self.done == self.statuses.total()

    @property
    def saved(self) -> float:
        """Share of bytes saved, 0 to 1."""
        return 1.0 - self.bytes_out / self.bytes_in if self.bytes_in else 0.0

    def show(self, console: Console) -> None:
        """Prints the totals and the first failures."""
        for record in self.failures:
            message = f"failed: {record.source}: {record.error}"
            console.print(message, markup=False, highlight=False, soft_wrap=True)
        if (more := self.failed - len(self.failures)) > 0:
            console.print(f"... and {more:,} more: imgcompress ledger DST --status failed")
        table = Table(show_header=False, box=None)
        counts = ", ".join(f"{count} {status.value}" for status, count in self.statuses.items())
        rate = self.megapixels / self.seconds if self.seconds else 0.0
        table.add_row("files", counts)
        table.add_row("bytes", f"{self.bytes_in:,} -> {self.bytes_out:,} ({100 * self.saved:.1f} % saved)")
        if len(self.formats) > 1:
            for form, count in self.formats.most_common():
                table.add_row(form, f"{count:,} files, {self.format_bytes[form]:,} bytes")
        table.add_row("time", f"{self.seconds:.1f} s, {rate:.2f} Mpx/s")
        table.add_row("peak memory", f"{peak_megabytes():,.0f} MB")
        if self.estimate is not None:
            table.add_row("estimate", str(self.estimate))
        console.print(table)
        if self.is_all_done:
            console.print("nothing to do: an earlier run has done all of it")


def peak_megabytes() -> float:
    """The largest resident size so far of this process or of any worker that has ended, MB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(one).ru_maxrss for one in who)
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


class Follower:
    """Takes records as they come: a progress bar, and the report if one is asked for.

    Args:
        config: written beside the report, as ``NAME.config.yaml``.
        report: a file for one JSON line a record, replaced if it exists.
        console: where the bar is drawn.
    """

    def __init__(self, config: Config, report: Path | None, console: Console) -> None:
        self._config = config
        self._report = report
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[saved]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("recompress", total=None, saved="")

    def advance(self, pictures: int) -> None:
        """Moves the bar on."""
        self._progress.advance(self._task, pictures)

    def follow(
        self,
        records: Iterable[FileRecord],
        listing: Listing | None = None,
        chosen: Chosen | None = None,
    ) -> Summary:
        """Goes through a run.

        Args:
            records: of the run.
            listing: what it goes through; None where that is not known.
            chosen: the only ones that are computed; None for all.

        Returns:
            The totals.

        Raises:
            UsageError: the report cannot be written.
        """
        summary, sampled = Summary(), []
        is_sample = chosen is not None and len(chosen.keys) < chosen.pictures
        started = time.perf_counter()
        with ExitStack() as stack:
            lines = None
            if self._report is not None:
                lines = stack.enter_context(_open_report(self._report, self._config))
            stack.enter_context(self._progress)
            if chosen is not None:
                self._progress.update(self._task, total=len(chosen.keys))
            elif listing is not None:
                Thread(target=self._count, args=(listing,), daemon=True).start()
            for record in records:
                summary.add(record)
                if is_sample:
                    sampled.append(record)
                summary.seconds = time.perf_counter() - started
                if lines is not None and self._report is not None:
                    with _explained(self._report):
                        lines.write(record.to_json() + "\n")
                        lines.flush()
                saved = (summary.bytes_in - summary.bytes_out) / 1e6
                rate = summary.megapixels / summary.seconds
                told = f"{saved:.1f} MB saved ({100 * summary.saved:.0f} %), {rate:.1f} Mpx/s"
                self._progress.update(self._task, saved=told)
        if chosen is not None and is_sample:
            summary.estimate = estimate(sampled, chosen)
        return summary

    def _count(self, listing: Listing) -> None:
        """Meanwhile, so that nothing waits for it: how many there will be, where that can be told."""
        total = 0
        for entry in listing:
            if entry.is_shard:
                return
            total += 1
        self._progress.update(self._task, total=total)


@contextmanager
def _explained(report: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{report}: the report cannot be written: {error.strerror or error}") from error


@contextmanager
def _open_report(report: Path, config: Config) -> Iterator[TextIO]:
    with _explained(report):
        report.parent.mkdir(parents=True, exist_ok=True)
        # A file name that is no UTF-8 has lone surrogates; their escape is valid JSON.
        lines = report.open("w", encoding="utf-8", errors="backslashreplace")
    try:
        with _explained(report):
            report.with_suffix(".config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        yield lines
    finally:
        with _explained(report):
            lines.close()
