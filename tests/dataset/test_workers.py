"""Computing in other processes."""

import io
import multiprocessing
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import Config, LoopConfig
from imgcompress.dataset.blobs import FileBlob, MemoryBlob
from imgcompress.dataset.pipeline import MOST_PASSED_BY, Computed, Job, Pipeline
from imgcompress.dataset.workers import FALSE_STARTS, LocalEngine, WorkerPool, _receive
from imgcompress.errors import Reason, UsageError

CONFIG = Config(device="cpu", verify="decode", jobs=1, batch_size=2, loop=LoopConfig(rounds=1), workers=2)


@dataclass(frozen=True)
class Deadly(FileBlob):
    """A file that kills the first processes that read it."""

    marks: Path
    deaths: int

    def read(self) -> bytes:
        self.marks.mkdir(exist_ok=True)
        if len(list(self.marks.iterdir())) < self.deaths:
            (self.marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read()


@dataclass(frozen=True)
class Unreadable(FileBlob):
    """A file that no other process can be told of."""

    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return _no_memory, ()


@dataclass(frozen=True)
class Endless(FileBlob):
    """A FIFO that is held open for ever by the process that reads it as a picture."""

    def read(self) -> bytes:
        with self.path.open("wb", buffering=0) as file:
            file.write(str(os.getpid()).encode())
            time.sleep(600)
        return b""


def _no_memory() -> NoReturn:
    raise MemoryError


def _run(jobs: list[Job]) -> None:
    flat(WorkerPool(CONFIG, 1, jobs).results())


def after_start(pool: WorkerPool, do: Callable[[int, Any], None]) -> None:
    """Has something done to each worker's process that was just started, given how many were before."""
    start, started = pool._start, 0

    def start_and_do() -> Any:
        nonlocal started
        worker = start()
        do(started, worker.process)
        started += 1
        return worker

    pool._start = start_and_do  # type: ignore[method-assign]


@pytest.fixture
def pictures(tmp_path: Path, photo: torch.Tensor) -> list[Path]:
    pixels = photo[:, 100:180, 150:260].permute(1, 2, 0).contiguous().numpy()
    paths = []
    for index in range(9):
        buffer = io.BytesIO()
        Image.fromarray(np.roll(pixels, 8 * index, axis=1)).save(buffer, "PNG")
        paths.append(tmp_path / f"{index}.png")
        paths[-1].write_bytes(buffer.getvalue())
    return paths


def flat(results: Iterator[list[Computed | None]]) -> list[Computed | None]:
    return [computed for window in results for computed in window]


def same(computed: Computed | None) -> object:
    if computed is None:
        return None
    return replace(computed, seconds=0.0, outcome=replace(computed.outcome, seconds=0.0))


def test_processes_give_the_same_as_one(pictures: list[Path]) -> None:
    jobs: list[Job | None] = [Job(FileBlob(path), draws_map=path.stem == "3") for path in pictures]
    jobs[2:2] = [None] * 3
    jobs.append(Job(FileBlob(pictures[0].parent / "missing.png")))
    jobs += [None] * 200
    alone = flat(Pipeline(CONFIG).run(jobs))
    assert [same(one) for one in flat(WorkerPool(CONFIG, 2, jobs).results())] == [same(one) for one in alone]
    assert [one is None for one in alone] == [job is None for job in jobs]
    assert alone[12] is not None and alone[12].outcome.reason is Reason.READ_ERROR
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies(pictures: list[Path], tmp_path: Path, deaths: int) -> None:
    jobs = [Job(FileBlob(path)) for path in pictures]
    expected = flat(Pipeline(CONFIG).run(jobs))
    marks = tmp_path / "marks"
    jobs[3] = Job(Deadly(pictures[3], marks, deaths))  # the second reader has nothing else to read
    results = flat(WorkerPool(CONFIG, 2, jobs).results())
    assert len(list(marks.iterdir())) == deaths
    if deaths == 2:
        assert results[3] is not None
        assert (results[3].outcome.status, results[3].outcome.reason) == ("failed", Reason.WORKER_DIED)
        del results[3], expected[3]
    assert [same(one) for one in results] == [same(one) for one in expected]


def test_a_job_that_cannot_be_unpickled(pictures: list[Path]) -> None:
    jobs = [Job(FileBlob(path)) for path in pictures]
    expected = flat(Pipeline(CONFIG).run(jobs))
    jobs[3] = Job(Unreadable(pictures[3]))
    results = flat(WorkerPool(CONFIG, 1, jobs).results())
    assert results[3] is not None and results[3].outcome.reason is Reason.WORKER_DIED
    del results[3], expected[3]
    assert [same(one) for one in results] == [same(one) for one in expected]


def test_a_worker_that_cannot_receive_ends_and_nobody_waits_for_it_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs, ours = multiprocessing.Pipe(duplex=False)
    arrived: Queue[bytes | None] = Queue()
    monkeypatch.setattr(theirs, "recv_bytes", _no_memory)
    with pytest.raises(MemoryError):
        _receive(theirs, arrived)
    assert arrived.get_nowait() is None
    with ours, pytest.raises(BrokenPipeError):
        ours.send([])


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    parent = multiprocessing.get_context("spawn").Process(target=_run, args=([Job(Endless(fifo))],))
    parent.start()
    with fifo.open("rb", buffering=0) as held:
        worker = int(held.read(20))
        parent.kill()
        parent.join()
        has_ended = bool(select.select([held], [], [], 10)[0])
    if not has_ended:
        os.kill(worker, signal.SIGKILL)
    assert has_ended


def test_ctrl_c_while_a_worker_starts(pictures: list[Path]) -> None:
    pool = WorkerPool(CONFIG, 1, [Job(FileBlob(pictures[0]))])
    handler = signal.getsignal(signal.SIGINT)
    after_start(pool, lambda _, process: os.kill(process.pid, signal.SIGINT))
    assert len(flat(pool.results())) == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_run_outside_the_main_thread(pictures: list[Path]) -> None:
    pool = WorkerPool(CONFIG, 1, [Job(FileBlob(pictures[0]))])
    with ThreadPoolExecutor(1) as threads:
        assert len(threads.submit(lambda: flat(pool.results())).result()) == 1


def test_a_replacement_that_dies_at_its_start(pictures: list[Path], tmp_path: Path) -> None:
    jobs = [Job(FileBlob(path)) for path in pictures]
    expected = flat(Pipeline(CONFIG).run(jobs))
    jobs[3] = Job(Deadly(pictures[3], tmp_path / "marks", 1))
    pool = WorkerPool(CONFIG, 1, jobs)
    after_start(pool, lambda before, process: process.kill() if 0 < before <= FALSE_STARTS else None)
    assert [same(one) for one in flat(pool.results())] == [same(one) for one in expected]


def test_replacements_that_never_start(pictures: list[Path], tmp_path: Path) -> None:
    pool = WorkerPool(CONFIG, 1, [Job(Deadly(pictures[3], tmp_path / "marks", 1))])
    tried = []

    def kill(before: int, process: Any) -> None:
        tried.append(before)
        if before > 0:
            process.kill()

    after_start(pool, kill)
    with pytest.raises(UsageError, match="code -9 before it began"):
        list(pool.results())
    assert len(tried) == 1 + FALSE_STARTS + 1


def test_jobs_are_taken_a_bounded_number_ahead(pictures: list[Path]) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield Job(FileBlob(pictures[0]))

    results = WorkerPool(CONFIG, 2, jobs()).results()
    next(results)
    assert taken <= 2 * 2 * 4 + 2
    results.close()
    assert not multiprocessing.active_children()


def test_bytes_that_fill_the_pipes_in_both_directions(pictures: list[Path]) -> None:
    # Sources that are sent along with the jobs, and outputs that are copies of them.
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    jobs = [Job(MemoryBlob(buffer.getvalue()))] * 12
    results = flat(WorkerPool(CONFIG, 1, jobs).results())
    assert [one and one.outcome.data for one in results] == [buffer.getvalue()] * 12


def test_a_worker_that_cannot_start(pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, device="cuda")
    pool = WorkerPool.__new__(WorkerPool)
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    WorkerPool.__init__(pool, CONFIG, 1, [Job(FileBlob(pictures[0]))])
    pool._config = config
    with pytest.raises(UsageError, match="before it began"):
        list(pool.results())


def test_few_pictures_need_no_other_process(pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> object:
        raise AssertionError("a process was started")

    monkeypatch.setattr(WorkerPool, "results", refuse)
    jobs = [Job(FileBlob(path)) for path in pictures[:2]]
    few = flat(LocalEngine(replace(CONFIG, workers=0)).run([*[None] * 500, *jobs]))
    assert [one is None for one in few] == [True] * 500 + [False] * 2
    with pytest.raises(AssertionError):
        flat(LocalEngine(CONFIG).run(jobs))


def test_what_is_left_alone_is_not_held_back() -> None:
    seen = 0

    def jobs() -> Iterator[None]:
        nonlocal seen
        for _ in range(10_000):
            seen += 1
            yield None

    results = LocalEngine(CONFIG).run(jobs())
    assert all(one is None for one in next(results)) and seen < 200


def test_one_picture_does_not_hold_back_all_that_is_done_behind_it(pictures: list[Path]) -> None:
    seen = 0

    def jobs() -> Iterator[Job | None]:
        nonlocal seen
        for place in range(1000):
            seen += 1
            yield Job(FileBlob(pictures[0])) if place == 2 else None

    given = []
    for window in LocalEngine(replace(CONFIG, workers=0)).run(jobs()):
        given += window
        assert seen - len(given) <= 2 * MOST_PASSED_BY
    assert [place for place, one in enumerate(given) if one is not None] == [2] and len(given) == 1000


def test_few_pictures_at_a_time_are_many_in_the_end(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgcompress.dataset.workers.automatic_workers", lambda _: 2)
    pools = []
    results = WorkerPool.results

    def watched(pool: WorkerPool) -> Iterator[list[Computed | None]]:
        pools.append(pool)
        return results(pool)

    monkeypatch.setattr(WorkerPool, "results", watched)
    jobs = [job for path in pictures for job in [Job(FileBlob(path)), *[None] * 100]]
    given = flat(LocalEngine(replace(CONFIG, workers=0)).run(jobs))
    assert len(pools) == 1
    assert [same(one) for one in given] == [same(one) for one in flat(Pipeline(CONFIG).run(jobs))]
