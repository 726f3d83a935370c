"""What has been done: one row a picture in SQLite, so that a rerun does only what is missing or changed.

A row is written before its output and confirmed after it. Killed in between, the run leaves a row that says
what the file would be: the next run compares, and confirms it or does it again.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from imgcompress.dataset.sources import STATE_FOLDER
from imgcompress.errors import UsageError
from imgcompress.records import FileRecord, Status

FILE_NAME = "ledger.sqlite"
FORMAT = 1
_WAIT_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    key TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    stamp TEXT NOT NULL,
    content TEXT NOT NULL,
    settings TEXT NOT NULL,
    confirmed INTEGER NOT NULL,
    output_sha256 TEXT,
    replaced_sha256 TEXT,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    bytes_in INTEGER,
    bytes_out INTEGER,
    seconds REAL NOT NULL,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_status ON pictures (status, reason);
"""


@dataclass(frozen=True)
class Row:
    """What the ledger knows of one picture.

    Attributes:
        key: its place in the data set, such as the source's path below the root.
        source: where it was, from the root of the file system.
        stamp: size and time of the source; while they stay, its content is taken to stay.
        content: SHA-256 of the source's bytes; empty where they could not be read.
        settings: which settings decided about the bytes.
        record: how it ended.
        output_sha256: of the output's bytes; None where there is none.
        confirmed: whether the output is known to be on disk.
        replaced_sha256: until it is, an earlier output of ours may still be in its place.
    """

    key: str
    source: str
    stamp: str
    content: str
    settings: str
    record: FileRecord
    output_sha256: str | None
    confirmed: bool
    replaced_sha256: str | None = None


class Ledger:
    """The rows of one destination. Threads may share it; processes wait for each other's writes.

    Args:
        folder: where the file lies; made if it is missing.

    Raises:
        UsageError: it cannot be opened or is no ledger of this format.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{self.path}: the ledger cannot be used: {error}") from error

    def _prepare(self) -> None:
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise UsageError(f"{self.path}: format {found}; this version reads format {FORMAT}")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._connection.close()

    def find(self, key: str) -> Row | None:
        """The row of a picture."""
        query = f"{_SELECT} WHERE key = ?"
        with self._lock, closing(self._connection.execute(query, (_storable(key),))) as found:
            row = found.fetchone()
        return None if row is None else _row(row)

    def put(self, rows: Iterable[Row]) -> None:
        """Adds or replaces rows; all of them reach the disk or none.

        Raises:
            UsageError: the file cannot be written.
        """
        values = [_values(row) for row in rows]
        marks = ", ".join("?" * 14)
        try:
            with self._lock, self._connection:
                self._connection.executemany(f"INSERT OR REPLACE INTO pictures VALUES ({marks})", values)
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: the ledger cannot be written: {error}") from error

    def rows(self, statuses: Sequence[Status] = ()) -> Iterator[Row]:
        """Confirmed rows in the order of their keys.

        Args:
            statuses: these only; none for all.
        """
        # Page by page: a reader that dawdles must not hold back a run.
        wanted = tuple(status.value for status in statuses) or tuple(status.value for status in Status)
        marks = ", ".join("?" * len(wanted))
        query = f"{_SELECT} WHERE confirmed AND status IN ({marks}) AND key > ? ORDER BY key LIMIT 1000"
        last = ""
        while True:
            with self._lock:
                page = self._connection.execute(query, (*wanted, last)).fetchall()
            if not page:
                return
            yield from map(_row, page)
            last = page[-1][0]

    def totals(self) -> list[tuple[str, str, int, int, int]]:
        """Status, reason, pictures, bytes in, bytes out: of confirmed rows, most pictures first."""
        query = (
            "SELECT status, reason, count(*), total(bytes_in), total(bytes_out) FROM pictures "
            "WHERE confirmed GROUP BY status, reason ORDER BY count(*) DESC, status, reason"
        )
        with self._lock:
            found = self._connection.execute(query).fetchall()
        return [
            (status, reason, count, int(b_in), int(b_out)) for status, reason, count, b_in, b_out in found
        ]


_SELECT = (
    "SELECT key, source, stamp, content, settings, confirmed, output_sha256, replaced_sha256, record "
    "FROM pictures"
)


def open_ledger(path: Path) -> Ledger:
    """The ledger of a destination.

    Args:
        path: the destination, its state folder, or the file itself.

    Raises:
        UsageError: there is none.
    """
    for folder in (path, path / STATE_FOLDER, path.parent):
        if (folder / FILE_NAME).is_file() and path.exists():
            return Ledger(folder)
    raise UsageError(f"{path}: there is no ledger")


def sha256(data: bytes) -> str:
    """The checksum by which the ledger knows contents."""
    return hashlib.sha256(data).hexdigest()


def _values(row: Row) -> tuple[object, ...]:
    record = row.record
    return (
        _storable(row.key),
        _storable(row.source),
        row.stamp,
        row.content,
        row.settings,
        row.confirmed,
        row.output_sha256,
        row.replaced_sha256,
        record.status.value,
        record.reason.value,
        record.bytes_in,
        record.bytes_out,
        record.seconds,
        _storable(record.to_json()),
    )


def _row(values: tuple[str, str, str, str, str, int, str | None, str | None, str]) -> Row:
    key, source, stamp, content, settings, confirmed, output_sha256, replaced_sha256, record = values
    outcome, is_there = FileRecord.from_json(record), bool(confirmed)
    return Row(key, source, stamp, content, settings, outcome, output_sha256, is_there, replaced_sha256)


def _storable(text: str) -> str:
    """File names that are no UTF-8 have lone surrogates, which SQLite does not take."""
    return text.encode("utf-8", "backslashreplace").decode()
