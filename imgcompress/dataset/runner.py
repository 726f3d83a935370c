"""Read, compute and write overlap; windows bound the memory; records come in the order of the sources."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from imgcompress.compressor import Compressor, Outcome, Source, as_picture_error
from imgcompress.config import Config
from imgcompress.dataset.attention_picture import draw_attention
from imgcompress.dataset.ledger import FILE_NAME, Ledger, Row, sha256
from imgcompress.dataset.resume import (
    History,
    clear_after_a_kill,
    left_alone,
    look_at_places,
    output_path,
    place_of,
    settings_of,
    stamp_of,
)
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason
from imgcompress.image.read import probe, read_picture
from imgcompress.image.write import write_atomically
from imgcompress.records import FileRecord, Status

In = TypeVar("In")
Out = TypeVar("Out")
MOST_CHECKSUMS = 8
"""Contents of ours that the ledger remembers for a picture; more come only of failed writes."""


@dataclass(frozen=True)
class RunOptions:
    """What a run may touch.

    Attributes:
        dry_run: compute everything, write nothing.
        overwrite: replace outputs that exist, whoever made them.
        state: the folder of the ledger, in which the run notes what it does; None for no ledger.
        resume: leave out what the ledger says is done.
    """

    dry_run: bool = False
    overwrite: bool = False
    state: Path | None = None
    resume: bool = True


@dataclass
class _Item:
    """One candidate on its way through the run; each stage fills in what it finds.

    Attributes:
        left: how it ends without being computed, if so.
        earlier: what the ledger knew of it.
        ours: earlier outputs of ours that are still there, with their checksums.
        stamp, content: of the source, for the ledger.
    """

    entry: Entry
    left: FileRecord | None = None
    earlier: Row | None = None
    ours: dict[Path, str] = field(default_factory=dict)
    stamp: str = ""
    content: str = ""
    data: bytes | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    source: Source | None = None
    error: PictureError | None = None
    seconds: float = 0.0

    @property
    def megapixels(self) -> float:
        return (self.width or 0) * (self.height or 0) / 1e6


class Runner:
    """Sends files through a compressor.

    Args:
        config: all settings.
        options: what may be touched.

    Raises:
        UsageError: the device or a model asked for is not there.
    """

    def __init__(self, config: Config, options: RunOptions) -> None:
        self._config = config
        self._options = options
        self._history: History | None = None
        self._stopping = threading.Event()
        self.compressor = Compressor(config)

    def stop(self) -> None:
        """Ends the run after the window that is being computed; any thread or signal handler may call it."""
        self._stopping.set()

    def run(self, entries: Iterable[Entry]) -> Iterator[FileRecord]:
        """Works through the entries.

        While one window of pictures is computed and written, the next is read and decoded; no more than two
        windows are in memory.

        Args:
            entries: candidates.

        Returns:
            One record an entry, in their order, as soon as its window is written.

        Raises:
            UsageError: the ledger cannot be used, or another run is at work there.
        """
        stack = ExitStack()
        state, writes = self._options.state, not self._options.dry_run
        if state is not None and (writes or (state / FILE_NAME).is_file()):
            ledger = stack.enter_context(Ledger(state, read_only=not writes))
            self._history = History(ledger, settings_of(self._config), self._options.resume)
            if writes:
                clear_after_a_kill(ledger)
        return self._run(stack, entries)

    def _run(self, stack: ExitStack, entries: Iterable[Entry]) -> Iterator[FileRecord]:
        with stack:
            pool = ThreadPoolExecutor(self._config.threads, thread_name_prefix="imgcompress")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            decoding: list[Future[_Item]] = []
            for window in self._windows(pool, entries):
                upcoming = [pool.submit(self._decode, item) for item in window]
                yield from self._process(pool, [future.result() for future in decoding])
                if self._stopping.is_set():
                    return
                decoding = upcoming
            yield from self._process(pool, [future.result() for future in decoding])

    def _windows(self, pool: Executor, entries: Iterable[Entry]) -> Iterator[list[_Item]]:
        """Cuts the stream of loaded files by count and by pixels."""
        most_pictures = 4 * self._config.batch_size
        most_megapixels = self._config.limits.in_flight_megapixels / 2
        window: list[_Item] = []
        for item in _map_ahead(pool, self._load, entries, ahead=2 * self._config.threads):
            megapixels = sum(other.megapixels for other in window) + item.megapixels
            if window and (megapixels > most_megapixels or len(window) == most_pictures):
                yield window
                window = []
            window.append(item)
        if window:
            yield window

    def _process(self, pool: Executor, items: list[_Item]) -> Iterator[FileRecord]:
        """Compresses a window, writes the outputs, says what became of each."""
        ready = [item.source for item in items if item.source is not None]
        outcomes = iter(self.compressor.compress(ready, pool))
        results = [_result(item, next(outcomes) if item.source is not None else None) for item in items]
        self._note(result for result in results if result.data is not None)
        writing = [pool.submit(self._write, result) for result in results]
        written = [future.result() for future in writing]
        self._note(written, confirmed=True)
        yield from (result.record for result in written)

    def _note(self, results: Iterable["_Result"], *, confirmed: bool = False) -> None:
        """Before outputs are written, what they will be; after it, what is."""
        if self._history is None or self._options.dry_run:
            return
        settings = self._history.settings
        rows = (result.row(settings, confirmed=confirmed) for result in results)
        self._history.ledger.put(row for row in rows if row is not None)

    def _load(self, entry: Entry) -> _Item:
        """Reads a file and looks at its header; nothing large is decoded. Runs in the pool."""
        started = time.perf_counter()
        item = _Item(entry)
        try:
            self._look_back(item)
            if item.left is None:
                assert item.data is not None
                header = probe(item.data)
                item.format, item.width, item.height = header.format, header.width, header.height
        except OSError as error:
            item.error = PictureError(Reason.READ_ERROR, error.strerror or str(error))
        except Exception as error:  # a fault with one picture must not end the run
            item.error = as_picture_error(error)
        item.seconds = time.perf_counter() - started
        return item

    def _look_back(self, item: _Item) -> None:
        """Reads the source, unless it is done or its output's place is taken."""
        entry, history = item.entry, self._history
        row = item.earlier = history.ledger.find(entry.key) if history is not None else None
        if history is not None:
            item.stamp = stamp_of(entry.source)
            if row is not None and row.confirmed and history.is_done(entry, row, stamp=item.stamp):
                item.left = left_alone(entry, row)
                return
        places = look_at_places(entry, row)
        item.ours = places.ours
        data = None
        if history is not None and row is not None:
            data = entry.source.read_bytes()
            item.content = sha256(data)
            if history.is_done(entry, row, content=item.content):
                item.left = left_alone(entry, row)
                return
        if places.foreign and not self._options.overwrite:
            taken = str(places.foreign[0])
            item.left = FileRecord(str(entry.source), taken, Status.SKIPPED, Reason.EXISTS)
            return
        item.data = entry.source.read_bytes() if data is None else data
        if history is not None and row is None:
            item.content = sha256(item.data)

    def _decode(self, item: _Item) -> _Item:
        """Decodes what was loaded. Runs in the pool."""
        if item.data is None or item.error is not None or item.left is not None:
            return item
        started = time.perf_counter()
        try:
            picture = read_picture(item.data, self._config.limits.max_megapixels)
            item.source = Source(item.data, picture)
        except Exception as error:
            item.error = as_picture_error(error)
        item.seconds += time.perf_counter() - started
        return item

    def _write(self, result: "_Result") -> "_Result":
        """Writes an output. Runs in the pool."""
        record, entry = result.record, result.item.entry
        if self._options.dry_run:
            return result
        if result.data is None:
            self._remove_others(result)
            return result
        assert record.output is not None
        started = time.perf_counter()
        try:
            # The map first: once the output is there, a rerun skips the picture.
            if entry.map is not None and result.item.source is not None:
                write_atomically(
                    entry.map, draw_attention(result.item.source.picture, self._config.attention)
                )
            write_atomically(Path(record.output), result.data)
        except Exception as error:
            return result.failed(as_picture_error(error))
        self._remove_others(result)
        seconds = record.seconds + time.perf_counter() - started
        return replace(result, record=replace(record, seconds=seconds))

    @staticmethod
    def _remove_others(result: "_Result") -> None:
        """Earlier outputs of ours under another suffix, once the picture has one that is up to date."""
        if result.record.output is None or result.record.reason is Reason.EXISTS:
            return
        for path in result.item.ours:
            if path != Path(result.record.output):
                with suppress(OSError):  # it does no harm
                    path.unlink()


@dataclass(frozen=True)
class _Result:
    """How an item ends, and the bytes that are to be written for it.

    Attributes:
        data: None where nothing is to be written, or its writing has failed.
        checksum: of the bytes; where their writing has failed, too: they may be there all the same.
    """

    item: _Item
    record: FileRecord
    data: bytes | None = None
    checksum: str | None = None

    def failed(self, error: PictureError) -> "_Result":
        """The same without an output."""
        record = replace(
            self.record,
            output=None,
            bytes_out=None,
            status=Status.FAILED,
            reason=error.reason,
            error=str(error),
        )
        return replace(self, record=record, data=None)

    def row(self, settings: str, *, confirmed: bool) -> Row | None:
        """For the ledger; None where it has nothing to learn."""
        item, known, place = self.item, self.item.earlier, place_of(self.item.entry)
        if item.left is not None:
            if known is None or item.left.reason is Reason.EXISTS:
                return None
            if known.confirmed and (known.stamp, known.source) == (item.stamp, place):
                return None
            return replace(known, stamp=item.stamp, source=place, confirmed=True)
        output = None if self.data is None else self.checksum
        before = known.ours if known is not None and known.source == place else ()
        # What may be on disk: after a failure anything that was there or was about to be.
        ours = (output,) if confirmed and output is not None else (*before, self.checksum)
        kept = tuple(dict.fromkeys(checksum for checksum in ours if checksum))[-MOST_CHECKSUMS:]
        key, record = item.entry.key, self.record
        return Row(key, place, item.stamp, item.content, settings, record, output, confirmed, kept)


def _result(item: _Item, outcome: Outcome | None) -> _Result:
    """Joins what was found on the way with what the compressor says."""
    if item.left is not None:
        return _Result(item, item.left)
    record = FileRecord(
        source=str(item.entry.source),
        output=None,
        status=Status.FAILED,
        reason=Reason.INTERNAL_ERROR,
        format=item.format,
        width=item.width,
        height=item.height,
        bytes_in=None if item.data is None else len(item.data),
        seconds=item.seconds,
    )
    if outcome is None:
        assert item.error is not None
        return _Result(item, record).failed(item.error)
    record = replace(
        record,
        status=outcome.status,
        reason=outcome.reason,
        format=outcome.format,
        scores=outcome.scores,
        settings=outcome.settings,
        seconds=item.seconds + outcome.seconds,
        error=outcome.error,
    )
    if outcome.data is None:
        return _Result(item, record)
    output = str(output_path(item.entry, record))
    record = replace(record, output=output, bytes_out=len(outcome.data))
    return _Result(item, record, outcome.data, sha256(outcome.data))


def _map_ahead(
    pool: Executor, function: Callable[[In], Out], items: Iterable[In], ahead: int
) -> Iterator[Out]:
    """Maps in the pool, in order, with a bounded number of calls under way."""
    stream = iter(items)
    under_way = deque(pool.submit(function, item) for item in islice(stream, ahead))
    while under_way:
        result = under_way.popleft().result()
        under_way.extend(pool.submit(function, item) for item in islice(stream, 1))
        yield result
