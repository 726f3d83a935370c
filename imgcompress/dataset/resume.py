"""What an earlier run has left for a picture: nothing to do, something to replace, or another's file."""

from dataclasses import dataclass, replace
from pathlib import Path

from imgcompress.dataset.ledger import Ledger, Row, sha256
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason
from imgcompress.records import FileRecord, Status

TRANSIENT = frozenset({Reason.READ_ERROR, Reason.WRITE_ERROR, Reason.OUT_OF_MEMORY, Reason.INTERNAL_ERROR})
"""Another time they may not happen; other failures stay what they are while source and settings stay."""


def stamp_of(path: Path) -> str:
    """Size and time of a file, by which a change shows without reading it.

    Raises:
        OSError: the file cannot be looked at.
    """
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


@dataclass(frozen=True)
class History:
    """Asks the ledger about entries.

    Attributes:
        ledger: of the destination.
        settings: the run's own; rows of other settings are out of date.
        resume: whether what is done is left out.
    """

    ledger: Ledger
    settings: str
    resume: bool = True

    def find(self, entry: Entry) -> Row | None:
        """What is known of an entry, out of date or not."""
        return self.ledger.find(entry.key)

    def is_done(self, entry: Entry, row: Row, *, stamp: str = "", content: str = "") -> bool:
        """Whether the source is as it was, and its output and map are there.

        Args:
            entry: the picture.
            row: what is known of it.
            stamp: the source's as it is now, or
            content: its checksum.
        """
        if not self.resume or row.settings != self.settings or row.record.reason in TRANSIENT:
            return False
        if row.stamp != stamp and (not content or row.content != content):
            return False
        if row.output_sha256 is None:
            return True
        if entry.map is not None and not entry.map.exists():
            return False
        output = output_path(entry, row.record)
        if row.confirmed:
            return _size(output) == row.record.bytes_out
        return _checksum(output) == row.output_sha256


@dataclass(frozen=True)
class OurOutput:
    """A file that an earlier run wrote, unchanged since."""

    path: Path
    sha256: str


def our_output(entry: Entry, row: Row) -> OurOutput | None:
    """The file in an output's place, if the ledger knows that it was made from this very source."""
    if row.source != str(entry.source.absolute()):
        return None
    for path in (entry.output, entry.copy):
        found = _checksum(path)
        if found is not None and found in (row.output_sha256, row.replaced_sha256):
            return OurOutput(path, found)
    return None


def output_path(entry: Entry, record: FileRecord) -> Path:
    """Where the output of a record lies, wherever the earlier run was started from."""
    return entry.copy if record.status is Status.KEPT else entry.output


def left_alone(entry: Entry, row: Row) -> FileRecord:
    """The record of a picture that is done: a failure stays one, anything else was skipped."""
    record = replace(row.record, source=str(entry.source), seconds=0.0)
    if row.output_sha256 is None:
        return record
    output = str(output_path(entry, row.record))
    return replace(record, status=Status.SKIPPED, reason=Reason.DONE, output=output)


def existing_output(entry: Entry) -> Path | None:
    """A file where an output would go.

    Raises:
        PictureError: the place cannot be looked at.
    """
    try:
        return next((path for path in (entry.output, entry.copy) if path.exists()), None)
    except OSError as error:
        message = f"{entry.output} cannot be looked at: {error.strerror}"
        raise PictureError(Reason.WRITE_ERROR, message) from error


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _checksum(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes())
    except OSError:
        return None
