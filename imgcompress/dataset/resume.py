"""What earlier runs have left: which pictures are done, and which files at their places are ours."""

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from imgcompress import __version__
from imgcompress.config import DEFAULT_WEIGHTS, Config
from imgcompress.dataset.ledger import Ledger, Row, checksum_of
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
        Reason.WORKER_DIED,
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
class Found:
    """What an earlier run has left of an entry.

    Attributes:
        row: what the ledger knows of it.
        is_done: whether nothing is left to do.
        stamp, content: of the source; the content is empty where it need not be known.
        ours: files at its places that earlier runs wrote for this source, with their checksums.
        foreign: all other files where this run may write, but the source itself.
    """

    row: Row | None = None
    is_done: bool = False
    stamp: str = ""
    content: str = ""
    ours: dict[Path, str] = field(default_factory=dict)
    foreign: tuple[Path, ...] = ()


@dataclass(frozen=True)
class History:
    """Asks the ledger about entries.

    Attributes:
        ledger: of the destination; None where nothing is known.
        settings: the run's own; rows of other settings are out of date.
        resume: whether what is done is left out.
        again: whether what has been compressed in place before may be compressed once more.
        max_megapixels: a shard in which a picture was too large is done again when this changes.
    """

    ledger: Ledger | None
    settings: str
    resume: bool = True
    again: bool = False
    max_megapixels: float = 0.0

    def settings_for(self, entry: Entry) -> str:
        """The settings that decide whether an entry's row is up to date."""
        return f"{self.settings} {self.max_megapixels:g}" if entry.is_shard else self.settings

    def row(self, entry: Entry) -> Row | None:
        """What the ledger knows of an entry.

        Raises:
            UsageError: the ledger cannot be read.
        """
        return None if self.ledger is None else self.ledger.find(entry.key)

    def find(self, entry: Entry, row: Row | None) -> Found:
        """Looks at an entry's source and its places; reads no more than it must.

        Raises:
            OSError: the source cannot be looked at or read.
            PictureError: a place cannot be looked at.
        """
        stamp = stamp_of(entry.source)
        if row is None:
            return Found(stamp=stamp, foreign=_look_at_places(entry, None)[1])
        may_be_done = self._may_be_done(entry, row)
        if (
            may_be_done
            and row.confirmed
            and is_of(entry, row)
            and row.stamp == stamp
            and _is_there(entry, row)
        ):
            return Found(row, True, stamp)
        ours, foreign = _look_at_places(entry, row)
        content = checksum_of(entry.source)
        is_same = content == row.content or (entry.in_place and content == row.output_sha256)
        is_done = may_be_done and is_same and _is_there(entry, row)
        return Found(row, is_done, stamp, content, ours, foreign)

    def _may_be_done(self, entry: Entry, row: Row) -> bool:
        """As far as can be told without a look at the source."""
        if row.record.reason in TRANSIENT:
            return False
        if entry.in_place and row.record.status is Status.RECOMPRESSED and not self.again:
            return True  # the source is our own output, whatever the settings were
        return self.resume and row.settings == self.settings_for(entry)


def is_of(entry: Entry, row: Row) -> bool:
    """Whether a row is of this very source, and not of one of the same name elsewhere."""
    return row.source == place_of(entry.source)


def place_of(path: Path) -> str:
    """A file's path, wherever the run was started from."""
    return os.fspath(path.absolute())


def output_path(entry: Entry, record: FileRecord) -> Path:
    """Where the output of a record lies, wherever the earlier run was started from."""
    if record.status is not Status.KEPT and record.format in entry.formats:
        return entry.output(record.format)
    return entry.copy  # also of a shard, and of a JPEG made smaller without loss in a run for other formats


def left_alone(row: Row, source: str, output: str | None) -> FileRecord:
    """The record of a picture that is done: a failure stays one, anything else was skipped.

    Args:
        row: what is known of it.
        source, output: as this run names them; None where there is no output.
    """
    record = replace(row.record, source=source, seconds=0.0)
    if record.status is Status.FAILED:
        return record
    return replace(record, status=Status.SKIPPED, reason=Reason.DONE, output=output, was=record.status)


def clear_after_a_kill(ledger: Ledger, backup: Path | None = None) -> None:
    """Removes what a run that was killed has left over.

    Its temporary files go; a source that was replaced by an output of another name, and whose removal was
    all that was missing, goes, too.

    Args:
        ledger: of the run.
        backup: where it copied sources to.
    """
    for row in ledger.rows(confirmed=False):
        if row.record.output is None:
            continue
        folders = [Path(row.record.output).parent]
        if backup is not None:
            folders.append((backup / row.key).parent)
        for folder in folders:
            with suppress(OSError):
                for path in filter(is_temporary, list(folder.iterdir())):
                    path.unlink()
        source = Path(row.source)
        if row.replaces_source:
            output = source.with_name(Path(row.key).name)
            with suppress(OSError):
                if checksum_of(output) == row.output_sha256 and checksum_of(source) == row.content:
                    source.unlink()


def _look_at_places(entry: Entry, row: Row | None) -> tuple[dict[Path, str], tuple[Path, ...]]:
    """Which files there are ours, with their checksums, and which are not."""
    known = row.ours if row is not None and is_of(entry, row) else ()
    ours: dict[Path, str] = {}
    foreign: list[Path] = []
    places = entry.places
    for path in dict.fromkeys((*places, *(entry.former_places if known else ()))):
        if path == entry.source:
            continue
        try:
            if not os.path.lexists(path):
                continue
            checksum = checksum_of(path) if known else ""
        except OSError as error:
            message = f"{path} cannot be looked at: {error.strerror}"
            raise PictureError(Reason.WRITE_ERROR, message) from error
        if checksum in known:
            ours[path] = checksum
        elif path in places:
            foreign.append(path)
    return ours, tuple(foreign)


def _is_there(entry: Entry, row: Row) -> bool:
    """Whether the output and the map are there."""
    if row.output_sha256 is None:
        return True
    if entry.map is not None and not entry.is_shard and not entry.map.exists():
        return False
    output = output_path(entry, row.record)
    with suppress(OSError):
        if row.confirmed:
            return output.stat().st_size == row.record.bytes_out
        return checksum_of(output) == row.output_sha256
    return False
