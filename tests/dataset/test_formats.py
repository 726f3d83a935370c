"""Runs whose results have other formats than JPEG, by an engine that only says what came out."""

import io
import tarfile
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from imgcompress.compressor import Outcome
from imgcompress.config import Config, Format
from imgcompress.dataset import files
from imgcompress.dataset.names import SUFFIXES
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Computed, Job, failed
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.errors import PictureError, Reason
from imgcompress.image.write import write_atomically
from imgcompress.records import FileRecord, Status

CONFIG = Config(device="cpu", jobs=2)
Plan = Callable[[str, str], str]
"""Given a run's format and a source's content: a format, "kept", "optimized" or "failed"."""


class Engine:
    """Ends each picture as planned, one after another; one whose time has come ends the run."""

    def __init__(self, form: str, plan: Plan, most: int = 1000) -> None:
        self.form, self.plan, self.most, self.computed = form, plan, most, 0

    def run(self, jobs: Iterable[Job | None]) -> Generator[list[Computed | None]]:
        for job in jobs:
            yield [None if job is None else self._end(job.blob.read())]

    def _end(self, data: bytes) -> Computed:
        self.computed += 1
        if self.computed > self.most:
            raise KeyboardInterrupt
        end = self.plan(self.form, data.decode())
        if end == "failed":
            return failed(PictureError(Reason.DECODE_ERROR, "damaged"))
        status, reason, form, result = Status.RECOMPRESSED, Reason.SMALLER, end, f"{end} of ".encode() + data
        if end == "kept":
            status, reason, form, result = Status.KEPT, Reason.NOT_SMALLER, "png", data
        elif end == "optimized":
            status, reason, form, result = Status.OPTIMIZED, Reason.NOT_SMALLER, "jpeg", b"less of " + data
        outcome = Outcome(status, reason, result, form)
        content, checksum = (sha256(of).hexdigest() for of in (data, result))
        return Computed(outcome, content, len(data), 4, 3, checksum)


def by_format(form: str, content: str) -> str:
    """What a source's words say of a run of auto; other runs make their format but for copies."""
    word = content.partition(" ")[0]
    return word if form == "auto" or word in ("kept", "optimized") else form


SOURCES = {
    "a.jpg": "avif",
    "b.png": "webp",
    "c.jpg": "optimized",
    "d.png": "png",
    "d.tif": "jpeg",
    "e.webp": "kept",
    "sub/f.avif": "avif",
    "sub/g.gif": "webp",
}
WEBP = {
    "a.webp": "webp of avif a.jpg",
    "b.webp": "webp of webp b.png",
    "c.jpg": "less of optimized c.jpg",
    "d.png.webp": "webp of png d.png",
    "d.tif.webp": "webp of jpeg d.tif",
    "e.webp": "kept e.webp",
    "sub/f.webp": "webp of avif sub/f.avif",
    "sub/g.webp": "webp of webp sub/g.gif",
}
AUTO = {
    "a.avif": "avif of avif a.jpg",
    "b.webp": "webp of webp b.png",
    "c.jpg": "less of optimized c.jpg",
    "d.png": "png of png d.png",
    "d.tif.jpg": "jpeg of jpeg d.tif",
    "e.webp": "kept e.webp",
    "sub/f.avif": "avif of avif sub/f.avif",
    "sub/g.webp": "webp of webp sub/g.gif",
}


def write(root: Path, sources: dict[str, str]) -> Path:
    for name, word in sources.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{word} {name}")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "in", SOURCES)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
    }


def run(
    source: Path, out: Path | None, form: Format, plan: Plan = by_format, most: int = 1000, **options: bool
) -> list[FileRecord]:
    engine = Engine(form, plan, most)
    run_options = RunOptions(state=(out or source) / STATE_FOLDER, **options)
    runner = Runner(replace(CONFIG, format=form), run_options, engine)
    return list(runner.run(Listing(source, out, format=form)))


def words(records: list[FileRecord]) -> set[str]:
    return {f"{record.status} {record.reason}" for record in records}


@pytest.mark.parametrize(("form", "expected"), [("webp", WEBP), ("auto", AUTO)])
def test_a_folder(folder: Path, tmp_path: Path, form: Format, expected: dict[str, str]) -> None:
    out, before = tmp_path / "out", contents(folder)
    dry = run(folder, out, form, dry_run=True)
    assert not out.exists()
    records = run(folder, out, form)
    assert contents(out) == expected and contents(folder) == before
    assert [replace(record, seconds=0.0) for record in dry] == [
        replace(record, seconds=0.0, dry_run=True) for record in records
    ]
    assert {record.output for record in records} == {str(out / name) for name in expected}
    for record in records:
        if record.status is not Status.KEPT:
            assert Path(str(record.output)).suffix == SUFFIXES[str(record.format)][0]
    assert words(run(folder, out, form)) == {"skipped done"}
    assert contents(out) == expected


@pytest.mark.parametrize("most", [3, 5, 7])
def test_an_interrupted_run_ends_like_an_undisturbed_one(folder: Path, tmp_path: Path, most: int) -> None:
    for out in (tmp_path / "out", None):
        with pytest.raises(KeyboardInterrupt):
            run(folder, out, "auto", most=most)
        assert words(run(folder, out, "auto")) >= {"skipped done", "recompressed smaller"}
        assert contents(out or folder) == AUTO


def test_another_format_replaces_our_own_files_only(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, "jpeg")
    assert (out / "b.jpg").exists() and (out / "sub/f.jpg").exists()
    names = ("b.jpg", "a.png", "sub/f.webp", "sub/g.avif")
    write(out, dict.fromkeys(names, "of somebody"))
    kept = {name: contents(out)[name] for name in names}
    assert words(run(folder, out, "avif")) >= {"recompressed smaller", "skipped exists"}
    avif = {name.replace("webp", "avif"): data.replace("webp of", "avif of") for name, data in WEBP.items()}
    del avif["e.avif"]
    # Only the last one was in the way of anything, and what we had made before stays beside it.
    stays = {"e.webp": "kept e.webp", "sub/g.jpg": "jpeg of webp sub/g.gif"}
    assert contents(out) == avif | kept | stays


@pytest.mark.parametrize("second", ["jpeg", "webp", "auto"])
def test_and_back_again(folder: Path, tmp_path: Path, second: Format) -> None:
    for form in ("auto", "avif", second):
        assert words(run(folder, tmp_path / "out", form)) == {
            "recompressed smaller", "optimized not_smaller", "kept not_smaller",
        }  # fmt: skip
    run(folder, tmp_path / "fresh", second)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_jpeg_of_another_name_that_ends_without_loss(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.png": "optimized"})
    for form, name in (("webp", "a.png"), ("auto", "a.jpg"), ("avif", "a.png"), ("jpeg", "a.jpg")):
        run(folder, tmp_path / "out", form)  # type: ignore[arg-type]
        assert contents(tmp_path / "out") == {name: "less of optimized a.png"}
        assert words(run(folder, tmp_path / "out", form)) == {"skipped done"}  # type: ignore[arg-type]


def test_what_fails_in_another_format_stays_ours(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, "jpeg")
    before = contents(out)
    assert words(run(folder, out, "avif", lambda *_: "failed")) == {"failed decode_error"}
    assert contents(out) == before
    run(folder, out, "webp")
    assert contents(out) == WEBP


def test_killed_between_the_new_file_and_the_old_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(folder, out, "jpeg")

    def killed(path: Path, *rest: object) -> None:
        write_atomically(path, *rest)  # type: ignore[arg-type]
        if path.name == "b.webp":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "write_atomically", killed)
        run(folder, out, "webp")
    assert (out / "b.jpg").exists() and (out / "b.webp").exists()
    for form in ("webp", "auto"):
        run(folder, out, form)  # type: ignore[arg-type]
        assert not (out / "b.jpg").exists() and (out / "b.webp").exists()


def test_in_place_nothing_is_compressed_twice(folder: Path) -> None:
    run(folder, None, "auto")
    assert contents(folder) == AUTO
    for form in ("jpeg", "avif", "auto"):
        records = run(folder, None, form, lambda form, content: by_format(form, content.split(" of ")[-1]))  # type: ignore[arg-type]
        names = [Path(record.source).name for record in records if record.status is Status.SKIPPED]
        assert {"a.avif", "b.webp", "d.png", "d.tif.jpg", "f.avif"} <= set(names)
        assert {name: data for name, data in contents(folder).items() if name not in ("c.jpg", "e.webp")} == {
            name: data for name, data in AUTO.items() if name not in ("c.jpg", "e.webp")
        }


def test_in_place_even_overwriting_replaces_no_file_of_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = files.Files.result

    def meanwhile(self: files.Files, task: files.FileTask, computed: Computed | None) -> files.FileResult:
        if task.entry.key == "b.png":
            (folder / "b.avif").write_text("mine")
        return result(self, task, computed)

    monkeypatch.setattr(files.Files, "result", meanwhile)
    records = run(folder, None, "avif", overwrite=True)
    assert records[1].reason is Reason.WRITE_ERROR
    assert (folder / "b.avif").read_text() == "mine" and (folder / "b.png").exists()


RUNS = st.lists(st.sampled_from([*SUFFIXES, "auto"]), min_size=2, max_size=4)
FOLDERS = st.dictionaries(
    st.sampled_from(["a.png", "a.jpg", "A.JPG", "a.png.avif", "a.webp", "a.png.jpg", "a.tif", "b.avif"]),
    st.sampled_from([*SUFFIXES, "kept", "optimized"]),
    min_size=1,
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(FOLDERS, RUNS)
def test_after_any_runs_there_is_what_the_last_one_makes(sources: dict[str, str], runs: list[Format]) -> None:
    with TemporaryDirectory() as place:
        folder = write(Path(place) / "in", sources)
        for form in runs:
            run(folder, Path(place) / "out", form)
        run(folder, Path(place) / "fresh", runs[-1])
        assert contents(Path(place) / "out") == contents(Path(place) / "fresh")
        assert len(contents(Path(place) / "out")) == len(sources)


@settings(max_examples=15, deadline=None)
@given(FOLDERS, st.sampled_from([*SUFFIXES, "auto"]), st.integers(1, 5))
def test_in_place_a_run_that_goes_on_makes_the_same(sources: dict[str, str], form: Format, most: int) -> None:
    with TemporaryDirectory() as place:
        folder, undisturbed = (write(Path(place) / name, sources) for name in ("in", "undisturbed"))
        run(undisturbed, None, form)
        try:
            run(folder, None, form, most=most)
        except KeyboardInterrupt:
            run(folder, None, form)
        assert contents(folder) == contents(undisturbed)
        assert len(contents(folder)) == len(sources)


def test_pictures_in_shards(tmp_path: Path) -> None:
    root, members = tmp_path / "in", {name: f"{word} {name}" for name, word in SOURCES.items()}
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data.encode()))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": data.encode(), "path": name} for name, data in members.items()]
    parquet.write_table(pa.table({"image": pa.array(cells, kind)}), root / "p.parquet")
    run(root, tmp_path / "out", "auto")
    with tarfile.open(tmp_path / "out" / "a.tar") as tar:
        inside = {info.name: tar.extractfile(info).read().decode() for info in tar}  # type: ignore[union-attr]
    assert inside == AUTO
    rows = parquet.read_table(tmp_path / "out" / "p.parquet")["image"].to_pylist()
    assert [row["path"] for row in rows] == [
        "a.avif", "b.webp", "c.jpg", "d.png", "d.jpg", "e.webp", "sub/f.avif", "sub/g.webp",
    ]  # fmt: skip
    assert [row["bytes"].decode() for row in rows] == list(AUTO.values())
