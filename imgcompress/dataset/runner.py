"""Read, compute and write overlap; windows bound the memory; records come in the order of the sources."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from imgcompress.compressor import Compressor, Outcome, Source, as_picture_error
from imgcompress.config import Config
from imgcompress.dataset.attention_picture import draw_attention
from imgcompress.dataset.sources import Entry
from imgcompress.errors import PictureError, Reason
from imgcompress.image.read import probe, read_picture
from imgcompress.image.write import write_atomically
from imgcompress.records import FileRecord, Status

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class RunOptions:
    """What a run may touch.

    Attributes:
        dry_run: compute everything, write nothing.
        overwrite: replace outputs that exist.
    """

    dry_run: bool = False
    overwrite: bool = False


@dataclass
class _Item:
    """One candidate on its way through the run; each stage fills in what it finds."""

    entry: Entry
    existing: Path | None = None
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
        self.compressor = Compressor(config)

    def run(self, entries: Iterable[Entry]) -> Iterator[FileRecord]:
        """Works through the entries.

        While one window of pictures is computed and written, the next is read and decoded; no more than two
        windows are in memory.

        Args:
            entries: candidates.

        Returns:
            One record an entry, in their order, as soon as its window is written.
        """
        with ThreadPoolExecutor(self._config.threads, thread_name_prefix="imgcompress") as pool:
            decoding: list[Future[_Item]] = []
            try:
                for window in self._windows(pool, entries):
                    upcoming = [pool.submit(self._decode, item) for item in window]
                    yield from self._process(pool, [future.result() for future in decoding])
                    decoding = upcoming
                yield from self._process(pool, [future.result() for future in decoding])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

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
        finishing = [
            pool.submit(self._finish, item, next(outcomes) if item.source is not None else None)
            for item in items
        ]
        for future in finishing:
            yield future.result()

    def _load(self, entry: Entry) -> _Item:
        """Reads a file and looks at its header; nothing large is decoded. Runs in the pool."""
        started = time.perf_counter()
        item = _Item(entry)
        try:
            if not self._options.overwrite:
                item.existing = _existing_output(entry)
            if item.existing is None:
                item.data = entry.source.read_bytes()
                header = probe(item.data)
                item.format, item.width, item.height = header.format, header.width, header.height
        except OSError as error:
            item.error = PictureError(Reason.READ_ERROR, error.strerror or str(error))
        except Exception as error:  # a fault with one picture must not end the run
            item.error = as_picture_error(error)
        item.seconds = time.perf_counter() - started
        return item

    def _decode(self, item: _Item) -> _Item:
        """Decodes what was loaded. Runs in the pool."""
        if item.data is None or item.error is not None:
            return item
        started = time.perf_counter()
        try:
            picture = read_picture(item.data, self._config.limits.max_megapixels)
            item.source = Source(item.data, picture)
        except Exception as error:
            item.error = as_picture_error(error)
        item.seconds += time.perf_counter() - started
        return item

    def _finish(self, item: _Item, outcome: Outcome | None) -> FileRecord:
        """Writes an output and makes the record. Runs in the pool."""
        entry = item.entry
        if item.existing is not None:
            return FileRecord(str(entry.source), str(item.existing), Status.SKIPPED, Reason.EXISTS)
        record = FileRecord(
            source=str(entry.source),
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
            return replace(record, reason=item.error.reason, error=str(item.error))
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
            return record
        output = entry.copy if outcome.status is Status.KEPT else entry.output
        started = time.perf_counter()
        try:
            if not self._options.dry_run:
                # The map first: once the output is there, a rerun skips the picture.
                if entry.map is not None and item.source is not None:
                    write_atomically(entry.map, draw_attention(item.source.picture, self._config.attention))
                write_atomically(output, outcome.data)
        except Exception as fault:
            error = as_picture_error(fault)
            return replace(record, status=Status.FAILED, reason=error.reason, error=str(error))
        seconds = record.seconds + time.perf_counter() - started
        return replace(record, output=str(output), bytes_out=len(outcome.data), seconds=seconds)


def _existing_output(entry: Entry) -> Path | None:
    try:
        return next((path for path in (entry.output, entry.copy) if path.exists()), None)
    except OSError as error:
        message = f"{entry.output} cannot be looked at: {error.strerror}"
        raise PictureError(Reason.WRITE_ERROR, message) from error


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
