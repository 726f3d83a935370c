"""The command line over a small folder, to each format: what lies there afterwards opens as its name says."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.cli.program import main
from imgcompress.dataset.html_report import read_records
from imgcompress.dataset.names import format_of_name
from imgcompress.dataset.sources import STATE_FOLDER
from imgcompress.image.read import probe
from imgcompress.records import FileRecord, Status

FORMATS = ["jpeg", "webp", "avif", "auto"]
Run = Callable[..., list[FileRecord]]


def file(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    pixels = photo[:, 100:164, 150:246].permute(1, 2, 0).contiguous().numpy()
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "a.png").write_bytes(file(pixels))
    (root / "b.jpg").write_bytes(file(np.roll(pixels, 9, axis=1), "JPEG", quality=98))
    (root / "sub" / "c.tif").write_bytes(file(pixels[::-1].copy(), "TIFF"))
    (root / "sub" / "c.webp").write_bytes(file(pixels[:, ::-1].copy(), "WEBP", lossless=True))
    with tarfile.open(root / "d.tar", "w") as tar:
        for name in ("a.png", "b.jpg"):
            tar.add(root / name, f"in/{name}")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(*words: str, form: str) -> list[FileRecord]:
        options = ["--format", form, "--device", "cpu", "--verify", "decode", "--workers", "1", "--jobs", "1"]
        report = tmp_path / "report.jsonl"
        assert main(["recompress", *words, *options, "--report", str(report)]) == 0
        return list(read_records(report))

    return start


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE_FOLDER not in path.parts
    }


def is_named_right(name: str, data: bytes) -> bool:
    return format_of_name(name) == probe(data).format


@pytest.mark.parametrize("form", FORMATS)
def test_a_folder(folder: Path, tmp_path: Path, run: Run, form: str) -> None:
    out, sources = tmp_path / "out", files(folder)
    records = run(str(folder), str(out), form=form)
    assert {record.status for record in records} == {Status.RECOMPRESSED} and len(records) == 6
    assert {record.format for record in records} <= ({"jpeg", "webp", "avif"} if form == "auto" else {form})
    pictures = {name: data for name, data in files(out).items() if name != "d.tar"}
    assert len(pictures) == 4
    assert all(is_named_right(name, data) for name, data in pictures.items())
    with tarfile.open(out / "d.tar") as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    assert all(is_named_right(name, data) for name, data in members.items())
    assert [data for name, data in pictures.items() if name[0] in "ab"] == list(members.values())
    assert files(folder) == sources
    again = run(str(folder), str(out), form=form)
    assert {record.status for record in again} == {Status.SKIPPED}
    if form == "auto":
        for record in records:
            costs = record.settings["costs"]
            assert record.bytes_out == costs[record.format] == min(costs.values())


def test_one_format_after_another(folder: Path, tmp_path: Path, run: Run) -> None:
    for form in ("jpeg", "avif", "webp"):
        run(str(folder), str(tmp_path / "out"), form=form)
    run(str(folder), str(tmp_path / "fresh"), form="webp")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


@pytest.mark.parametrize("form", ["avif", "auto"])
def test_in_place_and_then_to_another_format(folder: Path, run: Run, form: str) -> None:
    run(str(folder), "--in-place", form=form)
    made = files(folder)
    assert all(is_named_right(name, data) for name, data in made.items() if name != "d.tar")
    assert len(made) == 5
    # Not even without the ledger: our own files are known by their marks.
    for words in ([], ["--state", str(folder.parent / "elsewhere")]):
        run(str(folder), "--in-place", *words, form="jpeg")
        assert files(folder) == made
