"""An engine of several processes on this machine. A worker that dies takes no picture but its own along."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread
from typing import Any

import torch

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.chunks import QUEUED, Chunks, Unit
from imgcompress.dataset.pipeline import MOST_PASSED_BY, Computed, Job, Pipeline
from imgcompress.errors import UsageError


class LocalEngine:
    """Computes in this process, or in ``config.workers`` others where there is enough to do.

    Args:
        config: all settings.

    Raises:
        UsageError: the device or a model asked for is not there.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pipeline = Pipeline(config)

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        """See :class:`~imgcompress.dataset.pipeline.Engine`."""
        workers = self._config.workers or automatic_workers(self._config.device)
        stream = iter(jobs)
        if workers == 1:
            yield from self._pipeline.run(stream)
            return
        # A process takes seconds to start.
        enough = 1 if self._config.workers else 4 * workers
        first: list[Job | None] = []
        while sum(job is not None for job in first) < enough:
            more = list(islice(stream, MOST_PASSED_BY if not first else 1))
            if not more:
                yield from self._pipeline.run(first)
                return
            first += more
            if all(job is None for job in first):
                yield [None] * len(first)
                first = []
        yield from WorkerPool(self._config, workers, _chain(first, stream)).results()


def automatic_workers(device: str) -> int:
    """One process a CUDA device, or one a core."""
    if find_device(device).type == "cuda":
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chain(first: list[Job | None], rest: Iterator[Job | None]) -> Iterator[Job | None]:
    yield from first
    first.clear()
    yield from rest


@dataclass
class _Worker:
    process: Any
    connection: Connection
    units: deque[Unit] = field(default_factory=deque)
    is_ready: bool = False


class WorkerPool:
    """One run over processes with a compressor each. On a CPU each computes in one thread.

    Args:
        config: all settings.
        workers: how many processes.
        jobs: a stream; None marks the place of what is left alone.
    """

    def __init__(self, config: Config, workers: int, jobs: Iterable[Job | None]) -> None:
        self._config = config
        self._most_workers = workers
        is_cuda = find_device(config.device).type == "cuda"
        self._chunks = Chunks(jobs, config.batch_size, workers, is_cuda=is_cuda)
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")
        self._numbers = count()

    def results(self) -> Generator[list[Computed | None]]:
        """Computes all, as :meth:`Engine.run <imgcompress.dataset.pipeline.Engine.run>` does.

        A picture whose worker died is tried once more, alone; if that ends the same way it is failed.

        Raises:
            UsageError: a worker could not start.
        """
        try:
            while True:
                self._hand_out()
                if done := self._chunks.take_done():
                    yield done
                if any(worker.units for worker in self._workers):
                    self._wait()
                elif self._chunks.is_empty:
                    return
        finally:
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join()
                worker.connection.close()

    def _hand_out(self) -> None:
        """Gives work to whoever has too little, starting workers as they are needed."""
        for depth in range(QUEUED):
            for place in range(self._most_workers):
                if place < len(self._workers) and len(self._workers[place].units) > depth:
                    continue
                unit = self._chunks.next_unit()
                if unit is None:
                    return
                if place >= len(self._workers):
                    self._workers.append(self._start())
                worker = self._workers[min(place, len(self._workers) - 1)]
                worker.units.append(unit)
                with suppress(OSError):  # it has died; waiting for it will show
                    worker.connection.send(list(unit.jobs.values()))

    def _wait(self) -> None:
        """Takes in what is ready."""
        for connection in wait([worker.connection for worker in self._workers]):
            worker = next(worker for worker in self._workers if worker.connection is connection)
            try:
                results = worker.connection.recv()
            except (EOFError, OSError):
                self._workers.remove(worker)
                self._bury(worker)
                continue
            if results is None:
                worker.is_ready = True
                continue
            self._chunks.fill(worker.units.popleft(), results)

    def _bury(self, worker: _Worker) -> None:
        """Takes back what a dead worker leaves to be done."""
        worker.process.join()
        worker.connection.close()
        code = worker.process.exitcode
        if not worker.is_ready:
            raise UsageError(
                f"a worker process ended with code {code} before it began; a script that starts runs "
                "needs 'if __name__ == \"__main__\":' (--workers 1 needs no other process)"
            )
        self._chunks.lose(worker.units, f"with code {code}")

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._config, next(self._numbers))
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _work(connection: Connection, config: Config, number: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands out the work
    if find_device(config.device).type == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    else:
        torch.set_num_threads(1)
    pipeline = Pipeline(config)
    connection.send(None)
    # Jobs are taken in at once: were both ends to wait for the other to read, nothing would move any more.
    arrived: Queue[list[Job] | None] = Queue()
    Thread(target=_receive, args=(connection, arrived), daemon=True).start()
    while (jobs := arrived.get()) is not None:
        with suppress(OSError):  # nobody is there to hear it
            connection.send([computed for window in pipeline.run(jobs) for computed in window])


def _receive(connection: Connection, arrived: "Queue[list[Job] | None]") -> None:
    try:
        while True:
            arrived.put(connection.recv())
    except (EOFError, OSError):
        arrived.put(None)
