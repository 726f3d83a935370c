"""Requests that come within a few milliseconds, want the same and are of one size go through together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from imgcompress.compressor import Outcome, Source
from imgcompress.config import Config
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.metrics import Metrics


@dataclass(frozen=True)
class _Group:
    """What pictures of one batch have in common: settings, and height and width in units of 16 pixels."""

    config: Config
    height: int
    width: int


@dataclass(eq=False)
class _Waiting:
    source: Source
    future: asyncio.Future[Outcome]
    due: float


class Batcher:
    """Gathers pictures into batches and computes one batch at a time, in a thread of its own.

    While one is computed the next ones gather, so that batches grow with the load.

    Args:
        compressors: where compressors come from; asked in the thread that computes, once a batch.
        size: most pictures of a batch.
        wait: seconds that a picture waits for others.
        pool: packs and decodes results.
        metrics: counts batches.
    """

    def __init__(
        self, compressors: Compressors, size: int, wait: float, pool: Executor, metrics: Metrics
    ) -> None:
        self._compressors = compressors
        self._size = size
        self._wait = wait
        self._pool = pool
        self._metrics = metrics
        self.thread = ThreadPoolExecutor(1, "compute")
        self._groups: dict[_Group, list[_Waiting]] = {}
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Computes as long as the context lasts; what waits at its end is canceled."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for group in self._groups.values():
                for waiting in group:
                    waiting.future.cancel()
            self.thread.shutdown()

    async def submit(self, config: Config, source: Source) -> Outcome:
        """Compresses a picture in the next batch that it fits into; canceled before that, it costs nothing.

        Raises:
            UsageError: there is no compressor of these settings.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(source, loop.create_future(), loop.time() + self._wait)
        key = _Group(config, -(-source.picture.height // 16), -(-source.picture.width // 16))
        self._groups.setdefault(key, []).append(waiting)
        self._changed.set()
        try:
            return await waiting.future
        finally:
            group = self._groups.get(key, [])
            if waiting in group:
                group.remove(waiting)
                if not group:
                    del self._groups[key]

    async def _run(self) -> None:
        while True:
            key = self._ready()
            if key is not None:
                await self._compute(key.config, self._take(key))
                continue
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_due()):
                    await self._changed.wait()

    def _ready(self) -> _Group | None:
        """Of the groups that are full or have waited, the one that has waited longest."""
        now = asyncio.get_running_loop().time()
        ready = [
            (group[0].due, index, key)
            for index, (key, group) in enumerate(self._groups.items())
            if len(group) >= self._size or group[0].due <= now
        ]
        return min(ready)[2] if ready else None

    def _next_due(self) -> float | None:
        return min((group[0].due for group in self._groups.values()), default=None)

    def _take(self, key: _Group) -> list[_Waiting]:
        group = self._groups.pop(key)
        if rest := group[self._size :]:
            self._groups[key] = rest
        return group[: self._size]

    async def _compute(self, config: Config, batch: list[_Waiting]) -> None:
        self._metrics.batches.observe(len(batch))
        sources = [waiting.source for waiting in batch]
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self.thread, self._compress, config, sources)
        except Exception as error:
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(outcome)

    def _compress(self, config: Config, sources: Sequence[Source]) -> list[Outcome]:
        with self._compressors.lease(config) as compressor:
            return compressor.compress(sources, self._pool)
