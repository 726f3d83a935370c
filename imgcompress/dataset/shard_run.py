"""Shards on their way through a run: the new file appears when its last picture is done, or not at all."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from imgcompress.compressor import as_picture_error
from imgcompress.dataset.files import back_up, check_place, failed_record, ours_now, placed, record_of
from imgcompress.dataset.ledger import Row, checksum_of
from imgcompress.dataset.names import SUFFIXES
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Job, failed
from imgcompress.dataset.resume import TRANSIENT, Found, History, left_alone, place_of, stamp_of
from imgcompress.dataset.sampling import Chosen
from imgcompress.dataset.shards import Member, ShardWriter, open_shard
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.write import Like, atomic_file
from imgcompress.records import FileRecord, Status

PASSING = TRANSIENT - {Reason.TOO_LARGE}
"""What may pass in a picture, so that its whole shard is worth doing again."""


@dataclass(frozen=True)
class MemberTask:
    """A picture of a shard on its way through the run; without a job it has failed or is left alone.

    Attributes:
        run: of the shard.
        member: the picture.
        job: what is to be computed.
        left: its row where it is left alone.
    """

    run: "ShardRun"
    member: Member
    job: Job | None
    left: Row | None = None


@dataclass(frozen=True)
class ShardEnd:
    """Comes after the last picture of a shard."""

    run: "ShardRun"
    job: None = None


@dataclass(frozen=True)
class LeftMember:
    """A picture of a shard that is done."""

    record: FileRecord
    job: None = None


@dataclass(frozen=True)
class _Done:
    """What is known of a picture that waits for the rest of its shard."""

    member: Member
    record: FileRecord
    content: str
    checksum: str | None
    row: Row | None = None


def left_members(entry: Entry, history: History, chosen: Chosen | None) -> Iterator[LeftMember]:
    """The pictures of a shard that is done, as the ledger has them; of them those chosen."""
    assert history.ledger is not None
    for row in history.ledger.members(entry.key):
        if chosen is not None and row.key not in chosen.keys:
            continue
        name = row.key[len(entry.key) + 1 :]
        yield LeftMember(left_alone(row, f"{entry.source}/{name}", f"{entry.copy}/{name}"))


class ShardRun:
    """One shard from its first picture to its end.

    Args:
        entry: the shard.
        found: what earlier runs have left of it.
        history: of the destination.
        options: what may be touched.
    """

    def __init__(self, entry: Entry, found: Found, history: History, options: RunOptions) -> None:
        self._entry = entry
        self._found = found
        self._history = history
        self._options = options
        self._file = ExitStack()
        self._writing = ExitStack()
        self._target: BinaryIO | None = None
        self._writer: ShardWriter | None = None
        self._done: list[_Done] = []
        self._error: PictureError | None = None
        self._own_outputs: dict[str | None, Row] = {}

    def tasks(self) -> Iterator[MemberTask | ShardEnd]:
        """What is to be computed, and the end. Closed before that, it gives the new file up."""
        chosen = self._options.chosen
        try:
            shard = open_shard(self._entry.source)
            self._own_outputs = self._find_own_outputs()
            if not self._options.dry_run:
                self._note([self._begun()], afresh=False)
                self._target = self._file.enter_context(atomic_file(self._entry.copy, self._like()))
                self._writer = self._writing.enter_context(shard.rewrite(self._target))
            for member in shard.members():
                if chosen is None or f"{self._entry.key}/{member.key}" in chosen.keys:
                    yield self._task(member)
        except OSError as error:
            self._fail(PictureError(Reason.READ_ERROR, error.strerror or str(error)))
        except UsageError as error:
            self._fail(PictureError(Reason.UNSUPPORTED, str(error)))
        except Exception as error:
            self._fail(as_picture_error(error))
        except GeneratorExit:
            self.abort()
            raise
        yield ShardEnd(self)

    def _task(self, member: Member) -> MemberTask:
        if member.problem is not None or member.blob is None:
            return MemberTask(self, member, None)
        row = None
        if self._own_outputs:
            row = self._own_outputs.get(hashlib.sha256(member.blob.read()).hexdigest())
        if row is None:
            return MemberTask(self, member, Job(member.blob))
        key = f"{self._entry.key}/{member.key}"
        return MemberTask(self, member, None, replace(row, key=key))

    def _find_own_outputs(self) -> dict[str | None, Row]:
        """In place, pictures that an earlier run has compressed, by checksum; they stay as they are."""
        if not self._entry.in_place or self._history.ledger is None or self._history.again:
            return {}
        rows = self._history.ledger.members(self._entry.key)
        return {row.output_sha256: row for row in rows if row.record.status is Status.RECOMPRESSED}

    def add(self, task: MemberTask, computed: Computed | None) -> FileRecord:
        """Takes in the next picture; its record, which counts once the shard is complete."""
        member = task.member
        if task.left is not None:
            row = task.left
            names = (f"{self._entry.source}/{member.key}", f"{self._entry.copy}/{member.key}")
            self._done.append(_Done(member, left_alone(row, *names), row.content, row.output_sha256, row))
            return self._done[-1].record
        if computed is None:
            computed = failed(PictureError(Reason.DECODE_ERROR, member.problem or "the row has no picture"))
        record = record_of(f"{self._entry.source}/{member.key}", computed)
        outcome = computed.outcome
        is_new = outcome.data is not None and computed.checksum != computed.content
        size = record.bytes_in
        if outcome.data is not None:
            size = len(outcome.data)
        record = replace(record, output=f"{self._entry.copy}/{member.key}", bytes_out=size)
        self._done.append(_Done(member, record, computed.content, computed.checksum))
        if self._writer is None or self._error is not None:
            return record
        try:
            suffix = None
            if outcome.status is Status.RECOMPRESSED and outcome.format is not None:
                suffix = SUFFIXES[outcome.format][0]
            self._writer.add(member, outcome.data if is_new else None, suffix)
        except Exception as error:
            self._fail(_as_write_error(error))
        return record

    def finish(self) -> list[FileRecord]:
        """Completes the new file. All its pictures have failed where that cannot be done.

        Returns:
            The records of its pictures; one of the shard itself where it has none because of an error.
        """
        if self._error is None and not self._options.dry_run:
            try:
                self._complete()
            except Exception as error:
                self._fail(_as_write_error(error))
        if self._error is None:
            return [done.record for done in self._done]
        records = [failed_record(done.record, self._error) for done in self._done]
        record = failed_record(
            FileRecord(str(self._entry.source), None, Status.FAILED, Reason.READ_ERROR), self._error
        )
        # In place the rows of its pictures still say which of them are our own output.
        self._note([self._row(record, None, confirmed=True)], afresh=not self._entry.in_place)
        return records or [record]

    def abort(self) -> None:
        """Gives up: nothing of the new file stays."""
        aborted = InterruptedError("given up")
        for stack in (self._writing, self._file):
            with suppress(
                Exception
            ):  # a half-written file that cannot even be closed is removed all the same
                stack.__exit__(type(aborted), aborted, None)

    def _fail(self, error: PictureError) -> None:
        self._error = self._error or error
        self.abort()

    def _like(self) -> Like | None:
        if self._entry.in_place or self._options.keep_times:
            return Like(self._entry.source.stat(), self._options.keep_times)
        return None

    def _complete(self) -> None:
        entry = self._entry
        self._writing.close()
        assert self._target is not None
        self._target.flush()
        temporary = Path(self._target.name)
        checksum, content = checksum_of(temporary), checksum_of(entry.source)
        if stamp_of(entry.source) != self._found.stamp:
            raise PictureError(Reason.READ_ERROR, "the shard has changed while it was read")
        record = self._record(temporary.stat().st_size)
        rows = [done.row or self._member_row(done) for done in self._done]
        self._note([self._row(record, checksum, confirmed=False, content=content), *rows])
        known = self._found.row
        is_ours = known is not None and content == known.output_sha256
        if entry.in_place and self._options.backup is not None and not is_ours:
            back_up(entry.source, content, self._options.backup / entry.key)
        if not self._options.overwrite and not entry.in_place:
            check_place(entry.copy, self._found)
        self._file.close()
        row = self._row(record, checksum, confirmed=True, content=content)
        if entry.in_place:
            row = replace(row, stamp=stamp_of(entry.copy), content=checksum)
        self._note([row, *rows])

    def _record(self, size: int) -> FileRecord:
        """Of the shard; what may pass in one of its pictures may pass in it, but for the limit of pixels."""
        passing = (done.record.reason for done in self._done if done.record.reason in PASSING)
        return FileRecord(
            str(self._entry.source),
            str(self._entry.copy),
            Status.RECOMPRESSED,
            next(passing, Reason.SMALLER),
            format=self._entry.source.suffix[1:].lower(),
            bytes_in=self._entry.source.stat().st_size,
            bytes_out=size,
        )

    def _row(self, record: FileRecord, checksum: str | None, *, confirmed: bool, content: str = "") -> Row:
        entry, known = self._entry, self._found.row
        is_there = confirmed and checksum is not None
        return Row(
            entry.key,
            place_of(entry.source),
            self._found.stamp,
            content,
            self._history.settings_for(entry),
            placed(record),
            checksum,
            confirmed,
            ours_now(entry, known, checksum, is_there=is_there),
            is_shard=True,
        )

    def _member_row(self, done: _Done) -> Row:
        key = done.member.key
        return Row(
            f"{self._entry.key}/{key}",
            f"{place_of(self._entry.source)}/{key}",
            "",
            done.content,
            self._history.settings,
            done.record,
            done.checksum,
            confirmed=True,
        )

    def _begun(self) -> Row:
        """Says where a temporary file may be left."""
        record = FileRecord(
            str(self._entry.source), str(self._entry.copy), Status.FAILED, Reason.INTERNAL_ERROR
        )
        return self._row(record, None, confirmed=False)

    def _note(self, rows: list[Row], *, afresh: bool = True) -> None:
        """In the ledger; afresh: in the place of all that it knew of the shard and its pictures."""
        if self._history.ledger is not None and not self._options.dry_run:
            self._history.ledger.put(rows, self._entry.key if afresh else None)


def _as_write_error(error: Exception) -> PictureError:
    if isinstance(error, OSError):
        return PictureError(Reason.WRITE_ERROR, error.strerror or str(error))
    return as_picture_error(error)
