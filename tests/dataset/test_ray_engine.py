"""Computing in Ray actors. What a cluster is, two actors on this machine stand for."""

import io
import os
import signal
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from imgcompress.cli.program import main
from imgcompress.config import Config, LoopConfig
from imgcompress.dataset import ray_engine
from imgcompress.dataset.blobs import FileBlob, MemoryBlob
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Engine, Job, Pipeline
from imgcompress.dataset.ray_engine import RayEngine
from imgcompress.dataset.resume import settings_of
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.selection import Selection
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.errors import Reason, UsageError
from imgcompress.records import FileRecord

ray = pytest.importorskip("ray", reason="the extra ray is not installed")

CONFIG = Config(device="cpu", verify="decode", jobs=1, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))


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


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import it
        ray.init(
            "local", num_cpus=4, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:180, 150:260].permute(1, 2, 0).contiguous().numpy()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures(tmp_path: Path, pixels: np.ndarray) -> list[Path]:
    paths = [tmp_path / "pictures" / f"{index}.png" for index in range(9)]
    paths[0].parent.mkdir()
    for index, path in enumerate(paths):
        path.write_bytes(png(np.roll(pixels, 8 * index, axis=1)))
    return paths


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Pictures as files, in a tar and in a Parquet file; each kind has a broken one."""
    root = tmp_path / "in"
    (root / "files").mkdir(parents=True)
    files = {f"{index}.png": png(np.roll(pixels, 8 * index, axis=1)) for index in range(5)}
    files["5.png"] = files["0.png"][:900]
    for name, data in files.items():
        (root / "files" / name).write_bytes(data)
    write_tar(root / "a.tar", files | {"5.json": b"{}"})
    cells = [{"bytes": data, "path": name} for name, data in files.items()]
    table = pa.table({"image": pa.array(cells), "label": pa.array(range(len(cells)))})
    parquet.write_table(table, root / "p.parquet", row_group_size=4)
    return root


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def run(source: Path, out: Path, engine: Engine | None) -> list[FileRecord]:
    listing = Listing(source, out, Selection())
    return list(Runner(CONFIG, RunOptions(state=out / STATE_FOLDER), engine).run(listing))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
    }


def timeless(records: list[FileRecord], out: Path) -> list[FileRecord]:
    return [
        replace(record, seconds=0.0, output=(record.output or "").replace(str(out), "")) for record in records
    ]


def flat(results: Iterator[list[Computed | None]]) -> list[Computed | None]:
    return [computed for window in results for computed in window]


def same(computed: Computed | None) -> object:
    if computed is None:
        return None
    return replace(computed, seconds=0.0, outcome=replace(computed.outcome, seconds=0.0))


def refuse(*_: object) -> object:
    raise AssertionError("an actor was started")


def test_files_and_records_are_those_of_the_local_engine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "local", tmp_path / "ray"
    expected = run(folder, here, Pipeline(CONFIG))
    records = run(folder, there, RayEngine(CONFIG, 2))
    assert timeless(records, there) == timeless(expected, here)
    assert len(records) == 18 and {record.status.value for record in records} == {"recompressed", "failed"}
    assert contents(there) == contents(here) and len(contents(there)) == 7

    monkeypatch.setattr(ray_engine._Crew, "_start", refuse)
    again = run(folder, there, RayEngine(CONFIG, 2))
    assert all(record.reason is Reason.DONE or record.status == "failed" for record in again)
    assert contents(there) == contents(here) and len(again) == 18


def test_nothing_to_do_starts_no_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine._Crew, "_start", refuse)
    assert flat(RayEngine(CONFIG, 2).run([None] * 500)) == [None] * 500
    with pytest.raises(AssertionError):
        flat(RayEngine(CONFIG, 2).run([Job(MemoryBlob(b""))]))


@pytest.mark.parametrize("deaths", [1, 2])
def test_an_actor_that_dies(pictures: list[Path], tmp_path: Path, deaths: int) -> None:
    jobs: list[Job | None] = [Job(FileBlob(path), draws_map=path.stem == "1") for path in pictures]
    jobs += [*[None] * 70, Job(FileBlob(tmp_path / "missing.png"))]
    expected = flat(Pipeline(CONFIG).run(jobs))
    marks = tmp_path / "marks"
    jobs[3] = Job(Deadly(pictures[3], marks, deaths))
    results = flat(RayEngine(CONFIG, 2).run(jobs))
    assert len(list(marks.iterdir())) == deaths
    assert results[-1] is not None and results[-1].outcome.reason is Reason.READ_ERROR
    if deaths == 2:
        assert results[3] is not None
        assert (results[3].outcome.status, results[3].outcome.reason) == ("failed", Reason.WORKER_DIED)
        del results[3], expected[3]
    assert [same(one) for one in results] == [same(one) for one in expected]


def test_jobs_are_taken_a_bounded_number_ahead(pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield Job(FileBlob(Path(pictures[0].name)))  # the actors are at work in another folder

    monkeypatch.chdir(pictures[0].parent)
    results = RayEngine(CONFIG, 2).run(jobs())
    computed = next(results)[0]
    assert computed is not None and computed.outcome.status == "recompressed"
    assert taken <= 2 * 2 * 4 + 2
    results.close()


def test_more_actors_than_there_is_room_for(pictures: list[Path]) -> None:
    jobs = [Job(FileBlob(path)) for path in pictures]
    results = flat(RayEngine(replace(CONFIG, batch_size=1), 6).run(jobs))
    assert [one is not None and one.outcome.status == "recompressed" for one in results] == [True] * 9


def test_an_actor_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(MemoryBlob(b""))]
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no machine of the cluster has a GPU"):
            flat(RayEngine(replace(CONFIG, device="cuda")).run(jobs))
    engine = RayEngine(CONFIG, 1)
    engine._settings = "another version"
    with pytest.raises(UsageError, match="another version or other models"):
        flat(engine.run(jobs))
    engine = RayEngine(CONFIG, 1)
    engine._config = replace(CONFIG, perception=replace(CONFIG.perception, weights="/gone"))
    with pytest.raises(UsageError, match=r"cannot start: .*gone"):
        flat(engine.run(jobs))


def test_an_actor_that_ends_before_it_began(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"

    class Stillborn:
        def start(self, config: Config) -> str:
            if not mark.exists():
                mark.touch()
                os._exit(1)
            self._pipeline = Pipeline(config)
            return settings_of(config)

        def compute(self, jobs: list[Job]) -> list[Computed | None]:
            return flat(self._pipeline.run(jobs))

    monkeypatch.setattr(ray_engine, "_Worker", Stillborn)
    (computed,) = flat(RayEngine(CONFIG, 1).run([Job(FileBlob(pictures[0]))]))
    assert computed is not None and computed.outcome.status == "recompressed"
    mark.unlink()
    monkeypatch.setattr(ray_engine, "FALSE_STARTS", 0)
    with pytest.raises(UsageError, match="cannot start"):
        flat(RayEngine(CONFIG, 1).run([Job(FileBlob(pictures[0]))]))


def test_no_cluster_and_no_ray(tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for address in ("127.0.0.1:1", "127.0.0.1:99999", "nonsense"):
        with pytest.raises(UsageError, match=f"--ray-address: no Ray at {address}"):
            RayEngine(CONFIG, 2, address)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'imgcompress\[ray\]'"):
        RayEngine(CONFIG, 2)


def test_on_the_command_line(pictures: list[Path], tmp_path: Path) -> None:
    words = ["--preset", "instant", "--device", "cpu", "--verify", "decode", "--limit", "3"]
    outs = {}
    for engine in ("local", "ray"):
        out = tmp_path / f"out-{engine}"
        arguments = ["recompress", *words, "--engine", engine, "--workers", "2"]
        arguments += [str(pictures[0].parent), str(out)]
        assert main(arguments) == 0
        outs[engine] = contents(out)
    assert outs["ray"] == outs["local"] and len(outs["ray"]) == 3
    assert main(["recompress", "--ray-address", "auto", str(pictures[0].parent), str(out)]) == 2
