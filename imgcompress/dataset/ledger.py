"""What has been done: one row a picture in SQLite, so that a rerun does only what is missing or changed.

A row is written before its output and confirmed after it. Killed in between, the run leaves a row that says
what the file would be: the next run compares, and confirms it or does it again.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from imgcompress.dataset.sources import STATE_FOLDER
from imgcompress.errors import UsageError
from imgcompress.records import FileRecord, Status

FILE_NAME = "ledger.sqlite"
LOCK_NAME = "lock.sqlite"
FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    key BLOB PRIMARY KEY,
    source BLOB NOT NULL,
    stamp TEXT NOT NULL,
    content TEXT NOT NULL,
    settings TEXT NOT NULL,
    confirmed INTEGER NOT NULL,
    output_sha256 TEXT,
    ours TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    bytes_in INTEGER,
    bytes_out INTEGER,
    seconds REAL NOT NULL,
    record TEXT NOT NULL,
    is_shard INTEGER NOT NULL
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
        ours: checksums of all that this tool may have left in the output's place: while a file has one of
            them, it may be replaced.
        is_shard: it stands for a file of many pictures, which have rows of their own as well.
    """

    key: str
    source: str
    stamp: str
    content: str
    settings: str
    record: FileRecord
    output_sha256: str | None
    confirmed: bool
    ours: tuple[str, ...] = ()
    is_shard: bool = False

    @property
    def replaces_source(self) -> bool:
        """Whether it is of a run in place whose source, of another name than the output, is still to go.

        The key is the output's then, and the source's otherwise.
        """
        return Path(self.key).name != Path(self.source).name


class Ledger:
    """The rows of one destination. Threads may share it; one process at a time may write.

    Args:
        folder: where the file lies; made if it is missing, unless read_only.
        read_only: leaves it as it is, even while another process writes.

    Raises:
        UsageError: it cannot be opened, is no ledger of this format, or another run holds it.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / FILE_NAME
        self._mutex = threading.Lock()
        with ExitStack() as stack, self._explained("used"):
            if read_only:
                # Without a log beside it nobody is writing, and nothing need be written to read it.
                is_still = not self.path.with_name(FILE_NAME + "-wal").exists()
                place = f"{self.path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_still else ''}"
                self._connection = sqlite3.connect(place, uri=True, check_same_thread=False)
                stack.callback(self._connection.close)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                stack.callback(self._hold(folder / LOCK_NAME).close)
                self._connection = sqlite3.connect(self.path, check_same_thread=False)
                stack.callback(self._connection.close)
                self._prepare()
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if found != FORMAT:
                raise UsageError(f"{self.path}: format {found}; this version reads format {FORMAT}")
            self._stack = stack.pop_all()

    def _hold(self, path: Path) -> sqlite3.Connection:
        """A lock that ends with the process, however that ends."""
        lock = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            raise UsageError(f"{self.path}: another run is at work here ({error})") from error
        return lock

    def _prepare(self) -> None:
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        self._connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{self.path}: the ledger cannot be {verb}: {error}") from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        with self._mutex:
            self._stack.close()

    def find(self, key: str) -> Row | None:
        """The row of a picture.

        Raises:
            UsageError: the file cannot be read.
        """
        rows = self._fetch(f"{_SELECT} WHERE key = ?", (_bytes(key),))
        return _row(rows[0]) if rows else None

    def put(self, rows: Iterable[Row], instead_of: str | None = None) -> None:
        """Adds or replaces rows; all of them reach the disk or none.

        Args:
            rows: what has been learned.
            instead_of: a picture or shard whose row goes, and the rows of a shard's pictures with it.

        Raises:
            UsageError: the file cannot be written.
        """
        values = [_values(row) for row in rows]
        marks = ", ".join("?" * 15)
        with self._explained("written"), self._mutex, self._connection:
            if instead_of is not None:
                self._connection.execute("DELETE FROM pictures WHERE key = ?", (_bytes(instead_of),))
                self._connection.execute(
                    "DELETE FROM pictures WHERE key > ? AND key < ?", _within(instead_of)
                )
            self._connection.executemany(f"INSERT OR REPLACE INTO pictures VALUES ({marks})", values)

    def rows(self, statuses: Sequence[Status] = (), *, confirmed: bool = True) -> Iterator[Row]:
        """Rows in the order of their keys.

        Args:
            statuses: these only; none for all.
            confirmed: those, or those that a run was killed at.

        Raises:
            UsageError: the file cannot be read.
        """
        wanted = tuple(status.value for status in statuses) or tuple(status.value for status in Status)
        marks = ", ".join("?" * len(wanted))
        condition = f"confirmed = ? AND status IN ({marks})" + (f" AND {_COUNTS}" if confirmed else "")
        yield from self._pages(condition, (confirmed, *wanted))

    def members(self, shard: str) -> Iterator[Row]:
        """Rows of the pictures in a shard, in the order of their keys.

        Args:
            shard: its key.

        Raises:
            UsageError: the file cannot be read.
        """
        yield from self._pages("key > ? AND key < ?", _within(shard))

    def shards(self) -> Iterator[Row]:
        """Rows that stand for files of many pictures, in the order of their keys, confirmed or not.

        Raises:
            UsageError: the file cannot be read.
        """
        yield from self._pages("is_shard", ())

    def _pages(self, condition: str, values: Sequence[object]) -> Iterator[Row]:
        # Page by page: a reader that dawdles must not hold back a run.
        query = f"{_SELECT} WHERE {condition} AND key > ? ORDER BY key LIMIT 1000"
        last = b""
        while page := self._fetch(query, (*values, last)):
            yield from map(_row, page)
            last = page[-1][0]

    def totals(self) -> list[tuple[str, str, int, int, int]]:
        """Status, reason, pictures, bytes in, bytes out: of confirmed rows, most pictures first.

        Raises:
            UsageError: the file cannot be read.
        """
        query = (
            "SELECT status, reason, count(*), total(bytes_in), total(bytes_out) FROM pictures "
            f"WHERE confirmed AND {_COUNTS} GROUP BY status, reason ORDER BY count(*) DESC, status, reason"
        )
        return [(*row[:3], int(row[3]), int(row[4])) for row in self._fetch(query, ())]

    def _fetch(self, query: str, values: Sequence[object]) -> list[Any]:
        with self._explained("read"), self._mutex:
            return self._connection.execute(query, values).fetchall()


_COUNTS = f"NOT (is_shard AND status != '{Status.FAILED}')"
"""A shard stands for its pictures, which have rows of their own, unless it failed as a whole."""
_COLUMNS = "key, source, stamp, content, settings, confirmed, output_sha256, ours, record, is_shard"
_SELECT = f"SELECT {_COLUMNS} FROM pictures"


def open_ledger(path: Path) -> Ledger:
    """The ledger of a destination, for reading.

    Args:
        path: the destination, its state folder, or the file itself.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    for folder in (path, path / STATE_FOLDER) if path.is_dir() else (path.parent,):
        if (folder / FILE_NAME).is_file():
            return Ledger(folder, read_only=True)
    raise UsageError(f"{path}: there is no ledger")


def checksum_of(path: Path) -> str:
    """The checksum by which the ledger knows contents, SHA-256.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _values(row: Row) -> tuple[object, ...]:
    record = row.record
    return (
        _bytes(row.key),
        _bytes(row.source),
        row.stamp,
        row.content,
        row.settings,
        row.confirmed,
        row.output_sha256,
        " ".join(row.ours),
        record.status.value,
        record.reason.value,
        record.bytes_in,
        record.bytes_out,
        record.seconds,
        record.to_json().encode("utf-8", "backslashreplace").decode(),
        row.is_shard,
    )


def _row(values: tuple[bytes, bytes, str, str, str, int, str | None, str, str, int]) -> Row:
    key, source, stamp, content, settings, confirmed, output_sha256, ours, record, is_shard = values
    return Row(
        _text(key),
        _text(source),
        stamp,
        content,
        settings,
        FileRecord.from_json(record),
        output_sha256,
        bool(confirmed),
        tuple(ours.split()),
        bool(is_shard),
    )


def _within(shard: str) -> tuple[bytes, bytes]:
    """Between which keys those of a shard's pictures lie: a slash, and what comes after it."""
    return _bytes(shard + "/"), _bytes(shard + "0")


def _bytes(text: str) -> bytes:
    """File names that are no UTF-8 have lone surrogates, which SQLite does not take for text."""
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
