"""An engine of several processes on this machine. A worker that dies takes no picture but its own along."""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread, current_thread, main_thread
from typing import Any

import torch

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.dataset.chunks import QUEUED, Chunks, Unit
from imgcompress.dataset.pipeline import MOST_PASSED_BY, Computed, Job, Pipeline
from imgcompress.errors import UsageError

FALSE_STARTS = 3
"""How often in a row each worker may end before it began, as when memory is short for a while."""


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
        pictures = 0
        passed_by = 0
        for job in stream:
            first.append(job)
            if job is None:
                passed_by += 1
            else:
                pictures += 1
            if pictures == enough:
                yield from WorkerPool(self._config, workers, _chain(first, stream)).results()
                return
            if passed_by == MOST_PASSED_BY:
                if passed_by == len(first):
                    yield [None] * passed_by
                else:
                    yield from self._pipeline.run(first)
                first, passed_by = [], 0
        yield from self._pipeline.run(first)


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
    jobs: Connection
    results: Connection
    units: deque[Unit] = field(default_factory=deque)
    is_ready: bool = False

    def close(self) -> None:
        self.jobs.close()
        self.results.close()


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
        self._has_begun = False
        self._false_starts = 0

    def results(self) -> Generator[list[Computed | None]]:
        """Computes all, as :meth:`Engine.run <imgcompress.dataset.pipeline.Engine.run>` does.

        A picture whose worker died is tried once more, alone; if that ends the same way it is failed.

        Raises:
            UsageError: no worker can start, at first or any more.
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
                worker.close()

    def _hand_out(self) -> None:
        """Gives work to whoever has too little, starting workers as they are needed."""
        given = list(self._assign())  # all workers start before a large unit has to wait for one of them
        for worker, unit in given:
            with suppress(OSError):  # it has died; waiting for it will show
                worker.jobs.send(list(unit.jobs.values()))

    def _assign(self) -> Iterator[tuple[_Worker, Unit]]:
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
                yield worker, unit

    def _wait(self) -> None:
        """Takes in what is ready."""
        for connection in wait([worker.results for worker in self._workers]):
            worker = next(worker for worker in self._workers if worker.results is connection)
            try:
                results = worker.results.recv()
            except (EOFError, OSError):
                self._workers.remove(worker)
                self._bury(worker)
                continue
            self._false_starts = 0
            if results is None:
                worker.is_ready = self._has_begun = True
                continue
            self._chunks.fill(worker.units.popleft(), results)

    def _bury(self, worker: _Worker) -> None:
        """Takes back what a dead worker leaves to be done."""
        worker.process.join()
        worker.close()
        code = worker.process.exitcode
        if worker.is_ready:
            self._chunks.lose(worker.units, f"with code {code}")
            return
        self._false_starts += 1
        if not self._has_begun or self._false_starts > FALSE_STARTS * self._most_workers:
            raise UsageError(
                f"a worker process ended with code {code} before it began; a script that starts runs "
                "needs 'if __name__ == \"__main__\":' (--workers 1 needs no other process)"
            )
        self._chunks.put_back(worker.units)

    def _start(self) -> _Worker:
        # Two pipes, so that a worker can close one: nobody then waits for it to read.
        their_jobs, jobs = self._context.Pipe(duplex=False)
        results, their_results = self._context.Pipe(duplex=False)
        arguments = (their_jobs, their_results, self._config, next(self._numbers))
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        with _no_interrupt():
            process.start()
        their_jobs.close()
        their_results.close()
        return _Worker(process, jobs, results)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """What is started meanwhile ignores Ctrl-C from its first moment; only the main thread can do that."""
    handler = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or handler is None:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _work(jobs: Connection, results: Connection, config: Config, number: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands out the work
    # Jobs are taken in at once: were both ends to wait for the other to read, nothing would move any more.
    arrived: Queue[bytes | None] = Queue()
    Thread(target=_receive, args=(jobs, arrived), daemon=True).start()
    if find_device(config.device).type == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    else:
        torch.set_num_threads(1)
    pipeline = Pipeline(config)
    results.send(None)
    while (unit := arrived.get()) is not None:
        # They are unpickled here: what goes wrong ends the worker while this unit is the one it computes.
        results.send([computed for window in pipeline.run(pickle.loads(unit)) for computed in window])


def _receive(jobs: Connection, arrived: "Queue[bytes | None]") -> None:
    """Takes in jobs, still pickled. However it ends, the worker does, too, after what has arrived."""
    try:
        with jobs:
            while True:
                arrived.put(jobs.recv_bytes())
    except EOFError:
        os._exit(1)  # the process that hands out the work is gone: nobody wants the rest
    finally:
        arrived.put(None)
