"""Pictures that are files of their own: what is to be done for each, and how its output is written."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from imgcompress.compressor import as_picture_error
from imgcompress.dataset.blobs import FileBlob
from imgcompress.dataset.ledger import Row, checksum_of
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Job, failed
from imgcompress.dataset.resume import (
    Found,
    History,
    is_of,
    left_alone,
    output_path,
    place_of,
    stamp_of,
)
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason
from imgcompress.image.write import Like, copy_atomically, write_atomically
from imgcompress.records import FileRecord, Status

MOST_CHECKSUMS = 8
"""Contents of ours that the ledger remembers for a picture; more come only of failed writes."""


@dataclass(frozen=True)
class FileTask:
    """A file on its way through the run.

    Attributes:
        entry: the candidate.
        found: what earlier runs have left of it.
        job: what is to be computed; None where it is left alone or has failed already.
        left: its record where it is left alone.
        error: why it has failed already.
    """

    entry: Entry
    found: Found
    job: Job | None = None
    left: FileRecord | None = None
    error: PictureError | None = None

    @property
    def is_done(self) -> bool:
        """Whether an earlier run has left an output."""
        return self.left is not None and self.left.reason is Reason.DONE


@dataclass(frozen=True)
class FileResult:
    """How a file ends, and the bytes that are to be written for it.

    Attributes:
        task: what it was.
        record: for the report.
        content, stamp: of the source, as far as they are known.
        data: a file where it is to be copied; None where nothing is to be written, or that has failed.
        checksum: of the bytes; where their writing has failed, too: they may be there all the same.
        map: the attention map's file, if one is to be written.
    """

    task: FileTask
    record: FileRecord
    content: str
    stamp: str
    data: bytes | FileBlob | None = None
    checksum: str | None = None
    map: bytes | None = None

    def failed(self, error: PictureError) -> "FileResult":
        """The same without an output."""
        return replace(self, record=failed_record(self.record, error), data=None)


def failed_record(record: FileRecord, error: PictureError) -> FileRecord:
    """The same without an output."""
    return replace(
        record,
        output=None,
        bytes_out=None,
        sha256_out=None,
        promised={},
        status=Status.FAILED,
        reason=error.reason,
        error=str(error),
    )


def record_of(source: str, computed: Computed) -> FileRecord:
    """What the report says of a picture before its output has a place."""
    outcome = computed.outcome
    return FileRecord(
        source=source,
        output=None,
        status=outcome.status,
        reason=outcome.reason,
        format=outcome.format,
        width=computed.width,
        height=computed.height,
        bytes_in=computed.bytes_in,
        scores=outcome.scores,
        settings=outcome.settings,
        seconds=computed.seconds,
        error=outcome.error,
        sha256_in=computed.content or None,
        sha256_out=computed.checksum,
        promised=outcome.promised,
    )


def placed(record: FileRecord) -> FileRecord:
    """The record with its output's path from the root, which holds wherever the next run is started."""
    return record if record.output is None else replace(record, output=place_of(Path(record.output)))


def ours_now(entry: Entry, known: Row | None, checksum: str | None, *, is_there: bool) -> tuple[str, ...]:
    """Checksums of all that may be in an entry's place by our doing.

    Args:
        entry: the candidate.
        known: what the ledger knew of it.
        checksum: of the new output.
        is_there: whether that is known to be on disk; until then, and after a failure, anything that was
            there or was about to be may be.
    """
    before = known.ours if known is not None and is_of(entry, known) and not is_there else ()
    return tuple(dict.fromkeys(filter(None, (*before, checksum))))[-MOST_CHECKSUMS:]


def back_up(source: Path, content: str, place: Path) -> None:
    """Copies a source that is to be replaced, unless its copy is there.

    Args:
        source: the file.
        content: its checksum.
        place: where the copy goes.

    Raises:
        OSError: a file cannot be read.
        PictureError: WRITE_ERROR, where another file is in the place, too.
    """
    if place.exists() and place.samefile(source):
        raise PictureError(Reason.WRITE_ERROR, f"{place}: the backup would be the source itself")
    if not place.exists():
        copy_atomically(source, place, Like(source.stat(), times=True))
    if checksum_of(place) != content:
        raise PictureError(Reason.WRITE_ERROR, f"{place}: another file is there already")


def check_place(output: Path, found: Found) -> None:
    """The last look at a place before it is written to.

    Raises:
        OSError: what is there cannot be read.
        PictureError: WRITE_ERROR: another file has come there since the entry was looked up.
    """
    if os.path.lexists(output) and (output not in found.ours or checksum_of(output) != found.ours[output]):
        raise PictureError(Reason.WRITE_ERROR, f"{output}: another file has come there meanwhile")


def _remove(source: Path, output: Path) -> None:
    """Removes what is replaced by an output of another name; where that cannot be, the output goes."""
    try:
        source.unlink()
    except OSError as error:
        output.unlink()
        message = f"the source cannot be removed: {error.strerror or error}"
        raise PictureError(Reason.WRITE_ERROR, message) from error


class Files:
    """Looks files up before they are computed, and writes their outputs. Threads may share it.

    Args:
        history: of the destination.
        options: what may be touched.
    """

    def __init__(self, history: History, options: RunOptions) -> None:
        self._history = history
        self._options = options

    def look_up(self, entry: Entry) -> FileTask:
        """Decides whether a file is to be computed."""
        found = Found(self._history.row(entry))
        try:
            if entry.problem is not None:
                raise PictureError(Reason.WRITE_ERROR, entry.problem)
            found = self._history.find(entry, found.row)
        except OSError as error:
            return FileTask(entry, found, error=PictureError(Reason.READ_ERROR, error.strerror or str(error)))
        except PictureError as error:
            return FileTask(entry, found, error=error)
        if found.is_done and found.row is not None:
            output = str(output_path(entry, found.row.record))
            return FileTask(entry, found, left=left_alone(found.row, str(entry.source), output))
        if found.foreign and not self._may_replace(entry):
            record = FileRecord(str(entry.source), str(found.foreign[0]), Status.SKIPPED, Reason.EXISTS)
            return FileTask(entry, found, left=record)
        job = None if entry.is_other else Job(FileBlob(entry.source), draws_map=entry.map is not None)
        return FileTask(entry, found, job)

    def result(self, task: FileTask, computed: Computed | None) -> FileResult:
        """Joins what was found with what was computed."""
        if task.left is not None:
            return FileResult(task, task.left, task.found.content, task.found.stamp)
        if computed is None:
            if task.error is None:
                return _copied(task)
            computed = failed(task.error)
        record, outcome = record_of(str(task.entry.source), computed), computed.outcome
        content = computed.content or task.found.content
        if outcome.data is None:
            return FileResult(task, record, content, task.found.stamp)
        output = str(output_path(task.entry, record))
        record = replace(record, output=output, bytes_out=len(outcome.data))
        return FileResult(
            task, record, content, task.found.stamp, outcome.data, computed.checksum, computed.map
        )

    def write(self, result: FileResult) -> FileResult:
        """Writes an output, and what goes with it."""
        if self._options.dry_run:
            return result
        if result.data is not None:
            started = time.perf_counter()
            try:
                stamp = self._write(result, result.data)
            except Exception as error:
                return result.failed(as_picture_error(error))
            seconds = result.record.seconds + time.perf_counter() - started
            result = replace(result, record=replace(result.record, seconds=seconds), stamp=stamp)
        self._remove_others(result)
        return result

    def _write(self, result: FileResult, data: bytes | FileBlob) -> str:
        """Returns the stamp of what is the source from now on."""
        entry, record = result.task.entry, result.record
        assert record.output is not None
        output = Path(record.output)
        # The map first: once the output is there, a rerun skips the picture.
        if entry.map is not None and result.map is not None:
            write_atomically(entry.map, result.map)
        if entry.in_place and record.status is Status.KEPT:
            return result.stamp
        if entry.in_place:
            if checksum_of(entry.source) != result.content:
                raise PictureError(Reason.WRITE_ERROR, "the source has changed since it was read")
            if self._options.backup is not None:
                back_up(entry.source, result.content, self._options.backup / entry.key)
        like = None
        if entry.in_place or self._options.keep_times:
            like = Like(entry.source.stat(), self._options.keep_times)
        if output != entry.source and not self._may_replace(entry):
            check_place(output, result.task.found)
        if isinstance(data, bytes):
            write_atomically(output, data, like)
        else:
            copy_atomically(data.path, output, like)
        if entry.in_place and output != entry.source:
            _remove(entry.source, output)
        return stamp_of(output) if entry.in_place else result.stamp

    def _may_replace(self, entry: Entry) -> bool:
        """Whether files of others are no hindrance; in place they may be sources."""
        return self._options.overwrite and not entry.in_place

    def _remove_others(self, result: FileResult) -> None:
        """Earlier outputs of ours under another suffix, once the picture has one that is up to date."""
        if result.record.output is None or result.record.reason is Reason.EXISTS:
            return
        for path in result.task.found.ours:
            if path != Path(result.record.output):
                with suppress(OSError):  # it does no harm
                    path.unlink()

    def intent(self, result: FileResult) -> Row | None:
        """For the ledger, before the output is written: what it will be."""
        return None if result.data is None else self._row(result, confirmed=False)

    def confirmation(self, result: FileResult) -> Row | None:
        """For the ledger, after it: what is there. None where it has nothing to learn."""
        task, known = result.task, result.task.found.row
        if task.left is None:
            return self._row(result, confirmed=True)
        if known is None or task.left.reason is Reason.EXISTS:
            return None
        place = place_of(task.entry.source)
        if known.confirmed and (known.stamp, known.source) == (task.found.stamp, place):
            return None
        return replace(known, stamp=task.found.stamp, source=place, confirmed=True)

    def gone(self, result: FileResult) -> str | None:
        """The key of a row whose source has been replaced by an output of another name; None for none."""
        entry, output = result.task.entry, result.record.output
        is_gone = entry.in_place and result.data is not None and output != str(entry.source)
        return entry.key if is_gone and result.task.found.row is not None else None

    def _row(self, result: FileResult, *, confirmed: bool) -> Row:
        task, record = result.task, result.record
        entry, known = task.entry, task.found.row
        output = None if result.data is None else result.checksum
        is_there = confirmed and output is not None
        row = Row(
            entry.key,
            place_of(entry.source),
            result.stamp,
            result.content,
            self._history.settings,
            placed(record),
            output,
            confirmed,
            ours_now(entry, known, result.checksum, is_there=is_there),
        )
        if not entry.in_place or output is None:
            return row
        assert record.output is not None
        row = replace(row, key=entry.key_of(Path(record.output)))
        if not confirmed:
            return row
        # From now on the output is the source.
        return replace(row, source=place_of(Path(record.output)), content=output)


def _copied(task: FileTask) -> FileResult:
    """What becomes of a file that is no picture."""
    source, copy = task.entry.source, task.entry.copy
    record = FileRecord(str(source), str(copy), Status.KEPT, Reason.NOT_A_PICTURE)
    try:
        size = source.stat().st_size
        content = task.found.content or checksum_of(source)
    except OSError as error:
        return FileResult(task, record, "", "").failed(
            PictureError(Reason.READ_ERROR, error.strerror or str(error))
        )
    record = replace(record, bytes_in=size, bytes_out=size, sha256_in=content, sha256_out=content)
    return FileResult(task, record, content, task.found.stamp, FileBlob(source), content)
