"""What the process that drives a run can do in a second, whoever computes: bench_driver.py [--ray].

An engine that answers at once stands for the actors, so that only listing, looking up, writing and noting
are left; with --ray, a second table has what Ray's actors add when they answer at once.
"""

import argparse
import hashlib
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from pathlib import Path

from imgcompress.compressor import Outcome
from imgcompress.config import Config
from imgcompress.dataset import ray_engine
from imgcompress.dataset.blobs import FileBlob
from imgcompress.dataset.ledger import FILE_NAME, Ledger
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Job
from imgcompress.dataset.resume import settings_of
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.selection import Selection
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.errors import Reason
from imgcompress.records import Status

CONFIG = Config(device="cpu")


def answer(data: bytes) -> Computed:
    outcome = Outcome(Status.RECOMPRESSED, Reason.SMALLER, data, "png", seconds=0.1)
    return Computed(outcome, "0" * 64, 600_000, 768, 512, hashlib.sha256(data).hexdigest(), seconds=0.1)


class InstantEngine:
    """Answers in lists of a given length."""

    def __init__(self, size: int, length: int) -> None:
        self._answer = answer(os.urandom(size))
        self._length = length

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        stream = iter(jobs)
        while window := list(islice(stream, self._length)):
            yield [None if job is None else self._answer for job in window]


class InstantActor:
    """Stands for what a Ray actor holds."""

    def start(self, config: Config) -> str:
        self._data = os.urandom(config.batch_size)
        return settings_of(config)

    def compute(self, jobs: list[Job]) -> list[Computed | None]:
        return [answer(self._data) for _ in jobs]


def timed(what: str, count: Callable[[], int]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    pictures = count()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    each = f"{1000 * wall / pictures:.2f} ms a picture ({1000 * cpu / pictures:.2f} ms of CPU)"
    print(f"{what:44}{each}, {pictures / wall:,.0f} pictures/s", flush=True)


def bench_runs(folder: Path, pictures: int, size: int) -> None:
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for index in range(pictures):
        (source / f"{index:08}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    timed("listing", lambda: sum(1 for _ in Listing(source, out, Selection())))
    for length in (4, 16, 64):
        shutil.rmtree(out, ignore_errors=True)

        def run(length: int = length) -> int:
            runner = Runner(CONFIG, RunOptions(state=out / STATE_FOLDER), InstantEngine(size, length))
            return sum(1 for _ in runner.run(Listing(source, out, Selection())))

        timed(f"a run, {length} pictures a commit", run)
        timed("a run that finds all done", run)
    print(f"ledger: {(out / STATE_FOLDER / FILE_NAME).stat().st_size / pictures:.0f} bytes a picture")
    with Ledger(out / STATE_FOLDER) as ledger:
        rows = list(islice(ledger.rows(), 1024))
        for length in (1, 4, 64):
            started = time.perf_counter()
            for start in range(0, 64 * length, length):
                ledger.put(rows[start % 1024 : start % 1024 + length])
            print(f"ledger: {64 / (time.perf_counter() - started):,.0f} commits/s of {length} rows")


def bench_ray(pictures: int, size: int) -> None:
    import ray

    ray.init(
        "local", num_cpus=4, object_store_memory=300_000_000, include_dashboard=False, log_to_driver=False
    )
    ray_engine._Worker = InstantActor  # type: ignore[assignment, misc]
    for actors in (2, 4):
        jobs = (Job(FileBlob(Path(f"/a/folder/of/pictures/{index:08}.png"))) for index in range(pictures))
        engine = ray_engine.RayEngine(CONFIG, actors)
        engine._config = Config(device="cpu", batch_size=size)  # how the actor learns the size
        results = engine.run(jobs)
        next(results)  # the actors have started
        timed(f"Ray's part, {actors} actors", lambda results=results: sum(map(len, results)))  # type: ignore[misc]
    unit = [Job(FileBlob(Path("/a/folder/of/pictures/00000000.png")))] * 4
    print(f"to an actor: {len(pickle.dumps(unit)) / 4:.0f} bytes a picture, and its bytes if from Parquet")
    ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--size", type=int, default=52_000, help="bytes of an output")
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench_runs(Path(folder), options.pictures, options.size)
    if options.ray:
        bench_ray(4 * options.pictures, options.size)


if __name__ == "__main__":
    main()
