"""Runs that replace their sources."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import Config, LoopConfig
from imgcompress.dataset import files
from imgcompress.dataset.ledger import Ledger
from imgcompress.dataset.options import RunOptions
from imgcompress.dataset.runner import Runner
from imgcompress.dataset.sources import STATE_FOLDER, Listing
from imgcompress.records import FileRecord

# Without the mark only the ledger knows our own files.
CONFIG = Config(
    device="cpu",
    verify="decode",
    jobs=2,
    max_encodes=1,
    batch_size=2,
    loop=LoopConfig(rounds=0),
    mark=False,
)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    pixels = photo[:, 100:148, 150:214].permute(1, 2, 0).contiguous().numpy()
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for index in range(3):
        (root / f"{index}.png").write_bytes(encoded(np.roll(pixels, 8 * index, axis=1), "PNG"))
        (root / "sub" / f"{index}.jpg").write_bytes(
            encoded(np.roll(pixels, 5 * index, axis=0), "JPEG", quality=95)
        )
    (root / "sub" / "alpha.png").write_bytes(encoded(np.dstack([pixels, pixels[..., :1]]), "PNG"))
    (root / "broken.jpg").write_bytes(b"words")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
    }


def run(folder: Path, config: Config = CONFIG, **options: object) -> list[FileRecord]:
    run_options = RunOptions(state=folder / STATE_FOLDER, **options)  # type: ignore[arg-type]
    return list(Runner(config, run_options).run(Listing(folder, None)))


def words(records: list[FileRecord]) -> list[str]:
    return [f"{record.status} {record.reason}" for record in records]


OUTPUTS = ["0.jpg", "1.jpg", "2.jpg", "broken.jpg", "sub/0.jpg", "sub/1.jpg", "sub/2.jpg", "sub/alpha.png"]


def test_sources_are_replaced_and_kept_in_the_backup(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    (folder / "0.png").chmod(0o640)
    records = run(folder, backup=tmp_path / "backup")
    smaller = "recompressed smaller"
    assert words(records) == [*[smaller] * 3, "failed decode_error", *[smaller] * 3, "kept alpha"]
    after = contents(folder)
    assert list(after) == OUTPUTS
    assert after["broken.jpg"] == before["broken.jpg"] and after["sub/alpha.png"] == before["sub/alpha.png"]
    assert all(len(after[f"sub/{n}.jpg"]) < len(before[f"sub/{n}.jpg"]) for n in range(3))
    untouched = ("broken.jpg", "sub/alpha.png")
    assert contents(tmp_path / "backup") == {k: v for k, v in before.items() if k not in untouched}
    assert (folder / "0.jpg").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, quality=30)])
def test_nothing_is_compressed_twice(folder: Path, config: Config) -> None:
    run(folder)
    before = contents(folder)
    # What was kept may become smaller with other settings, but not what has lost something already.
    last = "skipped done" if config == CONFIG else "kept alpha"
    done = "skipped done"
    assert words(run(folder, config)) == [*[done] * 3, "failed decode_error", *[done] * 3, last]
    assert contents(folder) == before


def test_again_compresses_twice(folder: Path) -> None:
    run(folder)
    records = run(folder, replace(CONFIG, quality=30, again=True))
    assert words(records)[:3] == ["recompressed smaller"] * 3
    assert list(contents(folder)) == OUTPUTS


def test_a_source_that_changes_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = files.Files.result

    def changing(self: files.Files, task: files.FileTask, computed: object) -> object:
        if task.entry.key == "1.png":
            task.entry.source.write_bytes(b"new")
        return result(self, task, computed)  # type: ignore[arg-type]

    monkeypatch.setattr(files.Files, "result", changing)
    assert words(run(folder))[1] == "failed write_error"
    assert (folder / "1.png").read_bytes() == b"new" and not (folder / "1.jpg").exists()


def test_another_file_in_the_backup_is_in_the_way(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "1.png").write_bytes(b"mine")
    source = (folder / "1.png").read_bytes()
    records = run(folder, backup=tmp_path / "backup")
    assert words(records)[1] == "failed write_error" and "another file is there" in (records[1].error or "")
    assert (folder / "1.png").read_bytes() == source and not (folder / "1.jpg").exists()
    assert (tmp_path / "backup" / "1.png").read_bytes() == b"mine"


@pytest.mark.parametrize("is_list", [False, True])
def test_a_backup_that_is_the_source(folder: Path, *, is_list: bool) -> None:
    source = folder / "0.png"
    before = source.read_bytes()
    if is_list:
        (folder / "list.txt").write_text("0.png\n")
        source = folder / "list.txt"
    options = RunOptions(state=folder / STATE_FOLDER, backup=folder)
    (record,) = Runner(CONFIG, options).run(Listing(source, None))
    assert record.status == "failed" and "the source itself" in (record.error or "")
    assert (folder / "0.png").read_bytes() == before and not (folder / "0.jpg").exists()


def test_a_source_that_cannot_be_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == folder / "0.png":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        for _ in range(2):
            records = run(folder)
            assert words(records)[0] == "failed write_error" and "removed" in (records[0].error or "")
            assert (folder / "0.png").exists() and not list(folder.glob("0*.jpg"))
    assert words(run(folder))[0] == "recompressed smaller"


def test_without_resuming_nothing_is_compressed_twice(folder: Path) -> None:
    run(folder)
    before = contents(folder)
    assert words(run(folder, resume=False))[:3] == ["skipped done"] * 3
    assert {name: data for name, data in contents(folder).items() if "sub" not in name} == {
        name: data for name, data in before.items() if "sub" not in name
    }


def test_a_run_from_another_folder_clears_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    run(Path("in"))
    output = (folder / "0.jpg").read_bytes()
    # As a run leaves it that is killed between writing the output and removing the source.
    source = b"the source as it was"
    with Ledger(folder / STATE_FOLDER) as ledger:
        row = ledger.find("0.jpg")
        assert row is not None
        content = hashlib.sha256(source).hexdigest()
        ledger.put([replace(row, source=str(folder / "0.png"), content=content, confirmed=False)])
    (folder / "0.png").write_bytes(source)
    monkeypatch.chdir(folder)
    run(folder)
    assert not (folder / "0.png").exists() and (folder / "0.jpg").read_bytes() == output


def test_a_dry_run_replaces_nothing(folder: Path) -> None:
    before = contents(folder)
    assert words(run(folder, dry_run=True))[0] == "recompressed smaller"
    assert contents(folder) == before and not (folder / STATE_FOLDER).exists()


def test_the_ledger_forgets_sources_that_are_gone(folder: Path) -> None:
    pixels = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(b"words")
    run(folder)
    (folder / "0.png").write_bytes(pixels)
    run(folder)
    with Ledger(folder / STATE_FOLDER, read_only=True) as ledger:
        assert ledger.find("0.png") is None
        row = ledger.find("0.jpg")
        assert row is not None and row.content == row.output_sha256 and not row.replaces_source


def test_times_are_kept_on_request(folder: Path) -> None:
    for name in ("0.png", "1.png"):
        os.utime(folder / name, ns=(10**18, 10**18))
    run(folder, keep_times=True)
    assert (folder / "0.jpg").stat().st_mtime_ns == 10**18


SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from test_in_place import CONFIG, STATE_FOLDER, Listing, Runner, RunOptions
from imgcompress.dataset import files
from imgcompress.dataset.ledger import Ledger
folder, place, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

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

mortal(*{
    "before a row": (Ledger, "put", False),
    "after a row": (Ledger, "put", True),
    "before a file": (files, "write_atomically", False),
    "after a file": (files, "write_atomically", True),
    "before a removal": (Path, "unlink", False),
    "after a removal": (Path, "unlink", True),
    "nowhere": (os, "mkfifo", True),
}[place])
options = RunOptions(state=folder / STATE_FOLDER, backup=folder.parent / "backup")
for record in Runner(CONFIG, options).run(Listing(folder, None)):
    print(record.status, record.reason, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_killed_runs_end_like_an_undisturbed_one(folder: Path, tmp_path: Path) -> None:
    sources = contents(folder)
    undisturbed = tmp_path / "undisturbed" / "in"
    undisturbed.parent.mkdir()
    subprocess.run(["cp", "-a", str(folder), str(undisturbed)], check=True)

    def start(root: Path, place: str = "nowhere", left: int = 0) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", SCRIPT, str(root), place, str(left), str(Path(__file__).parent)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    assert start(undisturbed).returncode == 0
    for place, left in (
        ("before a row", 0),
        ("after a row", 0),
        ("after a file", 1),
        ("before a removal", 0),
        ("after a removal", 0),
        ("after a row", 1),
        ("before a file", 2),
    ):
        killed = start(folder, place, left)
        assert killed.returncode == -signal.SIGKILL, (place, killed.stderr)
        # At any moment each source is there, or its backup and its output.
        for name, data in sources.items():
            backup, now = tmp_path / "backup" / name, folder / name
            assert (now.exists() and now.read_bytes() == data) or backup.read_bytes() == data, (place, name)
    last = start(folder)
    assert last.returncode == 0 and "exists" not in last.stdout, last.stderr
    assert contents(folder) == contents(undisturbed)
    assert contents(tmp_path / "backup") == contents(tmp_path / "undisturbed" / "backup")
