"""Runs over shards: what the pictures in them become, what is carried along, and what interruptions leave."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from imgcompress.config import Config, LimitsConfig, LoopConfig
from imgcompress.dataset import pipeline, shard_run
from imgcompress.dataset.ledger import Ledger
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.parquet_shard import _ParquetWriter
from imgcompress.dataset.pipeline import Pipeline
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sampling import choose
from imgcompress.dataset.selection import Selection
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.dataset.tar_shard import _TarWriter
from imgcompress.records import FileRecord, Status

CONFIG = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures(photo: torch.Tensor) -> dict[str, bytes]:
    pixels = photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()
    return {
        "000.png": encoded(pixels),
        "001.jpg": encoded(np.roll(pixels, 9, axis=1), "JPEG", quality=95),
        "002.png": encoded(np.dstack([pixels, pixels[..., :1]])),
        "003.png": encoded(pixels)[:700],
        "004.webp": encoded(np.roll(pixels, 20, axis=1), "WEBP", lossless=True),
    }


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def read_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {}
        for info in tar:
            content = tar.extractfile(info)
            assert content is not None
            found[info.name] = content.read()
        return found


@pytest.fixture
def folder(tmp_path: Path, pictures: dict[str, bytes]) -> Path:
    """A folder of two tars, a Parquet file and a picture; side files beside the pictures."""
    root = tmp_path / "in"
    members = {}
    for name, data in pictures.items():
        members |= {name: data, f"{name[:3]}.json": f'{{"is": "{name}"}}'.encode(), f"{name[:3]}.cls": b"7"}
    write_tar(root / "tars" / "a.tar", members)
    write_tar(root / "tars" / "b.tar", {name: members[name] for name in ("001.jpg", "001.json")})
    (root / "z.png").write_bytes(pictures["000.png"])
    cells = [{"bytes": data, "path": name} for name, data in pictures.items()] + [None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(cells, kind), "label": pa.array(range(6))})
    parquet.write_table(table, root / "p.parquet", row_group_size=4)
    return root


def run(
    source: Path, out: Path, config: Config = CONFIG, selection: Selection | None = None, **options: object
) -> list[FileRecord]:
    listing = Listing(source, out, selection or Selection())
    run_options = RunOptions(state=out / STATE_FOLDER, chosen=choose(listing), **options)  # type: ignore[arg-type]
    return list(Runner(config, run_options).run(listing))


def words(records: list[FileRecord]) -> list[str]:
    return [f"{record.status} {record.reason}" for record in records]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
    }


SMALLER, BROKEN, DONE = "recompressed smaller", "failed decode_error", "skipped done"
OF_A = [SMALLER, SMALLER, "kept alpha", BROKEN, SMALLER]
FIRST = [*OF_A, BROKEN, *OF_A, SMALLER, SMALLER]
SECOND = [
    "failed decode_error" if word == BROKEN else DONE for word in FIRST
]  # the rows of a shard come in the order of their keys


def test_shards_hold_what_files_would_be(folder: Path, tmp_path: Path, pictures: dict[str, bytes]) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name, data in pictures.items():
        (files / name).write_bytes(data)
    run(files, tmp_path / "single")
    single, before = contents(tmp_path / "single"), contents(folder)
    out = tmp_path / "out"
    records = run(folder, out)
    assert words(records) == FIRST
    assert contents(folder) == before
    assert sorted(contents(out)) == ["p.parquet", "tars/a.tar", "tars/b.tar", "z.jpg"]

    expected = {"000.jpg": single["000.jpg"], "001.jpg": single["001.jpg"], "002.png": pictures["002.png"]}
    expected |= {"003.png": pictures["003.png"], "004.jpg": single["004.jpg"]}
    inside, source = read_tar(out / "tars" / "a.tar"), read_tar(folder / "tars" / "a.tar")
    assert list(inside) == [name.replace(".webp", ".jpg").replace("000.png", "000.jpg") for name in source]
    assert {name: data for name, data in inside.items() if name[-3:] in ("jpg", "png")} == expected
    for name, data in inside.items():
        if name not in expected:
            assert data == source[name], name

    table, original = (parquet.read_table(folder_ / "p.parquet") for folder_ in (out, folder))
    assert table.schema == original.schema and table["label"] == original["label"]
    cells = table["image"].to_pylist()
    assert {cell["path"]: cell["bytes"] for cell in cells[:5]} == expected and cells[5] is None

    record = records[6]
    assert record.source == f"{folder}/tars/a.tar/000.png" and record.output == f"{out}/tars/a.tar/000.png"
    assert (record.bytes_in, record.bytes_out) == (len(pictures["000.png"]), len(single["000.jpg"]))
    assert records[9].bytes_out == records[9].bytes_in and records[9].error


def test_a_second_run_does_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = run(folder, out)
    before = contents(out)

    def refuse(*_: object) -> object:
        raise AssertionError("a picture was computed")

    with monkeypatch.context() as patch:
        original = Pipeline._load
        patch.setattr(Pipeline, "_load", lambda self, job: refuse() if job else original(self, job))
        second = run(folder, out)
    assert sorted(words(second)) == sorted(SECOND)
    assert {r.source: (r.output, r.bytes_out, r.error) for r in second} == {
        r.source: (r.output, r.bytes_out, r.error) for r in first
    }
    for path in folder.rglob("*.*"):
        os.utime(path, ns=(1, 1))  # read again, but equal
    assert sorted(words(run(folder, out))) == sorted(SECOND)
    assert contents(out) == before


def test_what_changes_is_done_again(folder: Path, tmp_path: Path, pictures: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    run(folder, out)
    before = contents(out)
    write_tar(folder / "tars" / "a.tar", {"000.png": pictures["000.png"]})
    records = run(folder, out)
    assert [r.status for r in records if "a.tar" in r.source] == ["recompressed"]
    after = contents(out)
    assert {name for name in after if after[name] != before[name]} == {"tars/a.tar"}
    with Ledger(out / STATE_FOLDER, read_only=True) as ledger:
        assert [row.key for row in ledger.members("tars/a.tar")] == ["tars/a.tar/000.png"]
        assert sum(count for _, _, count, _, _ in ledger.totals()) == len(records)
    other = run(folder, out, replace(CONFIG, quality=30))
    assert words(other).count(SMALLER) == words(records + other).count(SMALLER) - 1 == 6


def test_files_of_others_stay(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "tars").mkdir(parents=True)
    (out / "tars" / "a.tar").write_bytes(b"mine")
    records = run(folder, out)
    assert [(r.source, r.reason) for r in records if r.status == "skipped"] == [
        (str(folder / "tars" / "a.tar"), "exists")
    ]
    assert (out / "tars" / "a.tar").read_bytes() == b"mine"
    assert len(read_tar(out / "tars" / "b.tar")) == 2


def test_damaged_shards(folder: Path, tmp_path: Path) -> None:
    source = (folder / "tars" / "a.tar").read_bytes()
    with tarfile.open(folder / "tars" / "a.tar") as tar:
        last = tar.getmember("004.webp")
    (folder / "tars" / "a.tar").write_bytes(source[: last.offset_data + 40])
    (folder / "tars" / "c.tar").write_bytes(b"no tar at all" * 100)
    (folder / "p.parquet").write_bytes((folder / "p.parquet").read_bytes()[:-20])
    out = tmp_path / "out"
    records = {r.source.removeprefix(f"{folder}/"): r for r in run(folder, out)}
    assert records["tars/c.tar"].status == records["p.parquet"].status == "failed"
    assert "no tar" in (records["tars/c.tar"].error or "")
    cut = records["tars/a.tar/004.webp"]
    assert cut.status == "failed" and "cut short" in (cut.error or "")
    assert (out / "tars" / "a.tar").read_bytes().endswith(source[last.offset_data : last.offset_data + 40])
    assert sorted(contents(out)) == ["tars/a.tar", "tars/b.tar", "z.jpg"]
    assert not list(out.rglob("*.tmp"))


def test_a_shard_that_failed_says_so_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder / "tars", out)
    (folder / "tars" / "a.tar").write_bytes(b"no tar at all" * 100)
    for _ in range(2):
        records = run(folder / "tars", out)
        assert words(records) == ["failed decode_error", "skipped done"]
        assert records[0].source == str(folder / "tars" / "a.tar")
        with Ledger(out / STATE_FOLDER, read_only=True) as ledger:
            assert [row.key for row in ledger.rows([Status.FAILED])] == ["a.tar"]
            assert sum(count for _, _, count, _, _ in ledger.totals()) == 2


@pytest.mark.parametrize("place", ["begun", "intended", "renamed"])
def test_a_shard_that_was_interrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class Killed(BaseException):
        pass

    out, put, calls = tmp_path / "out", Ledger.put, 0
    last = {"begun": 1, "intended": 2, "renamed": 3}[place]

    def mortal(self: Ledger, rows: object, instead_of: str | None = None) -> None:
        nonlocal calls
        rows = list(rows)  # type: ignore[call-overload]
        calls += any(row.is_shard and row.key == "a.tar" for row in rows)
        if calls == last:
            if place != "renamed":
                put(self, rows, instead_of)
            raise Killed
        put(self, rows, instead_of)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", mortal)
        patch.setattr("imgcompress.image.write.Path.unlink", lambda self: None)  # nothing clears up
        with pytest.raises(Killed):
            run(folder / "tars", out)
    (out / ".imgcompress-0.tmp").write_bytes(b"half")
    assert (out / "a.tar").exists() == (place == "renamed")
    records = run(folder / "tars", out)
    assert sorted(words(records)[:5]) == sorted(SECOND[6:11] if place == "renamed" else OF_A)
    assert not list(out.rglob("*.tmp"))
    with Ledger(out / STATE_FOLDER, read_only=True) as ledger:
        row = ledger.find("a.tar")
        assert row is not None and row.confirmed and len(list(ledger.members("a.tar"))) == 5
    run(folder / "tars", tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_metadata_of_kept_pictures_are_stripped(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    with Image.open(io.BytesIO(pictures["002.png"])) as image:
        exif = image.getexif()
        exif[0x013B] = "somebody"
        buffer = io.BytesIO()
        image.save(buffer, "PNG", exif=exif)
    write_tar(tmp_path / "in" / "a.tar", {"x.png": buffer.getvalue()})
    (record,) = run(tmp_path / "in", tmp_path / "out", replace(CONFIG, strip="all"))
    (data,) = read_tar(tmp_path / "out" / "a.tar").values()
    assert record.status == "kept" and len(data) == record.bytes_out and b"somebody" not in data


def test_a_shard_in_place_is_not_compressed_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, mark=False)
    options = RunOptions(state=tmp_path / "state", backup=tmp_path / "backup")
    before = contents(folder / "tars")

    def again(config: Config) -> list[FileRecord]:
        return list(Runner(config, options).run(Listing(folder / "tars", None)))

    def no_memory(*_: object) -> object:
        raise MemoryError

    with monkeypatch.context() as patch:
        read = pipeline.read_picture
        unlucky = lambda data, *rest: no_memory() if data[:4] == b"RIFF" else read(data, *rest)  # noqa: E731
        patch.setattr(pipeline, "read_picture", unlucky)
        assert words(again(config))[:5] == [*OF_A[:4], "failed out_of_memory"]
    assert words(again(replace(config, quality=30)))[:5] == [DONE, DONE, "kept alpha", BROKEN, SMALLER]
    assert contents(tmp_path / "backup") == before
    assert len(again(replace(config, quality=30, again=True))) == 6


@pytest.mark.parametrize("stage", ["add", "rename"])
def test_a_full_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        if stage == "add":
            patch.setattr(_TarWriter, "add", no_space)
            patch.setattr(_ParquetWriter, "add", no_space)
        else:
            checksum = shard_run.checksum_of

            def full(path: Path) -> str:
                if path.suffix == ".tmp":
                    no_space()
                return checksum(path)

            patch.setattr(shard_run, "checksum_of", full)
        records = run(folder, out)
    failed = [record for record in records if "z.png" not in record.source]
    assert words(failed) == ["failed write_error"] * 12
    assert sorted(contents(out)) == ["z.jpg"] and not list(out.rglob("*.tmp"))
    assert words(run(folder, out))[:12] == FIRST[:12]


def test_what_may_pass_is_tried_again(folder: Path, tmp_path: Path) -> None:
    small = replace(CONFIG, limits=LimitsConfig(max_megapixels=0.001))
    out = tmp_path / "out"
    assert words(run(folder / "tars", out, small)).count("failed too_large") == 5
    assert words(run(folder / "tars", out)) == [*OF_A, SMALLER]


def test_a_run_that_ends_early_leaves_no_half_shard(
    folder: Path, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    write_tar(folder / "tars" / "a.tar", {f"{n}.png": pictures["000.png"] for n in range(20)})
    out = tmp_path / "out"
    config = replace(CONFIG, workers=1, jobs=1, batch_size=1, limits=LimitsConfig(in_flight_megapixels=0.001))
    runner = Runner(config, RunOptions(state=out / STATE_FOLDER), progress=lambda _: runner.stop())
    records = list(runner.run(Listing(folder / "tars", out)))
    assert runner.is_incomplete and records == []
    assert not list(out.rglob("*.tmp"))
    records = Runner(config, RunOptions(state=out / STATE_FOLDER)).run(Listing(folder / "tars", out))
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert not list(out.rglob("*.tmp"))
    run(folder / "tars", out, config)
    run(folder / "tars", tmp_path / "undisturbed", config)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_in_place(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    run(folder, tmp_path / "out")
    options = RunOptions(state=tmp_path / "state", backup=tmp_path / "backup")
    assert words(list(Runner(CONFIG, options).run(Listing(folder, None)))) == FIRST
    assert contents(folder) == contents(tmp_path / "out")
    assert contents(tmp_path / "backup") == before
    again = list(Runner(CONFIG, options).run(Listing(folder, None)))
    assert sorted(words(again)) == sorted(SECOND)


def test_samples(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dry = run(folder, out, selection=Selection(sample=4), dry_run=True)
    assert len(dry) == 4 and not out.exists()
    assert {r.source for r in dry} < {r.source for r in run(folder, out, dry_run=True)}
    run(folder, tmp_path / "done")
    assert len(run(folder, tmp_path / "done", selection=Selection(sample=4), dry_run=True)) == 4
    limited = run(folder, out, selection=Selection(limit=3))
    assert words(limited) == ["failed write_error"] and "--dry-run" in (limited[0].error or "")
    assert not contents(out)
    assert words(run(folder, out)) == FIRST


@pytest.mark.parametrize("name", ["../../up.png", "/tmp/absolute.png"])
def test_hostile_names_are_only_names(tmp_path: Path, pictures: dict[str, bytes], name: str) -> None:
    write_tar(tmp_path / "in" / "a.tar", {name: pictures["000.png"]})
    (record,) = run(tmp_path / "in", tmp_path / "out")
    assert record.status == "recompressed"
    assert list(read_tar(tmp_path / "out" / "a.tar")) == [name[:-4] + ".jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
