"""What people and programs learn about a run: a progress bar, a report of JSON lines, a summary."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from imgcompress.config import Config
from imgcompress.errors import UsageError
from imgcompress.image.buffers import BufferPool
from imgcompress.records import FileRecord, Status


@dataclass
class Summary:
    """Totals of a run.

    Attributes:
        statuses: how many files ended how.
        bytes_in, bytes_out: totals over the files that have an output of this run.
        megapixels: decoded, millions of pixels.
        failures: the records of failed files.
        seconds: since the run began.
    """

    statuses: Counter[Status] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    megapixels: float = 0.0
    failures: list[FileRecord] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, record: FileRecord) -> None:
        """Counts one file."""
        self.statuses[record.status] += 1
        if record.status is Status.FAILED:
            self.failures.append(record)
        elif record.bytes_in is not None and record.bytes_out is not None:
            self.bytes_in += record.bytes_in
            self.bytes_out += record.bytes_out
            self.megapixels += (record.width or 0) * (record.height or 0) / 1e6

    @property
    def failed(self) -> int:
        """How many files have no output because of an error."""
        return self.statuses[Status.FAILED]

    @property
    def saved(self) -> float:
        """Share of bytes saved, 0 to 1."""
        return 1.0 - self.bytes_out / self.bytes_in if self.bytes_in else 0.0

    def show(self, console: Console, buffers: BufferPool) -> None:
        """Prints the totals and every failure."""
        for record in self.failures:
            message = f"failed: {record.source}: {record.error}"
            console.print(message, markup=False, highlight=False, soft_wrap=True)
        table = Table(show_header=False, box=None)
        counts = ", ".join(f"{count} {status.value}" for status, count in self.statuses.items())
        rate = self.megapixels / self.seconds if self.seconds else 0.0
        table.add_row("files", counts)
        table.add_row("bytes", f"{self.bytes_in:,} -> {self.bytes_out:,} ({100 * self.saved:.1f} % saved)")
        table.add_row("time", f"{self.seconds:.1f} s, {rate:.2f} Mpx/s")
        table.add_row("peak memory", f"{peak_megabytes():,.0f} MB")
        table.add_row("buffers", f"{buffers.allocations} allocated, {buffers.reuses} times reused")
        console.print(table)


def peak_megabytes() -> float:
    """The largest resident size of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def follow(
    records: Iterable[FileRecord], total: int, config: Config, report: Path | None, console: Console
) -> Summary:
    """Takes records as they come: a progress bar, and the report if one is asked for.

    Args:
        records: of a run.
        total: how many will come.
        config: written beside the report, as ``NAME.config.yaml``.
        report: a file for one JSON line a record, replaced if it exists.
        console: where the bar is drawn.

    Returns:
        The totals.

    Raises:
        UsageError: the report cannot be written.
    """
    try:
        return _follow(records, total, config, report, console)
    except OSError as error:
        if report is None:
            raise
        raise UsageError(f"{report}: the report cannot be written: {error.strerror or error}") from error


def _follow(
    records: Iterable[FileRecord], total: int, config: Config, report: Path | None, console: Console
) -> Summary:
    summary = Summary()
    started = time.perf_counter()
    with ExitStack() as stack:
        lines = stack.enter_context(_open_report(report, config)) if report is not None else None
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[saved]}"),
                TimeRemainingColumn(),
                console=console,
            )
        )
        task = progress.add_task("recompress", total=total, saved="")
        for record in records:
            summary.add(record)
            summary.seconds = time.perf_counter() - started
            if lines is not None:
                lines.write(record.to_json() + "\n")
                lines.flush()
            saved = (summary.bytes_in - summary.bytes_out) / 1e6
            rate = summary.megapixels / summary.seconds
            progress.update(
                task, advance=1, saved=f"{saved:.1f} MB saved ({100 * summary.saved:.0f} %), {rate:.1f} Mpx/s"
            )
    return summary


def _open_report(report: Path, config: Config) -> TextIO:
    report.parent.mkdir(parents=True, exist_ok=True)
    # A file name that is no UTF-8 has lone surrogates; their escape is valid JSON.
    lines = report.open("w", encoding="utf-8", errors="backslashreplace")
    report.with_suffix(".config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    return lines
