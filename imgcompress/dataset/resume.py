"""What an earlier run has left for a picture: nothing to do, something to replace, or another's file."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from imgcompress import __version__
from imgcompress.config import DEFAULT_WEIGHTS, Config
from imgcompress.dataset.ledger import Ledger, Row, sha256
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason
from imgcompress.image.write import is_temporary
from imgcompress.perception.weights import file_sha256
from imgcompress.records import FileRecord, Status
from imgcompress.resources import default_trunk, default_weights

TRANSIENT = frozenset(
    {
        Reason.READ_ERROR,
        Reason.WRITE_ERROR,
        Reason.OUT_OF_MEMORY,
        Reason.INTERNAL_ERROR,
        Reason.TOO_LARGE,
    }
)
"""Another time, or with other limits, they may not happen; others stay while source and settings do."""


def settings_of(config: Config) -> str:
    """Names all that decides about bytes but the source and the device: version, settings, model files.

    Raises:
        UsageError: a model's file is missing.
    """
    perception = config.perception
    trunk = default_trunk() if perception.trunk is None else Path(perception.trunk)
    files = [trunk]
    if perception.weights is not None:
        is_default = perception.weights == DEFAULT_WEIGHTS
        files.append(default_weights() if is_default else Path(perception.weights))
    return " ".join([__version__, config.digest(), *(file_sha256(file)[:12] for file in files)])


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

    def is_done(self, entry: Entry, row: Row, *, stamp: str = "", content: str = "") -> bool:
        """Whether the source is as it was, and its output and map are there.

        Args:
            entry: the picture.
            row: what is known of it.
            stamp: the source's as it is now, which counts where the source lies where it lay; or
            content: its checksum.
        """
        if not self.resume or row.settings != self.settings or row.record.reason in TRANSIENT:
            return False
        is_same = row.content == content if content else is_of(entry, row) and row.stamp == stamp
        if not is_same:
            return False
        if row.output_sha256 is None:
            return True
        if entry.map is not None and not entry.map.exists():
            return False
        output = output_path(entry, row.record)
        if row.confirmed:
            return _size(output) == row.record.bytes_out
        return _checksum(output) == row.output_sha256


def clear_after_a_kill(ledger: Ledger) -> None:
    """Removes temporary files from the folders that a run was writing to when it was killed."""
    folders = {
        Path(row.record.output).parent
        for row in ledger.rows(confirmed=False)
        if row.record.output is not None
    }
    for folder in folders:
        with suppress(OSError):
            for path in filter(is_temporary, list(folder.iterdir())):
                path.unlink()


def is_of(entry: Entry, row: Row) -> bool:
    """Whether a row is of this very source, and not of one of the same name elsewhere."""
    return row.source == place_of(entry)


def place_of(entry: Entry) -> str:
    """The source's path, wherever the run was started from."""
    return os.fspath(entry.source.absolute())


@dataclass(frozen=True)
class Places:
    """What lies where an entry's outputs go.

    Attributes:
        ours: files that earlier runs wrote for this source, unchanged since, and their checksums.
        foreign: all other files there.
    """

    ours: dict[Path, str]
    foreign: list[Path]


def look_at_places(entry: Entry, row: Row | None) -> Places:
    """Tells our files from others.

    Args:
        entry: the picture.
        row: what is known of it.

    Raises:
        PictureError: a place cannot be looked at.
    """
    known = row.ours if row is not None and is_of(entry, row) else ()
    places = Places({}, [])
    for path in dict.fromkeys((entry.output, entry.copy)):
        try:
            if not os.path.lexists(path):
                continue
            checksum = sha256(path.read_bytes()) if known else ""
        except OSError as error:
            message = f"{path} cannot be looked at: {error.strerror}"
            raise PictureError(Reason.WRITE_ERROR, message) from error
        if checksum in known:
            places.ours[path] = checksum
        else:
            places.foreign.append(path)
    return places


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
