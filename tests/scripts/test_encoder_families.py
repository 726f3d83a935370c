"""Signatures are made from what programs write, and judged on other pictures."""

import sys
from pathlib import Path

import encoder_families
import jpeg_makers
import make_signatures
import numpy as np
import pytest
import torch
import yaml
from jpeg_makers import Recipe
from PIL import Image

from imgcompress.errors import UsageError
from imgcompress.forensics.signatures import Signatures, read_family

PILLOW = jpeg_makers._PILLOW
RECIPES = (
    Recipe("libjpeg", "Pillow", jpeg_makers._pillow(""), PILLOW),
    Recipe("libjpeg", "Pillow, progressive", jpeg_makers._pillow(", progressive=True"), PILLOW),
    Recipe("mozjpeg", "lossless", jpeg_makers._lossless("quality=quality"), jpeg_makers._LOSSLESS),
    Recipe("mozjpeg", "shell", "cp {jpg} {target}", "echo cp 1"),
    Recipe("libjpeg", "Pillow, 4:4:4", jpeg_makers._pillow(", subsampling=0"), PILLOW, held_out=True),
    Recipe("guetzli", "absent", "no-such-program {png} {target}", "no-such-program --version"),
)


@pytest.fixture
def folder(photo: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = photo.permute(1, 2, 0).contiguous().numpy()
    for name, place in (("one", 0), ("two", 150)):
        Image.fromarray(np.ascontiguousarray(pixels[place:, place:])).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(jpeg_makers, "RECIPES", RECIPES)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, main: object, *words: object) -> None:
    assert callable(main)
    monkeypatch.setattr(sys, "argv", ["script", *map(str, words)])
    main()


def test_signatures_are_made_and_judged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = folder / "signatures"
    run(monkeypatch, make_signatures.main, folder, "--pictures", "one", "--qualities", 40, 80, "--out", made)
    assert "Not installed, and kept as they were: absent" in capsys.readouterr().out
    assert sorted(path.name for path in made.iterdir()) == ["libjpeg.yaml", "mozjpeg.yaml"]
    libjpeg = read_family(made / "libjpeg.yaml")
    assert [signature.name for signature in libjpeg.signatures] == ["Pillow", "Pillow, progressive"]
    pillow = libjpeg.signatures[0]
    assert pillow.command == "python:Image.open(png).save(target, 'JPEG', quality=quality)"
    assert pillow.version
    assert pillow.facts["sampling"] == {"2x2 1x1 1x1", "1x1"}
    assert pillow.facts["tables"] == {"libjpeg"}

    store = Signatures((libjpeg, read_family(made / "mozjpeg.yaml")))
    monkeypatch.setattr(encoder_families, "load_signatures", lambda extra: store)
    kept = folder / "kept"
    words = (folder, "--pictures", "two", "--qualities", 60, "--families", "libjpeg", "--made", kept)
    run(monkeypatch, encoder_families.main, *words)
    first = capsys.readouterr().out
    assert "Quality of Pillow's files: 100 of 100 exact." in first
    assert "Not installed, and left out: absent." in first
    assert "Family right: 6 of 6 (100.0 %)" in first
    assert len(list(kept.iterdir())) == 6
    run(monkeypatch, encoder_families.main, *words)
    assert capsys.readouterr().out == first


def test_signatures_of_programs_that_are_gone_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder / "signatures"
    made.mkdir()
    old = {"name": "absent", "version": "0", "command": "old", "facts": {"layout": ["SOS"]}}
    text = yaml.safe_dump({"family": "libjpeg", "title": "old", "signatures": [old]})
    (made / "libjpeg.yaml").write_text(text)
    words = ("--pictures", "one", "--qualities", 50, "--families", "libjpeg", "--out", made)
    run(monkeypatch, make_signatures.main, folder, *words)
    names = [signature.name for signature in read_family(made / "libjpeg.yaml").signatures]
    assert names == ["absent", "Pillow", "Pillow, progressive"]


def test_a_picture_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for main in (make_signatures.main, encoder_families.main):
        with pytest.raises(UsageError, match=r"none\.png is not there"):
            run(monkeypatch, main, folder, "--pictures", "none")


def test_a_program_that_fails_says_why(folder: Path, tmp_path: Path) -> None:
    ((picture, _), *_) = jpeg_makers.crops([folder / "one.png"], 32, 32, tmp_path)
    with pytest.raises(RuntimeError, match="no-such-program"):
        jpeg_makers.make(RECIPES[-1], picture, 50)


def test_a_slow_program_is_run_with_few_pictures(folder: Path, tmp_path: Path) -> None:
    pictures = jpeg_makers.crops([folder / "one.png", folder / "two.png"], 32, 32, tmp_path)
    slow = Recipe("libjpeg", "slow", "", "", slow=True, gray=False)
    found = list(jpeg_makers.tasks(slow, pictures, (10, 50, 90)))
    assert [quality for _, quality in found] == [10, 90, 10, 90]
    assert len(list(jpeg_makers.tasks(RECIPES[0], pictures, (10, 50, 90)))) == 12
