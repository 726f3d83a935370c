"""From where a picture's bytes are to how it ends, in one process.

While one window of pictures is computed, the next is read and decoded; no more than two are in memory.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar, runtime_checkable

from imgcompress.compressor import Compressor, Outcome, Source, as_picture_error
from imgcompress.config import Config
from imgcompress.dataset.attention_picture import draw_attention
from imgcompress.dataset.blobs import Blob
from imgcompress.errors import PictureError, Reason
from imgcompress.image.read import probe, read_picture
from imgcompress.records import Status

In = TypeVar("In")
Out = TypeVar("Out")
MOST_PASSED_BY = 64
"""Places without a job in a window: what is left alone must not be held back by it for long."""


@dataclass(frozen=True)
class Job:
    """A picture to be compressed.

    Attributes:
        blob: its bytes.
        draws_map: whether its attention map is wanted, too.
    """

    blob: Blob
    draws_map: bool = False


@dataclass(frozen=True)
class Computed:
    """What became of a job.

    Attributes:
        outcome: how it ended.
        content, bytes_in: SHA-256 and size of the source; empty and None where it could not be read.
        width, height: pixels as stored; None where they are unknown.
        checksum: SHA-256 of the output's bytes; None where there is none.
        map: the attention map as a PNG file, if it was wanted.
        seconds: spent on this picture; a batch's shared stages are divided evenly.
    """

    outcome: Outcome
    content: str = ""
    bytes_in: int | None = None
    width: int | None = None
    height: int | None = None
    checksum: str | None = None
    map: bytes | None = None
    seconds: float = 0.0


@runtime_checkable
class Engine(Protocol):
    """Where pictures are computed: in this process, in others on this machine, or on many machines."""

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        """Computes a stream of jobs.

        Args:
            jobs: taken a bounded number ahead of the results; None marks the place of what is left alone.

        Returns:
            The results in the order of the jobs, in lists as they become ready; None for None. No picture's
            fault raises anything.

        Raises:
            UsageError: it cannot work at all.
        """


def failed(error: PictureError) -> Computed:
    """A job that ended before anything is known of its picture."""
    return Computed(_failure(error, None))


@dataclass
class _Item:
    """A job on its way; each stage fills in what it finds."""

    job: Job | None
    computed: Computed
    data: bytes | None = None
    source: Source | None = None

    @property
    def megapixels(self) -> float:
        return (self.computed.width or 0) * (self.computed.height or 0) / 1e6


class Pipeline:
    """The engine of one process.

    Args:
        config: all settings.

    Raises:
        UsageError: the device or a model asked for is not there.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.compressor = Compressor(config)

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        """See :class:`Engine`."""
        pool = ThreadPoolExecutor(self._config.threads, thread_name_prefix="imgcompress")
        try:
            decoding: list[Future[_Item]] = []
            for window in self._windows(pool, jobs):
                upcoming = [pool.submit(self._decode, item) for item in window]
                if decoding:
                    yield self._compute(pool, [future.result() for future in decoding])
                decoding = upcoming
            if decoding:
                yield self._compute(pool, [future.result() for future in decoding])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _windows(self, pool: Executor, jobs: Iterable[Job | None]) -> Iterator[list[_Item]]:
        """Cuts the stream of loaded files by count and by pixels."""
        # On a GPU several batches, of one layout each, should come of a window.
        most_pictures = self._config.batch_size * (4 if self.compressor.device.type == "cuda" else 1)
        most_megapixels = self._config.limits.in_flight_megapixels / 2
        window: list[_Item] = []
        pictures, megapixels = 0, 0.0
        for item in map_ahead(pool, self._load, jobs, ahead=2 * self._config.threads):
            is_full = pictures == most_pictures or megapixels + item.megapixels > most_megapixels
            if window and (is_full or len(window) - pictures == MOST_PASSED_BY):
                yield window
                window, pictures, megapixels = [], 0, 0.0
            window.append(item)
            pictures += item.job is not None
            megapixels += item.megapixels
        if window:
            yield window

    def _load(self, job: Job | None) -> _Item:
        """Reads a file and looks at its header; nothing large is decoded. Runs in the pool."""
        item = _Item(job, failed(PictureError(Reason.INTERNAL_ERROR, "not computed")))
        if job is None:
            return item
        started = time.perf_counter()
        try:
            item.data = job.blob.read()
            content = hashlib.sha256(item.data).hexdigest()
            item.computed = replace(item.computed, content=content, bytes_in=len(item.data))
            header = probe(item.data)
            outcome = replace(item.computed.outcome, format=header.format)
            item.computed = replace(item.computed, outcome=outcome, width=header.width, height=header.height)
        except OSError as error:
            _fail(item, PictureError(Reason.READ_ERROR, error.strerror or str(error)))
        except Exception as error:  # a fault with one picture must not end the run
            _fail(item, as_picture_error(error))
        item.computed = replace(item.computed, seconds=time.perf_counter() - started)
        return item

    def _decode(self, item: _Item) -> _Item:
        """Decodes what was loaded. Runs in the pool."""
        if item.data is None:
            return item
        started = time.perf_counter()
        try:
            picture = read_picture(item.data, self._config.limits.max_megapixels)
            item.source = Source(item.data, picture)
        except Exception as error:
            _fail(item, as_picture_error(error))
        seconds = item.computed.seconds + time.perf_counter() - started
        item.computed = replace(item.computed, seconds=seconds)
        return item

    def _compute(self, pool: Executor, items: list[_Item]) -> list[Computed | None]:
        ready = [item for item in items if item.source is not None]
        sources = [item.source for item in ready if item.source is not None]
        for item, outcome in zip(ready, self.compressor.compress(sources, pool), strict=True):
            seconds = item.computed.seconds + outcome.seconds
            item.computed = replace(item.computed, outcome=outcome, seconds=seconds)
        return list(pool.map(self._finish, items))

    def _finish(self, item: _Item) -> Computed | None:
        """Draws the map and takes the checksum. Runs in the pool."""
        if item.job is None:
            return None
        if item.job.draws_map and item.source is not None and item.source.picture.keep is None:
            try:
                drawn = draw_attention(item.source.picture, self._config.attention)
                item.computed = replace(item.computed, map=drawn)
            except Exception as error:
                _fail(item, as_picture_error(error))
        data = item.computed.outcome.data
        return (
            item.computed
            if data is None
            else replace(item.computed, checksum=hashlib.sha256(data).hexdigest())
        )


def map_ahead(
    pool: Executor, function: Callable[[In], Out], items: Iterable[In], ahead: int
) -> Iterator[Out]:
    """Maps in a pool, in order, with a bounded number of calls under way.

    Args:
        pool: where the calls run.
        function: what is called with each item.
        items: taken as far ahead as there are calls.
        ahead: how many calls are under way at most.
    """
    stream = iter(items)
    under_way = deque(pool.submit(function, item) for item in islice(stream, ahead))
    while under_way:
        result = under_way.popleft().result()
        under_way.extend(pool.submit(function, item) for item in islice(stream, 1))
        yield result


def windows_of(
    items: Iterable[In], megapixels_of: Callable[[In], float], most_items: int, most_megapixels: float
) -> Iterator[list[In]]:
    """Cuts a stream into pieces that may be in memory at once; what is larger alone is a piece of its own.

    Args:
        items: in their order.
        megapixels_of: what an item weighs.
        most_items: in a piece.
        most_megapixels: in a piece of several.
    """
    window: list[In] = []
    megapixels = 0.0
    for item in items:
        size = megapixels_of(item)
        if window and (len(window) == most_items or megapixels + size > most_megapixels):
            yield window
            window, megapixels = [], 0.0
        window.append(item)
        megapixels += size
    if window:
        yield window


def _failure(error: PictureError, form: str | None) -> Outcome:
    return Outcome(Status.FAILED, error.reason, None, form, error=str(error))


def _fail(item: _Item, error: PictureError) -> None:
    item.data, item.source = None, None
    item.computed = replace(item.computed, outcome=_failure(error, item.computed.outcome.format))
