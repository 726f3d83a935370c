"""The service without HTTP: bytes in, pictures and numbers out, within limits of time, memory and length."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from imgcompress.compressor import Outcome, Source
from imgcompress.config import Config
from imgcompress.dataset.named_files import File
from imgcompress.errors import PictureError, Reason
from imgcompress.forensics.signatures import load_signatures
from imgcompress.formats.select import MadeFormat, acceptable_formats
from imgcompress.image.containers import format_of
from imgcompress.image.decoded import Probe
from imgcompress.image.depth import to_8_bit
from imgcompress.image.picture import Picture
from imgcompress.image.read import probe, read_picture
from imgcompress.inspection.inspector import Inspector
from imgcompress.inspection.to_json import to_json
from imgcompress.records import Status
from imgcompress.serve.answers import COME_AGAIN, RequestError
from imgcompress.serve.asked import Asked
from imgcompress.serve.batcher import Batcher
from imgcompress.serve.cache import DiskCache
from imgcompress.serve.comparison import Answer, Comparison
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.made import Made, made_of
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.options import ServeOptions

Value = TypeVar("Value")


class Service:
    """Compresses, compares and describes pictures. For the event loop's thread.

    Args:
        config: settings where a client asks for nothing else.
        options: limits.
        compressors: where compressors come from.
        metrics: counts.
        cache: where results of files are kept; None where no files are served.
    """

    def __init__(
        self,
        config: Config,
        options: ServeOptions,
        compressors: Compressors,
        metrics: Metrics,
        cache: DiskCache | None = None,
    ) -> None:
        self._options = options
        self._compressors = compressors
        self._metrics = metrics
        self._cache = cache
        self._comparison = Comparison(config, compressors)
        self._inspector = Inspector(config, load_signatures())
        self._max_megapixels = min(options.max_megapixels, config.limits.max_megapixels)
        self._megapixels = _Megapixels(config.limits.in_flight_megapixels)
        self._readers = ThreadPoolExecutor(config.threads, "read")
        self._packers = ThreadPoolExecutor(config.threads, "pack")
        wait = options.batch_wait_ms / 1000
        self._batcher = Batcher(compressors, config.batch_size, wait, self._packers, metrics)
        self._queued = 0
        self._making: dict[str, asyncio.Task[Made]] = {}
        metrics.queue.set_function(lambda: self._queued)
        if cache is not None:
            metrics.cache_bytes.set_function(lambda: cache.size)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves as long as the context lasts."""
        async with self._batcher.running():
            yield
        self._readers.shutdown()
        self._packers.shutdown()

    @property
    def is_full(self) -> bool:
        """Whether the next request would be told to come again."""
        return self._queued >= self._options.queue

    async def compress(self, data: bytes, asked: Asked) -> Made:
        """A picture in the format and at the quality asked for.

        Args:
            data: the source.
            asked: what for.

        Raises:
            RequestError: 406, 503, 504.
            PictureError: the picture cannot be read or compressed.
            UsageError: the settings cannot be carried out.
        """
        async with self._admitted(), self._decoded(data) as [(_, picture)]:
            made = await self._compress(Source(data, picture), asked)
        self._metrics.bytes_in.inc(len(data))
        self._metrics.bytes_out.inc(len(made.data))
        return made

    async def image(self, path: Path, asked: Asked, take: Callable[[int], None]) -> Made:
        """A file in the format and at the quality asked for, from the cache where it has been made before.

        Args:
            path: the file.
            asked: what for.
            take: told of the bytes that are read.

        Raises:
            RequestError, PictureError, UsageError: as in :meth:`compress`.
        """
        assert self._cache is not None
        data = await self._in_thread(self._read_file, path)
        take(len(data))
        key = await self._in_thread(self._key, data, asked)
        stored = await self._in_thread(self._cache.get, key)
        self._metrics.cache.labels("miss" if stored is None else "hit").inc()
        if stored is not None:
            return Made.from_bytes(stored)
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, data, asked))
            task.add_done_callback(lambda _: self._making.pop(key))
        return await asyncio.shield(task)

    async def compare(self, reference: bytes, test: bytes) -> Answer:
        """How near a picture is to another one.

        Raises:
            RequestError: 422 where they cannot be compared, 503, 504.
            PictureError: one cannot be read.
        """
        async with self._admitted(), self._decoded(reference, test) as [(_, first), (_, second)]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._batcher.thread, self._comparison.compare, first, second)

    async def inspect(self, data: bytes) -> dict[str, Any]:
        """What a picture's file tells of itself: quality, history, advice.

        Raises:
            RequestError: 503, 504.
            PictureError: it cannot be read.
        """
        async with self._admitted(), self._decoded(data) as [(found, picture)]:
            loop = asyncio.get_running_loop()
            inspected = partial(
                self._inspector.inspect_decoded, File("", data), found, picture, self._packers
            )
            return to_json(await loop.run_in_executor(self._batcher.thread, inspected))

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        if self.is_full:
            raise RequestError(503, "queue_full", "too many requests are waiting", COME_AGAIN)
        self._queued += 1
        try:
            async with asyncio.timeout(self._options.request_seconds):
                yield
        except TimeoutError:
            message = f"the request took longer than {self._options.request_seconds:g} s"
            raise RequestError(504, "timed_out", message) from None
        finally:
            self._queued -= 1

    @asynccontextmanager
    async def _decoded(self, *files: bytes) -> AsyncIterator[list[tuple[Probe, Picture]]]:
        """Pictures, whose pixels count among those in memory as long as the context lasts."""
        probes = [await self._in_thread(probe, data) for data in files]
        sizes = [(found.width or 0) * (found.height or 0) / 1e6 for found in probes]
        if max(sizes) > self._max_megapixels:
            message = f"{max(sizes):.1f} megapixels are more than the limit of {self._max_megapixels:g}"
            raise PictureError(Reason.TOO_LARGE, message)
        async with self._megapixels.held(sum(sizes)):
            pictures = [await self._in_thread(read_picture, data, self._max_megapixels) for data in files]
            yield list(zip(probes, pictures, strict=True))

    async def _compress(self, source: Source, asked: Asked) -> Made:
        picture, accept = source.picture, asked.accept
        takes_source = accept.weight(picture.format) > 0
        if picture.keep is not None or picture.frames > 1:
            reason, message = picture.keep or (Reason.ANIMATED, f"the file holds {picture.frames} pictures")
            if not takes_source:
                raise RequestError(406, reason, f"only {picture.format} can be sent: {message}")
            formats: tuple[MadeFormat, ...] = (
                "jpeg",
            )  # the compressor copies it, without what is to be stripped
        else:
            formats = asked.formats_to_make(picture.bit_depth, picture.alpha is not None)
            if not formats:
                raise RequestError(406, "not_acceptable", "no format that is accepted can hold the picture")
        # Where the client does not take the source, a larger result is better than none.
        config = asked.config if takes_source else replace(asked.config, convert=True, again=True)
        tries = [
            self._batcher.submit(replace(config, format=form), Source(source.data, _held_by(form, picture)))
            for form in formats
        ]
        outcome = _best(await asyncio.gather(*tries), picture, asked)
        if outcome.data is None or outcome.format is None:
            raise PictureError(outcome.reason, outcome.error or "the picture cannot be compressed")
        if accept.weight(outcome.format) == 0:
            message = f"only {outcome.format} can be sent: {outcome.error or outcome.reason}"
            raise RequestError(406, outcome.reason, message)
        return made_of(outcome, len(source.data))

    async def _make(self, key: str, data: bytes, asked: Asked) -> Made:
        assert self._cache is not None
        made = await self.compress(data, asked)
        if key == await self._in_thread(self._key, data, asked):  # else another model may have been at work
            await self._in_thread(self._cache.put, key, made.to_bytes())
        return made

    def _read_file(self, path: Path) -> bytes:
        limit = self._options.max_upload
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError:
            raise RequestError(404, "not_found", "there is no such picture") from None
        if len(data) > limit:
            raise RequestError(413, "too_large", f"the file has more than {limit} bytes")
        return data

    def _key(self, data: bytes, asked: Asked) -> str:
        content = hashlib.sha256(data).hexdigest()
        decisions = asked.decisions(format_of(data))
        return hashlib.sha256(
            f"{content} {self._compressors.version(asked.config)} {decisions}".encode()
        ).hexdigest()

    async def _in_thread(self, function: Callable[..., Value], *arguments: object) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)


def _held_by(form: MadeFormat, picture: Picture) -> Picture:
    """A picture as a format can hold it."""
    return picture if form in ("avif", "png") else to_8_bit(picture)


def _best(outcomes: list[Outcome], picture: Picture, asked: Asked) -> Outcome:
    """Of several results the one that the client likes best, and of those that hit the target if any does."""
    made = {str(item.format): item for item in outcomes if item.status is Status.RECOMPRESSED}
    hits = {form: item for form, item in made.items() if item.reason is not Reason.TARGET_UNREACHABLE} or made
    sizes = {form: len(item.data or b"") for form, item in hits.items()}
    has_alpha = picture.alpha is not None
    order = acceptable_formats(asked.accept, picture.bit_depth, has_alpha, animated=False, sizes=sizes)
    return next((hits[form] for form in order if form in hits), outcomes[0])


class _Megapixels:
    """Decoded pixels in memory: who would go beyond the limit waits. One picture is always let in."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._held = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def held(self, count: float) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._held == 0 or self._held + count <= self._limit)
            self._held += count
        try:
            yield
        finally:
            self._held -= count
            async with self._changed:
                self._changed.notify_all()
