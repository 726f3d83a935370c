import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import imgcompress.dataset.pipeline as module
from imgcompress.config import Config, LimitsConfig, LoopConfig
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.pipeline import Pipeline
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import Listing
from imgcompress.errors import Reason
from imgcompress.records import FileRecord

CONFIG = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, loop=LoopConfig(rounds=0))
WRITE = RunOptions()
FullDisk = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()


def file(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Seven pictures of several sizes and kinds, in two folders."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for index in range(4):
        (root / f"{index}.png").write_bytes(file(np.roll(pixels, 8 * index, axis=1)))
    (root / "sub" / "a.jpg").write_bytes(file(pixels, "JPEG", quality=95))
    (root / "sub" / "b.webp").write_bytes(file(pixels[:30, :40], "WEBP", lossless=True))
    (root / "sub" / "c.png").write_bytes(file(np.dstack([pixels, pixels[..., :1]])))
    return root


def run(
    source: Path, destination: Path, config: Config = CONFIG, options: RunOptions = WRITE
) -> list[FileRecord]:
    return list(Runner(config, options).run(Listing(source, destination)))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def words(records: list[FileRecord]) -> list[tuple[str, str]]:
    return [(record.status.value, record.reason.value) for record in records]


def test_a_folder(folder: Path, tmp_path: Path) -> None:
    before, out = files(folder), tmp_path / "out"
    records = run(folder, out)
    assert [Path(r.source).relative_to(folder).as_posix() for r in records] == list(before)
    assert words(records) == [("recompressed", "smaller")] * 6 + [("kept", "alpha")]
    written = files(out)
    assert list(written) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "sub/a.jpg", "sub/b.jpg", "sub/c.png"]
    for record, name, data in zip(records, before, before.values(), strict=True):
        assert record.output is not None
        result = Path(record.output).read_bytes()
        assert (record.bytes_in, record.bytes_out) == (len(data), len(result))
        with Image.open(io.BytesIO(result)) as image:
            assert image.size == (record.width, record.height)
            assert image.format is not None and image.format.lower() == record.format
            image.load()
        assert record.seconds > 0 and record.error is None, name
    assert written["sub/c.png"] == before["sub/c.png"]
    assert files(folder) == before


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, jobs=1),
        replace(CONFIG, jobs=4),
        replace(CONFIG, batch_size=1),
        replace(CONFIG, limits=LimitsConfig(batch_megapixels=0.001, in_flight_megapixels=0.001)),
    ],
)
def test_threads_and_windows_change_no_byte(config: Config, folder: Path, tmp_path: Path) -> None:
    expected = run(folder, tmp_path / "expected")
    records = run(folder, tmp_path / "out", config)
    assert words(records) == words(expected)
    assert [r.source for r in records] == [r.source for r in expected]
    assert files(tmp_path / "out") == files(tmp_path / "expected")


def test_what_exists_is_skipped_without_being_read(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "1.jpg").write_bytes(b"mine")
    (out / "sub" / "c.png").write_bytes(b"mine too")  # where a copy would go
    (folder / "1.png").write_bytes(b"broken")
    records = run(folder, out)
    assert [number for number, record in enumerate(records) if record.status == "skipped"] == [1, 6]
    assert records[1].reason is Reason.EXISTS and records[1].output == str(out / "1.jpg")
    assert records[6].output == str(out / "sub" / "c.png")
    assert (out / "1.jpg").read_bytes() == b"mine" and (out / "sub" / "c.png").read_bytes() == b"mine too"
    assert words(run(folder, out)) == [("skipped", "exists")] * 7


def test_overwrite(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.jpg").write_bytes(b"mine")
    records = run(folder, out, options=RunOptions(overwrite=True))
    assert words(records)[:6] == [("recompressed", "smaller")] * 6
    assert (out / "1.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path) -> None:
    dry = run(folder, tmp_path / "out", options=RunOptions(dry_run=True))
    assert not (tmp_path / "out").exists()
    wet = run(folder, tmp_path / "out")
    assert [replace(r, seconds=0.0) for r in dry] == [replace(r, seconds=0.0, dry_run=True) for r in wet]


def test_a_second_run_over_our_own_output_copies_it(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "one")
    records = run(tmp_path / "one", tmp_path / "two", replace(CONFIG, quality=30))
    assert words(records) == [("kept", "already_ours")] * 6 + [("kept", "alpha")]
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_bad_files_fail_with_a_reason_and_the_others_go_on(
    folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    jpeg, png = file(pixels, "JPEG"), file(pixels)
    bad = {
        "bad/1 truncated.jpg": (jpeg[: len(jpeg) // 2], "decode_error"),
        "bad/2 truncated.png": (png[: len(png) // 2], "decode_error"),
        "bad/3 empty.jpg": (b"", "decode_error"),
        "bad/4 words.png": (b"these are words", "decode_error"),
        "bad/5 truncated.bmp": (file(pixels, "BMP")[:2000], "decode_error"),
        "bad/6 truncated.gif": (file(pixels, "GIF")[:900], "decode_error"),
    }
    (folder / "bad").mkdir()
    for name, (data, _) in bad.items():
        (folder / name).write_bytes(data)
    (folder / "bad" / "7 nowhere.jpg").symlink_to(tmp_path / "nowhere.jpg")
    before = files(folder)
    records = run(folder, tmp_path / "out")
    failed = {Path(r.source).name: r for r in records if r.status == "failed"}
    assert {name: r.reason.value for name, r in failed.items()} == {
        **{Path(name).name: reason for name, (_, reason) in bad.items()},
        "7 nowhere.jpg": "read_error",
    }
    for record in failed.values():
        assert record.error and record.output is None and record.bytes_out is None
    assert failed["3 empty.jpg"].bytes_in == 0
    assert failed["7 nowhere.jpg"].bytes_in is None
    assert len(records) == 14 and len(files(tmp_path / "out")) == 7
    assert files(folder) == before


def test_a_bomb_is_refused_before_it_is_decoded(folder: Path, tmp_path: Path) -> None:
    limits = LimitsConfig(max_megapixels=0.002)
    records = run(folder, tmp_path / "out", replace(CONFIG, limits=limits))
    assert [record.reason.value for record in records] == ["too_large"] * 5 + ["smaller", "too_large"]
    assert list(files(tmp_path / "out")) == ["sub/b.jpg"]


def test_contents_count_and_not_names(tmp_path: Path, pixels: np.ndarray) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "png.jpg").write_bytes(file(pixels))
    (root / "jpeg.png").write_bytes(file(pixels, "JPEG", quality=95))
    (root / "no suffix").write_bytes(file(pixels, "WEBP", lossless=True))
    assert words(run(root, tmp_path / "out")) == [("recompressed", "smaller")] * 3
    assert list(files(tmp_path / "out")) == ["jpeg.jpg", "no suffix.jpg", "png.jpg"]
    assert all(data[:2] == b"\xff\xd8" for data in files(tmp_path / "out").values())


def test_an_output_that_cannot_be_written(folder: Path, tmp_path: Path, full_disk: FullDisk) -> None:
    with full_disk():
        records = run(folder, tmp_path / "out")
    assert words(records)[2] == ("failed", "write_error")
    assert records[2].output is None and records[2].bytes_out is None
    assert "No space left" in (records[2].error or "")
    assert len(files(tmp_path / "out")) == 6


def test_a_destination_below_a_file(folder: Path, tmp_path: Path) -> None:
    before = files(folder)
    (tmp_path / "file").write_bytes(b"")
    records = run(folder, tmp_path / "file" / "out")
    assert words(records) == [("failed", "write_error")] * 7
    assert files(folder) == before


def test_a_name_that_is_too_long_for_the_output(folder: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    (folder / ("x" * 255)).write_bytes(file(pixels))
    records = run(folder, tmp_path / "out")
    assert words(records)[-1] == ("failed", "write_error")
    assert "File name too long" in (records[-1].error or "")
    assert len(files(tmp_path / "out")) == 7


def test_maps_mirror_the_tree(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"words")
    plain = run(folder, tmp_path / "plain")
    entries = Listing(folder, tmp_path / "out", maps=tmp_path / "maps")
    dry = list(Runner(CONFIG, RunOptions(dry_run=True)).run(entries))
    assert not (tmp_path / "maps").exists()
    records = list(Runner(CONFIG, WRITE).run(entries))
    assert words(records) == words(dry) == words(plain)
    assert files(tmp_path / "out") == files(tmp_path / "plain")
    assert list(files(tmp_path / "maps")) == [
        f"{entry.source.relative_to(folder).as_posix()}.png"
        for entry, record in zip(entries, records, strict=True)
        if record.status != "failed"
    ]
    for entry, record in zip(entries, records, strict=True):
        if record.status != "failed":
            assert entry.map is not None
            assert Image.open(entry.map).size == (record.width, record.height)
    before = files(tmp_path / "maps")
    (tmp_path / "maps" / "0.png.png").unlink()
    list(Runner(CONFIG, WRITE).run(entries))
    assert list(files(tmp_path / "maps")) == list(before)[1:]  # what is skipped is not read


def test_without_its_map_a_picture_is_not_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "sub").write_bytes(b"")
    records = list(Runner(CONFIG, WRITE).run(Listing(folder, tmp_path / "out", maps=tmp_path / "maps")))
    assert words(records) == [("recompressed", "smaller")] * 4 + [("failed", "write_error")] * 3
    assert records[4].output is None and "a.jpg.png cannot be written" in (records[4].error or "")
    assert list(files(tmp_path / "out")) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError(), "out_of_memory"), (IndexError("odd"), "internal_error")]
)
def test_a_map_that_breaks_does_not_end_the_run(
    error: Exception, reason: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(module, "draw_attention", fail)
    records = list(Runner(CONFIG, WRITE).run(Listing(folder, tmp_path / "out", maps=tmp_path / "maps")))
    assert words(records) == [("failed", reason)] * 7
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_full_disk_leaves_no_half_file(folder: Path, tmp_path: Path) -> None:
    before = files(folder)
    script = """
import resource, signal, sys
from pathlib import Path
from imgcompress.config import Config
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import Listing
entries = Listing(Path(sys.argv[1]), Path(sys.argv[2]))
runner = Runner(Config(device="cpu", verify="decode"), RunOptions())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
for record in runner.run(entries):
    print(record.status.value, record.reason.value)
"""
    # Above the results' sizes, but below the copy's.
    arguments = [sys.executable, "-c", script, str(folder), str(tmp_path / "out"), "5000"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["recompressed smaller"] * 6 + ["failed write_error"]
    assert len(files(tmp_path / "out")) == 6
    assert all(Image.open(io.BytesIO(data)).size[0] > 1 for data in files(tmp_path / "out").values())
    assert files(folder) == before


@pytest.mark.parametrize("stage", ["probe", "read_picture"])
@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError(), "out_of_memory"), (IndexError("odd"), "internal_error")]
)
def test_a_reader_that_breaks_does_not_end_the_run(
    error: Exception,
    reason: str,
    stage: str,
    folder: Path,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, unlucky = getattr(module, stage), (folder / "1.png").read_bytes()

    def fail(data: bytes, *rest: object) -> object:
        if data == unlucky:
            raise error
        return original(data, *rest)

    monkeypatch.setattr(module, stage, fail)
    records = run(folder, tmp_path / "out")
    assert words(records)[1] == ("failed", reason)
    assert len(files(tmp_path / "out")) == 6


def test_no_more_than_two_windows_are_decoded_at_once(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for index in range(24):
        (root / f"{index:02}.png").write_bytes(file(np.roll(pixels, index, axis=1)))
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    # A window holds two pictures by its pixels, so four are in flight.
    config = replace(CONFIG, limits=LimitsConfig(in_flight_megapixels=4.2 * megapixels))
    lock, decoded, most, finished = threading.Lock(), 0, 0, 0
    read, finish = module.read_picture, Pipeline._finish

    def counting_read(*arguments: object) -> object:
        nonlocal decoded, most
        with lock:
            decoded += 1
            most = max(most, decoded - finished)
        return read(*arguments)

    def counting_finish(*arguments: object) -> object:
        nonlocal finished
        computed = finish(*arguments)
        with lock:
            finished += 1
        return computed

    monkeypatch.setattr(module, "read_picture", counting_read)
    monkeypatch.setattr(Pipeline, "_finish", counting_finish)
    windows: list[int] = []
    pipeline = Pipeline(config)
    compress = pipeline.compressor.compress
    monkeypatch.setattr(
        pipeline.compressor,
        "compress",
        lambda ready, pool: (windows.append(len(ready)), compress(ready, pool))[1],
    )
    records = list(Runner(config, RunOptions(), pipeline).run(Listing(root, tmp_path / "out")))
    assert len(records) == decoded == finished == 24
    assert [size for size in windows if size] == [2] * 12
    assert 2 <= most <= 4


def test_records_come_before_the_whole_folder_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, jobs=1, batch_size=1, limits=LimitsConfig(in_flight_megapixels=0.001))
    read, count = module.read_picture, 0

    def counting(*arguments: object) -> object:
        nonlocal count
        count += 1
        return read(*arguments)

    monkeypatch.setattr(module, "read_picture", counting)
    records = Runner(config, RunOptions()).run(Listing(folder, tmp_path / "out"))
    assert next(records).source.endswith("0.png")
    assert count <= 3
    records.close()
    # What was being written when the records were no longer wanted is written.
    assert list(files(tmp_path / "out")) in (["0.jpg"], ["0.jpg", "1.jpg"])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("imgcompress")]


def test_a_single_file(tmp_path: Path, pixels: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(file(pixels))
    (record,) = run(tmp_path / "a.png", tmp_path / "out")
    assert record.output == str(tmp_path / "out" / "a.jpg")


def test_other_files_are_copied_on_request(folder: Path, tmp_path: Path) -> None:
    (folder / "sub" / "a.json").write_bytes(b"{}")
    (folder / "sub" / "link.txt").symlink_to(folder / "sub" / "a.json")
    (folder / "labels").mkdir()
    (folder / "labels" / "0.txt").write_bytes(b"7" * 3_000_000)
    (folder / ".imgcompress-0.tmp").write_bytes(b"half")
    state, out = tmp_path / "state", tmp_path / "out"

    def again(**options: bool) -> list[FileRecord]:
        run_options = RunOptions(state=state, **options)
        return list(Runner(CONFIG, run_options).run(Listing(folder, out, others=True)))

    assert len(again(dry_run=True)) == 10 and not out.exists()
    records = again()
    kept = {r.source: r for r in records if r.reason is Reason.NOT_A_PICTURE}
    assert list(kept) == [
        str(folder / "labels" / "0.txt"),
        str(folder / "sub/a.json"),
        str(folder / "sub/link.txt"),
    ]
    assert all(r.bytes_in == r.bytes_out == Path(str(r.output)).stat().st_size for r in kept.values())
    assert files(out)["labels/0.txt"] == b"7" * 3_000_000 and files(out)["sub/link.txt"] == b"{}"
    assert words(again()) == [("skipped", "done")] * 10
    (folder / "sub" / "a.json").write_bytes(b"[]")
    assert words(again()).count(("kept", "not_a_picture")) == 2  # the link's, too
    (folder / "sub" / "a.json").chmod(0)
    if os.geteuid() != 0:
        assert ("failed", "read_error") in words(again(resume=False))


def test_no_entries() -> None:
    assert list(Runner(CONFIG, RunOptions()).run([])) == []


@pytest.mark.shared
def test_corrupt_files(shared: Path, tmp_path: Path) -> None:
    entries = list(Listing(shared / "formats" / "corrupt", tmp_path / "out"))
    records = list(Runner(CONFIG, RunOptions()).run(entries))
    assert len(records) == len(entries) >= 10
    assert {record.status.value for record in records} >= {"failed"}
    assert all(record.reason is not Reason.INTERNAL_ERROR for record in records)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            with Image.open(path) as image:
                image.load()
