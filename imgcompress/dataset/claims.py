"""What a past run says that it has left: from its report, or from the ledger of its destination."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path

from imgcompress.dataset.ledger import FILE_NAME, Ledger, Row, open_ledger
from imgcompress.dataset.names import SHARD_SUFFIXES
from imgcompress.errors import UsageError
from imgcompress.records import FileRecord, Status
from imgcompress.targets import METRICS

_SQLITE = b"SQLite format 3\0"
_NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a line raises that is no record of ours."""


@dataclass(frozen=True)
class Claim:
    """One output that a run says it left.

    Attributes:
        record: what it says; ``source`` and ``output`` are paths, those of a picture in a shard its path and
            the picture's key in the source.
        status: how it ended in the run that made it: recompressed, optimized or kept.
    """

    record: FileRecord
    status: Status

    @property
    def name(self) -> str:
        """The output's path."""
        assert self.record.output is not None
        return self.record.output


@dataclass(frozen=True)
class ShardClaim:
    """A file of many pictures that a run says it left.

    Attributes:
        output, source: the files.
        members: what is claimed of its pictures, by their keys in the source.
        whole: what is claimed of the file; None in a report, which has nothing about it.
    """

    output: Path
    source: Path
    members: dict[str, Claim]
    whole: Claim | None = None


@dataclass(frozen=True)
class Damage:
    """A line of the report that cannot be read.

    Attributes:
        line: its number, 1 the first.
        problem: what is wrong with it.
    """

    line: int
    problem: str


Item = Claim | ShardClaim | Damage | None
"""None stands for a record without an output, or with one that is not of a run of ours."""


@dataclass(frozen=True)
class PastRun:
    """What is known of a run, or of all runs into a destination.

    Attributes:
        items: in the order of the records, those of a ledger's shards last; they can be gone through once.
        records: how many there are, damaged ones too; of a ledger those of whole shards as well.
        unconfirmed: outputs that a run is at work on, or was killed at; nothing is claimed of them.
    """

    items: Iterable[Item] = field(repr=False)
    records: int
    unconfirmed: int = 0


@contextmanager
def open_past_run(path: Path, backup: Path | None = None) -> Iterator[PastRun]:
    """Opens a report of JSON lines or a ledger, whichever it is; a run may be writing the ledger meanwhile.

    Args:
        path: a report; or a ledger's file, its folder, or the destination.
        backup: where a run in place has copied its sources to; None for nowhere.

    Raises:
        UsageError: it is neither, or cannot be read; it is a dry run's; or it is a report and there is a
            backup: it does not say where in that a source is.
    """
    records = _records_of_report(path)
    if records is not None:
        if backup is not None:
            raise UsageError(f"--backup: it goes with a ledger only, and {path} is a report")
        yield PastRun(_in_shards(_lines(path)), records)
        return
    with open_ledger(path) as ledger:
        unconfirmed = sum(1 for _ in ledger.rows(confirmed=False))
        records = sum(count for _, _, count, _, _ in ledger.totals()) + sum(1 for _ in ledger.shards())
        yield PastRun(_rows(ledger, backup), records, unconfirmed)


def _records_of_report(path: Path) -> int | None:
    """How many lines a report has; None where the path is a ledger's.

    Raises:
        UsageError: the path is of neither, or of a dry run's report.
    """
    try:
        if path.is_dir():
            return None
        if not path.is_file():
            raise UsageError(f"{path}: no report and no ledger is there")
        with path.open("rb") as lines:
            if lines.read(len(_SQLITE)) == _SQLITE:
                if path.name != FILE_NAME:
                    raise UsageError(f"{path}: the file of a ledger is called {FILE_NAME}")
                return None
            lines.seek(0)
            records, is_ours = 0, False
            for line in lines:
                records += 1
                record = _read(line, records)
                if isinstance(record, FileRecord):
                    if record.dry_run:
                        raise UsageError(f"{path}: it is the report of a dry run, which has written nothing")
                    is_ours = True
    except OSError as error:
        raise UsageError(f"{path}: it cannot be read: {error.strerror or error}") from error
    if not is_ours:
        raise UsageError(f"{path}: neither a ledger nor a report: no line of it is a record")
    return records


def _lines(path: Path) -> Iterator[Claim | Damage | None]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            record = _read(line, number)
            yield record if isinstance(record, Damage) else _claim(record)


def _read(line: bytes, number: int) -> FileRecord | Damage:
    try:
        record = FileRecord.from_json(line.decode())
        if not all(name in METRICS and isfinite(bound) for name, bound in record.promised.items()):
            raise ValueError(f"promised cannot be {record.promised!r}")
        return record
    except json.JSONDecodeError as error:
        return Damage(number, f"no JSON: {error}")
    except _NOT_OURS as error:
        return Damage(number, f"no record: {error}")


def _claim(record: FileRecord) -> Claim | None:
    status = record.was if record.status is Status.SKIPPED else record.status
    if record.output is None or status in (None, Status.SKIPPED, Status.FAILED):
        return None
    return Claim(record, status)


def _in_shards(items: Iterable[Claim | Damage | None]) -> Iterator[Item]:
    """Gathers what stands one after another about pictures of one shard; it comes when the shard ends."""
    shard: ShardClaim | None = None
    for item in items:
        if not isinstance(item, Claim):
            yield item
            continue
        place = _shard_of(item.name)
        if shard is not None and shard.output != place:
            yield shard
            shard = None
        if place is None:
            yield item
            continue
        key = item.name[len(os.fspath(place)) + 1 :]
        if shard is None:
            shard = ShardClaim(place, Path(item.record.source.removesuffix(f"/{key}")), {})
        shard.members[key] = item
    if shard is not None:
        yield shard


def _shard_of(output: str) -> Path | None:
    """The shard in which an output lies; a folder may have a name like that of one."""
    for folder in reversed(Path(output).parents):
        if folder.suffix.lower() in SHARD_SUFFIXES and not folder.is_dir():
            return folder
    return None


def _rows(ledger: Ledger, backup: Path | None) -> Iterator[Item]:
    try:
        shards = {row.key: row for row in ledger.shards()}
        for row in ledger.rows():
            if _shard_row(row.key, shards) is None:
                yield _claim(_with_checksums(row, _source(row, backup)))
        for shard in shards.values():
            if not shard.confirmed or shard.record.output is None:
                continue  # it failed, or a run begins it again
            output, source = Path(shard.record.output), _source(shard, backup)
            members = {}
            for row in ledger.members(shard.key):
                key = row.key[len(shard.key) + 1 :]
                record = _with_checksums(row, f"{source}/{key}")
                claim = _claim(replace(record, output=f"{output}/{key}"))
                if claim is None:
                    yield None
                else:
                    members[key] = claim
            whole = Claim(_with_checksums(shard, source), shard.record.status)
            yield ShardClaim(output, Path(source), members, whole)
    except _NOT_OURS as error:
        raise UsageError(f"{ledger.path}: the ledger is damaged: {error}") from error


def _shard_row(key: str, shards: dict[str, Row]) -> Row | None:
    """The row of the shard that a picture lies in; None for one that is a file."""
    end = key.find("/")
    while shards and end >= 0:
        if (row := shards.get(key[:end])) is not None:
            return row
        end = key.find("/", end + 1)
    return None


def _source(row: Row, backup: Path | None) -> str:
    """Where the source of a file is; of one that was replaced in place, its copy in the backup."""
    if backup is None or row.source != row.record.output:
        return row.source
    return str((backup / row.key).with_name(Path(row.record.source).name))


def _with_checksums(row: Row, source: str) -> FileRecord:
    """The record with its source's place; checksums that older versions have not in it are in the row."""
    record = row.record
    return replace(
        record,
        source=source,
        sha256_in=record.sha256_in or row.content or None,
        sha256_out=record.sha256_out or row.output_sha256,
    )
