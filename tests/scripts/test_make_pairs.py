"""The command: which photographs, which ladders, and what is said of encoders that are not there."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import make_pairs
import pytest
import rd.encoders
import torch
from PIL import Image

from imgcompress.errors import UsageError
from train.judgments import read_judgments


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, left in (("one.png", 0), ("two.jpg", 150), ("three.png", 300)):
        crop = photo[:, :200, left : left + 300].permute(1, 2, 0).contiguous()
        Image.fromarray(crop.numpy()).save(photos / name)
    (photos / "LICENSE.md").write_text("free")
    return photos


def test_photographs_are_found_by_suffix_and_held_out_by_name(folder: Path) -> None:
    assert [path.name for path in make_pairs.list_photos([folder], [])] == ["one.png", "three.png", "two.jpg"]
    assert [path.name for path in make_pairs.list_photos([folder], ["one", "two"])] == ["three.png"]


def test_a_misspelled_name_holds_nothing_out(folder: Path) -> None:
    with pytest.raises(UsageError, match="no such photograph: tow"):
        make_pairs.list_photos([folder], ["one", "tow"])


def test_an_encoder_that_is_not_installed_is_skipped_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_peers(package: str) -> str:
        if package in ("ajpegli", "pyvips-binary"):
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(rd.encoders, "version", without_peers)
    names = ["libjpeg-turbo", "mozjpeg", "jpegli", "chroma"]
    assert [ladder.name for ladder in make_pairs.ladders(names)] == ["libjpeg-turbo", "chroma"]
    said = capsys.readouterr().err
    assert "mozjpeg: the package pyvips-binary is not installed" in said
    assert "jpegli: the package ajpegli is not installed" in said


def test_the_command_writes_what_a_fit_reads(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--hold-out two --ladders libjpeg-turbo,blur --crop 96x64 --longest 200 --levels 2 --threshold 4"
    )
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["make_pairs.py", str(folder), "--out", str(out), *options.split()])
    make_pairs.main()
    judgments = read_judgments([out / "selfmade-ladder.csv"])
    assert {item.picture for item in judgments.items} == {"one", "three"}
    assert len(judgments.pairs) == 4
    assert f"{out / 'selfmade-ladder.csv'}: 4 pairs" in capsys.readouterr().out
    with Image.open(out / "one" / "reference.png") as reference:
        assert reference.size == (96, 64)


def test_an_unknown_ladder_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_pairs.py", str(folder), "--ladders", "blur,webp"])
    with pytest.raises(SystemExit):
        make_pairs.parse()
    assert "--ladders: webp: unknown; there are libjpeg-turbo, mozjpeg, jpegli" in capsys.readouterr().err
