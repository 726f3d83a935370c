import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE
from imgcompress.cli.program import main


def _jpeg(path: Path, *qualities: int, **options: object) -> Path:
    picture = data.coffee()
    for quality in qualities:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality, **options)
        picture = np.array(Image.open(buffer))
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    _jpeg(folder / "a.jpg", 90)
    _jpeg(folder / "b.jpg", 40, 92)
    whole = (folder / "a.jpg").read_bytes()
    (folder / "c.jpg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(data.coffee()).save(folder / "d.png")
    return folder


def _lines(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict]:  # type: ignore[type-arg]
    assert main(["inspect", *map(str, arguments), "--json"]) == EXIT_OK
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_is_described_file_by_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single, double, broken, original = _lines(capsys, folder)
    assert [Path(each["file"]).name for each in (single, double, broken, original)] == [
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "d.png",
    ]
    assert single["bytes"] == (folder / "a.jpg").stat().st_size
    assert (single["width"], single["height"], single["format"]) == (600, 400, "jpeg")
    assert single["bits_per_pixel"] == pytest.approx(8 * single["bytes"] / 240_000, abs=1e-4)
    assert single["quality"]["luma"]["quality"] == 90
    assert single["quality"]["exact"] is True
    assert single["psnr"]["rgb"]["low"] <= single["psnr"]["rgb"]["psnr"] <= single["psnr"]["rgb"]["high"]
    assert single["earlier_compression"] is None
    assert double["quality"]["luma"]["quality"] == 92
    assert double["earlier_compression"]["quality"] == pytest.approx(40, abs=2)
    assert double["score"] < single["score"] < original["score"]
    assert [each["about"] for each in broken["findings"]].count("damage") >= 1
    assert broken["score"] is None
    assert original["jpeg"] is None
    assert original["advice"]["recompress"] is True


def test_the_advice_is_about_what_instant_really_saves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = _lines(capsys, folder / "d.png", "--target", "ssimulacra2=80")
    words = ["--preset", "instant", "--target", "ssimulacra2=80"]
    assert main(["recompress", str(folder / "d.png"), str(tmp_path), *words]) == EXIT_OK
    capsys.readouterr()
    saved = 100 * (1 - (tmp_path / "d.jpg").stat().st_size / (folder / "d.png").stat().st_size)
    assert said["advice"]["savings"] == pytest.approx(saved, abs=0.1)


def test_headers_alone_tell_quality_and_encoder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(capsys, folder, "--headers-only")
    assert [line["width"] for line in lines] == [600] * 4
    assert lines[0]["quality"]["luma"]["quality"] == 90
    assert "libjpeg-turbo" in lines[0]["encoders"][0]["title"]
    assert all(line["score"] is None for line in lines)


def test_one_picture_gets_a_panel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "b.jpg")]) == EXIT_OK
    shown = " ".join(word for word in capsys.readouterr().out.split() if word != "│")
    for words in (
        "600 x 400",
        "libjpeg's of quality 92",
        "PSNR",
        "nearest to libjpeg's quality 40",
        "advice",
    ):
        assert words in shown


def test_many_pictures_get_a_line_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder)]) == EXIT_OK
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_histograms_are_drawn(folder: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "plot.png"
    assert main(["inspect", str(folder / "b.jpg"), "--plot", str(drawing)]) == EXIT_OK
    with Image.open(drawing) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 3


@pytest.mark.parametrize("name", ["", "d.png"])
def test_histograms_of_anything_but_one_jpeg_are_an_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    drawing = tmp_path / "plot.png"
    assert main(["inspect", str(folder / name), "--plot", str(drawing)]) == EXIT_USAGE
    assert "--plot" in capsys.readouterr().err
    assert not drawing.exists()


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path / 'missing.jpg'}\n{folder / 'a.jpg'}\n")
    assert main(["inspect", str(listed), "--json", "--headers-only"]) == EXIT_SOME_FAILED
    missing, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert "missing.jpg" in missing["file"]
    assert missing["error"]
    assert found["width"] == 600


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "a.jpg"
    os.mkfifo(pipe)
    for headers in ([], ["--headers-only"]):
        assert main(["inspect", str(pipe), "--json", *headers]) == EXIT_SOME_FAILED
        assert json.loads(capsys.readouterr().out)["error"] == "not a regular file"


def test_a_link_to_a_picture_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(folder / "a.jpg")
    assert main(["inspect", str(tmp_path), "--headers-only"]) == EXIT_OK


def test_a_drawing_that_cannot_be_written_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folder / "a.jpg"), "--plot", str(tmp_path)]) == EXIT_USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_a_drawing_does_not_replace_its_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "a.jpg").read_bytes()
    assert main(["inspect", str(folder / "a.jpg"), "--plot", str(folder / "a.jpg")]) == EXIT_USAGE
    assert "--plot" in capsys.readouterr().err
    assert (folder / "a.jpg").read_bytes() == before


def test_names_and_comments_cannot_command_the_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        target = tmp_path / f":heart:\x1b[31m\n{number}[bold].jpg"
        Image.open(folder / "a.jpg").save(target, comment=b"\x1b]0;mine\x07")
    for paths in ([tmp_path], [target]):
        assert main(["inspect", *map(str, paths), "--headers-only"]) == EXIT_OK
        shown = "".join(capsys.readouterr().out.replace("│", "").split())
        assert "\x1b" not in shown
        assert r":heart:\x1b[" in shown


def test_a_file_of_unknown_size_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    assert main(["inspect", str(tmp_path), "--headers-only"]) == EXIT_OK
    assert "None" not in capsys.readouterr().out


def test_signatures_may_stand_before_the_pictures(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "family: mine\ntitle: Mine\nsignatures: [{name: a, version: b, command: c, facts: {jfif: [x]}}]"
    )
    words = ["--signatures", str(mine), "--signatures", str(mine), str(folder / "a.jpg"), "--headers-only"]
    assert main(["inspect", *words]) == EXIT_OK


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_said(folder: Path) -> None:
    words = [sys.executable, "-m", "imgcompress", "inspect", str(folder), "--headers-only", "--json"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == EXIT_USAGE
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


def test_nothing_there_is_a_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nothing")]) == EXIT_USAGE
    assert "nothing" in capsys.readouterr().err


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["corrupt", "weird"])
def test_hostile_files_are_described_not_failed(
    shared: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    files = [path for path in sorted((shared / "formats" / kind).rglob("*")) if path.is_file()]
    for headers in ([], ["--headers-only"]):
        lines = _lines(capsys, shared / "formats" / kind, "--limits.max_megapixels", "0.5", *headers)
        assert len(lines) > 0.5 * len(files)
