"""Runs that go on from earlier ones."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import imgcompress.dataset.pipeline as module
from imgcompress.config import Config, LimitsConfig, LoopConfig, PerceptionConfig
from imgcompress.dataset import files, resume
from imgcompress.dataset.ledger import Ledger
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.records import FileRecord

CONFIG = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))
Run = Callable[..., list[FileRecord]]
FullDisk = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()


def tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Four pictures, one that is kept, one that is broken."""
    root = tmp_path / "in"
    root.mkdir()
    for index in range(4):
        (root / f"{index}.png").write_bytes(png(np.roll(pixels, 8 * index, axis=1)))
    (root / "alpha.png").write_bytes(png(np.dstack([pixels, pixels[..., :1]])))
    (root / "broken.png").write_bytes(png(pixels)[:500])
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs over the folder; the records say what happened, ``run.computed`` how many pictures were read."""
    read = module.read_picture

    def counting(*arguments: object) -> object:
        again.computed += 1  # type: ignore[attr-defined]
        return read(*arguments)

    def again(config: Config = CONFIG, **options: bool) -> list[FileRecord]:
        again.computed = 0  # type: ignore[attr-defined]
        run_options = RunOptions(state=tmp_path / "out" / STATE_FOLDER, **options)
        return list(Runner(config, run_options).run(Listing(folder, tmp_path / "out")))

    monkeypatch.setattr(module, "read_picture", counting)
    return again


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts and path.suffix != ".tmp"
    }


def words(records: list[FileRecord]) -> list[str]:
    return [f"{record.status} {record.reason}" for record in records]


FIRST = [*["recompressed smaller"] * 4, "kept alpha", "failed decode_error"]
SECOND = [*["skipped done"] * 5, "failed decode_error"]


def test_a_second_run_computes_nothing_and_says_the_same(run: Run, tmp_path: Path) -> None:
    first = run()
    assert words(first) == FIRST and run.computed == 5  # type: ignore[attr-defined]
    before = outputs(tmp_path / "out")
    second = run()
    assert words(second) == SECOND and run.computed == 0  # type: ignore[attr-defined]
    assert [(r.source, r.output, r.bytes_out, r.scores, r.error) for r in second] == [
        (r.source, r.output, r.bytes_out, r.scores, r.error) for r in first
    ]
    assert outputs(tmp_path / "out") == before


def test_a_touched_source_is_read_and_a_changed_one_done_again(
    run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    run()
    before = outputs(tmp_path / "out")
    os.utime(folder / "0.png", ns=(1, 1))
    assert words(run()) == SECOND and run.computed == 0  # type: ignore[attr-defined]
    (folder / "1.png").write_bytes(png(pixels[::-1]))
    assert words(run())[:2] == ["skipped done", "recompressed smaller"] and run.computed == 1  # type: ignore[attr-defined]
    after = outputs(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"1.jpg"}


def test_other_settings_do_all_again(run: Run, tmp_path: Path) -> None:
    run()
    before = outputs(tmp_path / "out")
    assert words(run(replace(CONFIG, quality=30))) == FIRST
    after = outputs(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {f"{n}.jpg" for n in range(4)}
    assert words(run(replace(CONFIG, quality=30, batch_size=1, jobs=1))) == SECOND
    assert words(run(replace(CONFIG, quality=30), resume=False)) == FIRST


def test_a_missing_output_is_made_again(run: Run, tmp_path: Path) -> None:
    run()
    before = outputs(tmp_path / "out")
    (tmp_path / "out" / "2.jpg").unlink()
    (tmp_path / "out" / "alpha.png").unlink()
    assert words(run()) == [*SECOND[:2], "recompressed smaller", "skipped done", "kept alpha", SECOND[5]]
    assert outputs(tmp_path / "out") == before


def test_a_missing_map_is_drawn(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    before = outputs(tmp_path / "out")
    entries = Listing(folder, tmp_path / "out", maps=tmp_path / "maps")
    options = RunOptions(state=tmp_path / "out" / STATE_FOLDER)
    assert words(list(Runner(CONFIG, options).run(entries))) == FIRST
    assert len(outputs(tmp_path / "maps")) == 5 and outputs(tmp_path / "out") == before
    assert words(list(Runner(CONFIG, options).run(entries))) == SECOND


def test_what_somebody_else_put_there_stays(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    (tmp_path / "out" / "0.jpg").write_bytes(b"edited since")
    os.utime(folder / "1.png", ns=(1, 1))
    records = run()
    assert words(records) == ["skipped exists", *SECOND[1:]]
    assert (tmp_path / "out" / "0.jpg").read_bytes() == b"edited since"
    assert words(run(overwrite=True)) == ["recompressed smaller", *SECOND[1:]]


def test_another_source_of_the_same_name_replaces_nothing(
    run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    run()
    before = outputs(tmp_path / "out")
    folder.rename(tmp_path / "moved")
    (tmp_path / "moved" / "0.png").write_bytes(png(pixels[::-1]))
    options = RunOptions(state=tmp_path / "out" / STATE_FOLDER)

    def run_moved() -> list[str]:
        entries = Listing(tmp_path / "moved", tmp_path / "out")
        return words(list(Runner(CONFIG, options).run(entries)))

    assert run_moved() == ["skipped exists", *SECOND[1:]]
    assert outputs(tmp_path / "out") == before
    # What has only moved is known from then on where it is.
    (tmp_path / "moved" / "1.png").write_bytes(png(pixels[::-1]))
    assert run_moved()[:3] == ["skipped exists", "recompressed smaller", "skipped done"]


def test_a_foreign_file_in_either_place_is_in_the_way(
    run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    run()
    (tmp_path / "out" / "0.png").write_bytes(b"mine")
    (folder / "0.png").write_bytes(png(np.dstack([pixels, pixels[..., :1]])))
    before = outputs(tmp_path / "out")
    assert words(run())[0] == "skipped exists"
    assert outputs(tmp_path / "out") == before
    assert words(run(overwrite=True))[0] == "kept alpha"
    assert not (tmp_path / "out" / "0.jpg").exists()


@pytest.mark.parametrize("fault", ["gone", "unlistable", "renamed but not forced"])
def test_after_a_passing_fault_our_output_is_still_ours(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    run()
    coarser = replace(CONFIG, quality=30)
    if fault == "gone":
        (folder / "0.png").rename(tmp_path / "0.png")
        (folder / "0.png").symlink_to(tmp_path / "nowhere")
    elif fault == "unlistable":

        def unreadable(path: Path) -> str:
            if path == tmp_path / "out" / "0.jpg":
                raise PermissionError(13, "Permission denied")
            return checksum(path)

        checksum = resume.checksum_of
        monkeypatch.setattr(resume, "checksum_of", unreadable)
    else:

        def not_forced(path: Path, *rest: object) -> None:
            write(path, *rest)
            if path.name == "0.jpg":
                raise PictureError(Reason.WRITE_ERROR, "the folder cannot be forced to disk")

        write = files.write_atomically
        monkeypatch.setattr(files, "write_atomically", not_forced)
    assert words(run(coarser))[0] == ("failed read_error" if fault == "gone" else "failed write_error")
    monkeypatch.undo()
    if fault == "gone":
        (folder / "0.png").unlink()
        (tmp_path / "0.png").rename(folder / "0.png")
    assert words(run(coarser))[0] == "recompressed smaller"


def test_the_same_stamp_elsewhere_is_no_proof(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    for name, value in (("a", 40), ("b", 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.bmp.tif").write_bytes(tiff(pixels + np.uint8(value)))
        os.utime(tmp_path / name / "x.bmp.tif", ns=(0, 0))
    options = RunOptions(state=tmp_path / "both" / STATE_FOLDER)
    for name, expected in (("a", "recompressed smaller"), ("b", "skipped exists"), ("a", "skipped done")):
        entries = Listing(tmp_path / name, tmp_path / "both")
        assert words(list(Runner(CONFIG, options).run(entries))) == [expected]


def test_what_was_too_large_is_tried_again(run: Run) -> None:
    small = replace(CONFIG, limits=LimitsConfig(max_megapixels=0.001))
    assert words(run(small))[0] == "failed too_large"
    assert words(run())[:5] == FIRST[:5]


def test_other_model_files_are_other_settings(run: Run, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    config = replace(CONFIG, perception=PerceptionConfig(weights=str(weights)))
    weights.write_bytes(b"one fit")
    assert words(run(config)) == FIRST
    assert words(run(config)) == SECOND
    weights.write_bytes(b"another")
    assert words(run(config)) == FIRST


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text(run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    (folder / os.fsdecode(b"z\x80.png")).write_bytes(png(pixels))
    assert words(run())[-1] == "recompressed smaller"
    assert words(run())[-1] == "skipped done"
    assert words(run(replace(CONFIG, quality=30)))[-1] == "recompressed smaller"


def test_a_dry_run_looks_into_the_ledger(run: Run, tmp_path: Path) -> None:
    run()
    before = outputs(tmp_path / "out")
    assert words(run(dry_run=True)) == SECOND
    assert words(run(replace(CONFIG, quality=30), dry_run=True)) == FIRST
    assert words(run()) == SECOND and outputs(tmp_path / "out") == before


def test_two_runs_at_once_are_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "out" / STATE_FOLDER), pytest.raises(UsageError, match="another run is at work"):
        run()
    assert words(run()) == FIRST


def test_an_output_that_changes_its_suffix_leaves_nothing_behind(
    run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    run()
    (folder / "alpha.png").write_bytes(png(pixels))
    assert words(run())[4] == "recompressed smaller"
    assert sorted(outputs(tmp_path / "out")) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "alpha.jpg"]


def test_what_may_not_happen_again_is_tried_again(run: Run, full_disk: FullDisk) -> None:
    with full_disk():
        assert words(run())[2] == "failed write_error"
    assert words(run()) == [*SECOND[:2], "recompressed smaller", *SECOND[3:]]
    # With other settings, and the disk full again, the earlier output is still known for ours.
    with full_disk():
        assert words(run(replace(CONFIG, quality=30)))[2] == "failed write_error"
    assert words(run(replace(CONFIG, quality=30)))[2] == "recompressed smaller"


@pytest.mark.parametrize("is_written", [False, True])
def test_a_row_without_its_confirmation(run: Run, tmp_path: Path, *, is_written: bool) -> None:
    run()
    before = outputs(tmp_path / "out")
    with Ledger(tmp_path / "out" / STATE_FOLDER) as ledger:
        row = ledger.find("1.png")
        assert row is not None
        ledger.put([replace(row, confirmed=False)])
    if not is_written:
        (tmp_path / "out" / "1.jpg").unlink()
    expected = "skipped done" if is_written else "recompressed smaller"
    assert words(run())[1] == expected
    assert outputs(tmp_path / "out") == before
    assert words(run()) == SECOND


def test_a_file_that_comes_meanwhile_is_in_the_way(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = files.Files.result

    def meanwhile(self: files.Files, task: files.FileTask, computed: object) -> object:
        if task.entry.key == "1.png":
            (tmp_path / "out" / "1.jpg").write_bytes(b"mine")
        return result(self, task, computed)  # type: ignore[arg-type]

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(files.Files, "result", meanwhile)
    assert words(run())[:2] == ["recompressed smaller", "failed write_error"]
    assert (tmp_path / "out" / "1.jpg").read_bytes() == b"mine"
    assert words(run(overwrite=True))[1] == "recompressed smaller"


def test_looking_at_a_ledger_leaves_nothing_beside_it(run: Run, tmp_path: Path) -> None:
    run()
    before = sorted(path.name for path in (tmp_path / "out" / STATE_FOLDER).iterdir())
    run(dry_run=True)
    with Ledger(tmp_path / "out" / STATE_FOLDER, read_only=True) as ledger:
        assert ledger.totals()
    assert sorted(path.name for path in (tmp_path / "out" / STATE_FOLDER).iterdir()) == before


SCRIPT = """
import os, signal, sys
from pathlib import Path
import imgcompress.dataset.files as files
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.runner import Runner
from imgcompress.config import Config, LoopConfig
from imgcompress.dataset.ledger import Ledger
from imgcompress.dataset.sources import STATE_FOLDER, Listing
source, destination, place, left = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
config = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))

def mortal(owner, name, after):
    original = getattr(owner, name)
    def until_killed(*words, **options):
        global left
        left -= 1
        if left < 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*words, **options)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, until_killed)

owner, name, when = {
    "before a row": (Ledger, "put", False),
    "after a row": (Ledger, "put", True),
    "before a file": (files, "write_atomically", False),
    "after a file": (files, "write_atomically", True),
    "in a file": (os, "fsync", False),
    "before the rename": (Path, "replace", False),
    "nowhere": (os, "mkfifo", True),
}[place]
mortal(owner, name, when)
options = RunOptions(state=destination / STATE_FOLDER)
for record in Runner(config, options).run(Listing(source, destination)):
    print(record.status, record.reason, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_killed_runs_end_like_an_undisturbed_one(folder: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    for index in range(4, 20):
        (folder / f"{index}.png").write_bytes(png(np.roll(pixels, 3 * index, axis=1)))
    sources = outputs(folder)

    def start(name: str, place: str = "nowhere", left: int = 0) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / name), place, str(left)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert start("undisturbed").returncode == 0
    kills = [
        ("in a file", 1),
        ("after a file", 1),
        ("before the rename", 3),
        ("after a row", 2),
        ("before a row", 1),
        ("before a file", 2),
    ]
    for place, left in kills:
        killed = start("killed", place, left)
        assert killed.returncode == -signal.SIGKILL, (place, killed.stderr)
        for data in outputs(tmp_path / "killed").values():
            with Image.open(io.BytesIO(data)) as image:
                image.load()
    last = start("killed")
    assert last.returncode == 0 and "skipped done" in last.stdout and "exists" not in last.stdout
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "undisturbed")
    assert outputs(folder) == sources
    assert not list((tmp_path / "killed").rglob("*.tmp"))
