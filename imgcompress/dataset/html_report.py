"""The report of a run for people: one HTML file that needs no network."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from imgcompress.dataset.html import sections
from imgcompress.dataset.html.gathered import Gathered
from imgcompress.dataset.html.run_facts import RunFacts
from imgcompress.dataset.sample_pairs import Pair
from imgcompress.drawing.html.page import fill_page, save_page
from imgcompress.records import FileRecord

__all__ = ["RunFacts", "read_records", "write_html"]


def write_html(path: Path, run: RunFacts, records: Iterable[FileRecord], pairs: Sequence[Pair] = ()) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        run: what it was.
        records: of all files; taken one by one.
        pairs: those that are shown before and after.

    Raises:
        UsageError: it cannot be written.
    """
    gathered = Gathered()
    for record in records:
        gathered.add(record)
    save_page(path, _page(run, gathered, pairs))


def read_records(report: Path) -> Iterator[FileRecord]:
    """The records of a report of JSON lines, one by one.

    Raises:
        OSError: it cannot be read.
        ValueError, KeyError, TypeError: a line is none of ours.
    """
    with report.open(encoding="utf-8") as lines:
        yield from map(FileRecord.from_json, lines)


def _page(run: RunFacts, gathered: Gathered, pairs: Sequence[Pair]) -> str:
    return fill_page(
        "report",
        escape(run.title),
        "dataset/html/report.html",
        notes=sections.notes(run),
        styles=("dataset/html/report.css",),
        scripts=("dataset/html/report.js",),
        totals=sections.totals(run, gathered),
        samples=sections.samples(pairs, gathered),
        plots=sections.plots(gathered),
        extremes=sections.extremes(gathered),
        failures=sections.failures(gathered),
        table_note=sections.table_note(gathered),
        records=gathered.as_json(),
        settings=escape(run.config.to_yaml()),
    )
