"""The command: the same pictures, classes and notes in tars and Parquet, as webdataset and pyarrow see."""

import json
import sys
from pathlib import Path

import make_shards
import pytest
import webdataset
from pyarrow import parquet

from imgcompress.dataset.shards import open_shard

PICTURES = {"cats/b.png": b"one", "dogs/a.JPG": b"two", "dogs/x/c.webp": b"three", "top.png": b"four"}
CLASSES = {".": 0, "cats": 1, "dogs": 2, "dogs/x": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in PICTURES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "in" / "LICENSE.md").write_text("free")
    return tmp_path / "in"


def make(monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path) -> dict[str, bytes]:
    monkeypatch.setattr(sys, "argv", ["make_shards.py", str(folder), str(out), "--per-shard", "3"])
    make_shards.main()
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.*"))}


def test_both_hold_what_the_folder_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    files = make(monkeypatch, folder, out)
    assert list(files) == ["parquet/pictures.parquet", "webdataset/000000.tar", "webdataset/000001.tar"]
    assert make(monkeypatch, folder, tmp_path / "again") == files
    tars = [str(out / "webdataset" / f"00000{index}.tar") for index in range(2)]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    rows = parquet.read_table(out / "parquet" / "pictures.parquet").to_pylist()
    assert len(samples) == len(rows) == len(PICTURES)
    for index, (name, data) in enumerate(PICTURES.items()):
        label, note = CLASSES[str(Path(name).parent)], {"name": name, "bytes": len(data)}
        sample, row = samples[index], rows[index]
        assert sample[Path(name).suffix[1:].lower()] == row["image"]["bytes"] == data
        assert (int(sample["cls"]), json.loads(sample["json"])) == (label, note)
        assert (row["label"], json.loads(row["note"]), row["image"]["path"]) == (label, note, Path(name).name)
    for paths in (tars, [out / "parquet" / "pictures.parquet"]):
        members = [member for path in paths for member in open_shard(Path(path)).members()]
        assert [member.blob.read() for member in members if member.blob] == list(PICTURES.values())


def test_a_folder_without_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no pictures found"):
        make(monkeypatch, tmp_path, tmp_path / "out")
