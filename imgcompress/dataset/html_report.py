"""The report of a run for people: one HTML file that needs no network."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from imgcompress import __version__
from imgcompress.dataset.html import sections
from imgcompress.dataset.html.gathered import Gathered
from imgcompress.dataset.html.run_facts import RunFacts
from imgcompress.dataset.sample_pairs import Pair
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically
from imgcompress.records import FileRecord
from imgcompress.resources import resource_path

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
    # A name that is no UTF-8 has lone surrogates; in text and JSON alike they become their escapes.
    page = _page(run, gathered, pairs).encode("utf-8", "backslashreplace")
    try:
        write_atomically(path, page)
    except PictureError as error:
        raise UsageError(f"{path.parent}: the report {error}") from error


def read_records(report: Path) -> Iterator[FileRecord]:
    """The records of a report of JSON lines, one by one.

    Raises:
        OSError: it cannot be read.
        ValueError, KeyError, TypeError: a line is none of ours.
    """
    with report.open(encoding="utf-8") as lines:
        yield from map(FileRecord.from_json, lines)


def _page(run: RunFacts, gathered: Gathered, pairs: Sequence[Pair]) -> str:
    script, style = _text("report.js"), _text("report.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_text("report.html")).substitute(
        policy=policy,
        script=script,
        style=style,
        title=escape(run.title),
        version=escape(__version__),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        notes=sections.notes(run),
        totals=sections.totals(run, gathered),
        samples=sections.samples(pairs, gathered),
        plots=sections.plots(gathered),
        extremes=sections.extremes(gathered),
        failures=sections.failures(gathered),
        table_note=sections.table_note(gathered),
        records=gathered.as_json(),
        settings=escape(run.config.to_yaml()),
    )


def _text(name: str) -> str:
    return resource_path(f"dataset/html/{name}").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Names an element's content for the content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
