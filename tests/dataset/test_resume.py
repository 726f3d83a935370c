"""Runs that go on from earlier ones."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import imgcompress.dataset.runner as module
from imgcompress.config import Config, LoopConfig
from imgcompress.dataset.ledger import Ledger
from imgcompress.dataset.runner import Runner, RunOptions
from imgcompress.dataset.sources import STATE_FOLDER, find_entries
from imgcompress.errors import PictureError, Reason
from imgcompress.records import FileRecord

CONFIG = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))
Run = Callable[..., list[FileRecord]]


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()


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
        return list(Runner(config, run_options).run(find_entries(folder, tmp_path / "out")))

    monkeypatch.setattr(module, "read_picture", counting)
    return again


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
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
    (tmp_path / "out" / "alpha.png").write_bytes(b"")
    assert words(run())[2] == "recompressed smaller"
    assert outputs(tmp_path / "out")["2.jpg"] == before["2.jpg"]


def test_a_missing_map_is_drawn(run: Run, folder: Path, tmp_path: Path) -> None:
    run()
    before = outputs(tmp_path / "out")
    entries = find_entries(folder, tmp_path / "out", maps=tmp_path / "maps")
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
    folder.mkdir()
    options = RunOptions(state=tmp_path / "out" / STATE_FOLDER)
    moved = list(Runner(CONFIG, options).run(find_entries(tmp_path / "moved", tmp_path / "out")))
    assert words(moved) == SECOND
    (tmp_path / "moved" / "0.png").write_bytes(png(pixels[::-1]))
    moved = list(Runner(CONFIG, options).run(find_entries(tmp_path / "moved", tmp_path / "out")))
    assert words(moved) == ["skipped exists", *SECOND[1:]]
    assert outputs(tmp_path / "out") == before


def test_an_output_that_changes_its_suffix_leaves_nothing_behind(
    run: Run, folder: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    run()
    (folder / "alpha.png").write_bytes(png(pixels))
    assert words(run())[4] == "recompressed smaller"
    assert sorted(outputs(tmp_path / "out")) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "alpha.jpg"]


def test_what_may_not_happen_again_is_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module.write_atomically

    def full(path: Path, data: bytes) -> None:
        if path.name == "2.jpg":
            raise PictureError(Reason.WRITE_ERROR, "2.jpg cannot be written: No space left on device")
        write(path, data)

    monkeypatch.setattr(module, "write_atomically", full)
    assert words(run())[2] == "failed write_error"
    monkeypatch.setattr(module, "write_atomically", write)
    assert words(run()) == [*SECOND[:2], "recompressed smaller", *SECOND[3:]]
    # With other settings, and the disk full again, the earlier output is still known for ours.
    monkeypatch.setattr(module, "write_atomically", full)
    assert words(run(replace(CONFIG, quality=30)))[2] == "failed write_error"
    monkeypatch.setattr(module, "write_atomically", write)
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


SCRIPT = """
import sys
from pathlib import Path
from imgcompress.config import Config, LoopConfig
from imgcompress.dataset.runner import Runner, RunOptions
from imgcompress.dataset.sources import STATE_FOLDER, find_entries
source, destination = map(Path, sys.argv[1:])
config = Config(device="cpu", verify="decode", jobs=2, max_encodes=1, batch_size=2, loop=LoopConfig(rounds=0))
entries = find_entries(source, destination)
print("ready", flush=True)
for record in Runner(config, RunOptions(state=destination / STATE_FOLDER)).run(entries):
    print(record.status, record.reason, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_killed_runs_end_like_an_undisturbed_one(folder: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    for index in range(4, 40):
        (folder / f"{index}.png").write_bytes(png(np.roll(pixels, 3 * index, axis=1)))
    sources = outputs(folder)

    def start(name: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / name)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    undisturbed = start("undisturbed")
    undisturbed.communicate()
    chance = random.Random(1)
    for _ in range(4):
        process = start("killed")
        assert process.stdout is not None
        for _ in range(1 + chance.randrange(12)):
            process.stdout.readline()
        time.sleep(0.02 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for data in outputs(tmp_path / "killed").values():
            assert data[:2] == b"\xff\xd8" or data[:4] == b"\x89PNG"
    last, _ = start("killed").communicate()
    assert "skipped done" in last and "exists" not in last
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "undisturbed")
    assert outputs(folder) == sources
