import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE
from imgcompress.cli.program import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    coffee = Image.fromarray(data.coffee())
    coffee.save(folder / "a.png")
    coffee.save(folder / "b.jpg", quality=50)
    turned = coffee.transpose(Image.Transpose.ROTATE_90)  # what orientation 6 turns back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "c.jpg", quality=90, exif=exif)
    Image.fromarray(data.coffee()[..., ::-1].copy()).save(folder / "d.png")
    Image.fromarray(data.astronaut()).save(folder / "e.png")
    for name in ("white", "white too"):
        Image.new("RGB", (64, 64), "white").save(folder / f"{name}.png")
    Image.new("RGB", (64, 64), "black").save(folder / "x black.png")
    return folder


def _lines(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict]:  # type: ignore[type-arg]
    assert main(["hash", *map(str, arguments), "--json"]) == EXIT_OK
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_picture_has_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(capsys, folder)
    assert [Path(line["file"]).name[0] for line in lines] == list("abcdewwx")
    assert {(len(line["luma"]), len(line["color"])) for line in lines} == {(64, 128)}
    assert [line["quality"] for line in lines] == [100] * 5 + [0] * 3
    assert main(["hash", str(folder)]) == EXIT_OK
    shown = capsys.readouterr().out.splitlines()
    for line, text in zip(lines, shown, strict=True):
        expected = f"{line['luma']}  {line['color']}  {line['quality']:3}  {line['file']}"
        assert text == expected


def test_near_ones_are_paired(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = _lines(capsys, folder, "--near", "31")
    found = {Path(pair["first"]).name[0] + Path(pair["second"]).name[0]: pair for pair in pairs}
    assert found.keys() >= {"ab", "ac", "bc"}
    assert not any("e" in pair or "w" in pair or "x" in pair for pair in found)
    assert all(found[pair]["color"] <= 21 for pair in ("ab", "ac", "bc"))
    assert main(["hash", str(folder), "--near", "128"]) == EXIT_OK
    shown = capsys.readouterr().out.splitlines()
    (swapped,) = [line for line in shown if "a.png" in line and "d.png" in line]
    assert "other colors" in swapped
    assert all("same colors" in line for line in shown if "a.png" in line and "b.jpg" in line)


def test_hashes_of_before_are_searched(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before.jsonl"
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["hash", str(folder), str(tmp_path / "broken.jpg"), "--json"]) == EXIT_SOME_FAILED
    before.write_text(capsys.readouterr().out)
    image = Image.open(folder / "a.png")
    image.resize((300, 200)).save(tmp_path / "small.webp", quality=40)
    pairs = _lines(capsys, tmp_path / "small.webp", "--near", "31", "--against", before)
    assert {Path(pair["second"]).name for pair in pairs} >= {"a.png", "b.jpg", "c.jpg"}
    assert {Path(pair["first"]).name for pair in pairs} == {"small.webp"}


def test_what_cannot_be_read_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    Image.new("CMYK", (40, 40)).save(tmp_path / "cmyk.jpg")
    listed = tmp_path / "list.txt"
    (tmp_path / "many.tar").write_bytes(bytes(10240))
    listed.write_text(f"missing.jpg\npipe.jpg\n{folder / 'a.png'}\ncmyk.jpg\nmany.tar\n")
    assert main(["hash", str(listed)]) == EXIT_SOME_FAILED
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    missing, pipe, cmyk, shard = printed.err.splitlines()
    assert "many.tar: a shard" in shard
    assert "missing.jpg: No such file" in missing
    assert "pipe.jpg: not a regular file" in pipe
    assert "cmyk.jpg" in cmyk and "CMYK" in cmyk
    assert main(["hash", str(listed), "--json"]) == EXIT_SOME_FAILED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in line for line in lines] == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--near", "-1"], "--near"),
        (["--near", "257"], "--near"),
        (["--near", "nan"], "near"),
        (["--against", "hashes.jsonl"], "--against"),
        (["--near", "31", "--against", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_absurd_words_are_a_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["hash", str(folder / "a.png"), *words]) == EXIT_USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "7",
        '{"file": "a", "luma": "00", "color": "00", "quality": 3}',
        '{"file": "a", "luma": 1, "color": 2, "quality": 3}',
        '{"file": "a"}',
    ],
)
def test_what_holds_no_hashes_is_named_with_its_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    path = tmp_path / "known.jsonl"
    path.write_text(f'{{"file": "x", "error": "broken"}}\n{line}\n')
    assert main(["hash", str(folder / "a.png"), "--near", "31", "--against", str(path)]) == EXIT_USAGE
    assert "known.jsonl, line 2" in capsys.readouterr().err.replace("\n", "")


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "\x1b[31m\n:heart:.png")
    (tmp_path / "\x1b[32m.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["hash", str(tmp_path)]) == EXIT_SOME_FAILED
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert r"\x1b[31m\n:heart:.png" in printed.out
