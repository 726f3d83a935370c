"""``imgcompress compare``, from files to exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from skimage import data

from imgcompress.cli.exits import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE
from imgcompress.cli.program import main

Capture = pytest.CaptureFixture[str]
Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "coffee.png"
    Image.fromarray(data.coffee()[:256, :320]).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path, photo_file: Path) -> Folders:
    """References, and tests: good.png is equal, bad.png has one patch in other colors, sub/jpeg is a JPEG."""
    reference, test = tmp_path / "reference", tmp_path / "test"
    for folder in (reference, test):
        (folder / "sub").mkdir(parents=True)
        shutil.copy(photo_file, folder / "good.png")
    for name in ("bad.png", "sub/jpeg.png"):
        shutil.copy(photo_file, reference / name)
    patched(photo_file, test / "bad.png")
    with Image.open(photo_file) as image:
        image.save(test / "sub/jpeg.jpg", quality=95, subsampling=0)
    return reference, test


def patched(source: Path, target: Path) -> Path:
    pixels = np.array(Image.open(source))
    pixels[64:96, 128:160] = pixels[64:96, 128:160, ::-1]
    Image.fromarray(pixels).save(target)
    return target


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    code = main(["compare", *map(str, arguments), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def error(capsys: Capture, *arguments: str | Path) -> str:
    assert main(["compare", *map(str, arguments)]) == EXIT_USAGE
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_equal_files_pass_every_profile(photo_file: Path, capsys: Capture) -> None:
    for profile in ("lossless", "visually-lossless", "high", "medium", "legacy"):
        code, [line] = run(capsys, photo_file, photo_file, "--profile", profile)
        assert (code, line["outcome"], line["failures"]) == (EXIT_OK, "passed", [])


def test_folders(folders: Folders, capsys: Capture) -> None:
    code, lines = run(capsys, *folders, "--metrics", "psnr,max_error,ms_ssim,phash")
    assert code == EXIT_SOME_FAILED
    bad, good, jpeg = lines
    assert [line["name"] for line in lines] == ["bad.png", "good.png", "sub/jpeg.png"]
    assert [line["outcome"] for line in lines] == ["failed", "passed", "passed"]
    assert jpeg["test"] == str(folders[1] / "sub/jpeg.jpg")
    assert good["scores"] == {"ssimulacra2": 100, "ms_ssim": 1, "psnr": 100, "max_error": 0, "phash": 0}
    window = bad["worst"]["ssimulacra2"][0]
    assert window["x"] < 160 and window["x"] + window["width"] > 128
    assert window["y"] < 96 and window["y"] + window["height"] > 64
    assert window["value"] == min(each["value"] for each in bad["worst"]["ssimulacra2"])
    assert f"in the window at ({window['x']}, {window['y']})" in bad["failures"][-1]
    assert (bad["width"], bad["height"]) == (320, 256)


def test_lines_for_people(folders: Folders, capsys: Capture) -> None:
    (folders[1] / "extra\x1b[31m.png").write_bytes((folders[1] / "good.png").read_bytes())
    assert main(["compare", *map(str, folders)]) == EXIT_SOME_FAILED
    out = capsys.readouterr().out
    assert "\x1b[31m.png" not in out
    assert "extra\\x1b[31m.png" in out
    assert out.splitlines()[-1] == "2 passed, 1 failed, 1 extra"
    bad = out.splitlines().index(
        next(line for line in out.splitlines() if line.startswith("failed  bad.png"))
    )
    assert "worst window by ssimulacra2 " in out.splitlines()[bad]
    assert "below 45" in out and "worst windows by ssimulacra2: " in out
    assert out.count("worst windows by") == 1  # where something is wrong


def test_missing_and_extra(folders: Folders, capsys: Capture) -> None:
    reference, test = folders
    (test / "good.png").rename(test / "new.png")
    code, lines = run(capsys, reference, test, "--threshold", "ssim=-1", "--allow-extra")
    assert code == EXIT_SOME_FAILED
    assert {line["name"]: line["outcome"] for line in lines} == {
        "bad.png": "passed",
        "good.png": "missing",
        "new.png": "passed",
        "sub/jpeg.png": "passed",
    }
    (reference / "good.png").unlink()
    assert run(capsys, reference, test, "--threshold", "ssim=-1")[0] == EXIT_SOME_FAILED
    assert run(capsys, reference, test, "--threshold", "ssim=-1", "--allow-extra")[0] == EXIT_OK


def test_thresholds_go_over_the_profile(folders: Folders, capsys: Capture) -> None:
    loose = ("--threshold", "ssimulacra2=-1000", "--worst-window", "ssimulacra2=-1000")
    assert run(capsys, *folders, "--profile", "high", *loose)[0] == EXIT_OK
    code, lines = run(capsys, *folders, "--threshold", "max_error=0")
    assert code == EXIT_SOME_FAILED
    assert [line["outcome"] for line in lines] == ["failed", "passed", "failed"]
    assert list(lines[0]["scores"]) == ["max_error"]


def test_what_is_ignored_is_not_compared(folders: Folders, tmp_path: Path, capsys: Capture) -> None:
    pair = [folder / "bad.png" for folder in folders]
    assert run(capsys, *pair, "--profile", "lossless", "--ignore", "128,64,32,32")[0] == EXIT_OK
    assert run(capsys, *pair, "--profile", "lossless", "--ignore", "128,64,31,32")[0] == EXIT_SOME_FAILED
    mask = np.full((256, 320), 255, np.uint8)
    mask[64:96, 128:160] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert run(capsys, *pair, "--profile", "lossless", "--mask", tmp_path / "mask.png")[0] == EXIT_OK


def test_what_cannot_be_compared(folders: Folders, capsys: Capture) -> None:
    reference, test = folders
    Image.new("RGB", (10, 20)).save(test / "good.png")
    whole = (test / "bad.png").read_bytes()
    (test / "bad.png").write_bytes(whole[: len(whole) // 2])
    code, [bad, good, jpeg] = run(capsys, *folders)
    assert code == EXIT_USAGE
    assert (bad["outcome"], good["outcome"], jpeg["outcome"]) == ("error", "error", "passed")
    assert "bad.png" in bad["error"] and "test" in bad["error"]
    assert good["error"] == "the pictures are 320 x 256 and 10 x 20 pixels"
    assert main(["compare", str(reference / "good.png"), str(test / "good.png")]) == EXIT_USAGE
    out = capsys.readouterr().out
    assert "the pictures are 320 x 256 and 10 x 20 pixels" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "lpips"], "--metrics: expected one of ssimulacra2, vgg"),
        (["--threshold", "ssim"], "--threshold: expected METRIC=VALUE"),
        (["--threshold", "ssimulacra2=101"], "--threshold: ssimulacra2 lies between"),
        (["--worst-window", "phash=3"], "--worst-window: phash is not taken in windows"),
        (["--profile", "better"], "--profile: expected one of"),
        (["--ignore", "1,2"], "--ignore: expected x,y,width,height"),
        (["--mask", "/none.png"], "--mask: /none.png: No such file"),
        (["--device", "cuda"], "device: cuda was asked for"),
    ],
)
def test_wrong_usage(photo_file: Path, options: list[str], message: str, capsys: Capture) -> None:
    if options[0] == "--device" and os.environ.get("REQUIRE_CUDA") == "1":
        pytest.skip("there is CUDA")
    assert message in error(capsys, photo_file, photo_file, *options)


def test_files_that_are_not_there(tmp_path: Path, photo_file: Path, capsys: Capture) -> None:
    assert "none.png: no such file" in error(capsys, photo_file, tmp_path / "none.png")
    assert "one is a folder" in error(capsys, photo_file, tmp_path)


def test_junit(folders: Folders, tmp_path: Path, capsys: Capture) -> None:
    report = tmp_path / "report.xml"
    assert run(capsys, *folders, "--junit", report)[0] == EXIT_SOME_FAILED
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")


def test_github(
    folders: Folders,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert main(["compare", *map(str, folders), "--github"]) == EXIT_SOME_FAILED
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("::error")]
    assert "2 of 3 pictures passed" in summary.read_text()


def test_drawings(folders: Folders, tmp_path: Path, capsys: Capture) -> None:
    reference, test = folders
    one = tmp_path / "one.png"
    assert run(capsys, reference / "bad.png", test / "bad.png", "--heatmap", one)[0] == EXIT_SOME_FAILED
    with Image.open(one) as image:
        assert image.width >= 3 * 256
    page = tmp_path / "page.html"
    code, _ = run(capsys, *folders, "--profile", "legacy", "--heatmap", tmp_path / "all", "--html", page)
    assert code == EXIT_OK
    drawn = sorted(path.relative_to(tmp_path / "all").as_posix() for path in (tmp_path / "all").rglob("*.*"))
    assert drawn == ["bad.png.png", "good.png.png", "sub/jpeg.png.png"]
    assert "3 of 3 passed" in page.read_text() and "<figure" not in page.read_text()
    assert run(capsys, *folders, "--html", page)[0] == EXIT_SOME_FAILED
    assert page.read_text().count("<figure") == 1


def test_what_cannot_be_drawn_is_compared_all_the_same(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr("imgcompress.comparison.drawings.draw_comparison", fail)
    monkeypatch.setattr("imgcompress.comparison.drawings.pack_pair", fail)
    words = ["compare", *map(str, folders), "--heatmap", str(tmp_path / "all")]
    assert main([*words, "--html", str(tmp_path / "page.html")]) == EXIT_SOME_FAILED
    told = capsys.readouterr()
    assert "2 passed, 1 failed" in told.out
    assert "bad.png cannot be drawn: MemoryError: no memory" in told.err
    assert "bad.png" in (tmp_path / "page.html").read_text()


def test_drawings_never_lie_among_the_pictures(folders: Folders, capsys: Capture) -> None:
    reference, test = folders
    assert "--heatmap" in error(capsys, *folders, "--heatmap", test / "maps")
    assert "--heatmap" in error(
        capsys, reference / "bad.png", test / "bad.png", "--heatmap", test / "bad.png"
    )
    assert "is a file" in error(capsys, *folders, "--heatmap", Path(__file__))


def test_an_icon_in_another_color_does_not_pass(tmp_path: Path, capsys: Capture) -> None:
    for name in ("white", "black"):
        Image.new("RGB", (24, 24), name).save(tmp_path / f"{name}.png")
    assert run(capsys, tmp_path / "white.png", tmp_path / "black.png")[0] == EXIT_SOME_FAILED


@pytest.mark.skipif(os.name != "posix", reason="pipes that close are POSIX's")
def test_whoever_reads_may_stop(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        for number in range(9):
            Image.new("RGB", (2, 2)).save(folder / f"{number}.png")
    words = [sys.executable, "-m", "imgcompress", "compare", str(tmp_path / "a"), str(tmp_path / "b")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait() == EXIT_USAGE
    assert b"output cannot be written" in process.stderr.read()


@pytest.mark.parametrize("option", ["--junit", "--html", "--heatmap"])
def test_nothing_is_written_over_a_picture(
    folders: Folders, option: str, tmp_path: Path, photo_file: Path, capsys: Capture
) -> None:
    reference, test = folders
    link = tmp_path / "link"
    link.symlink_to(reference)
    files = reference / "good.png", test / "good.png"
    for place in (reference / "good.png", link / "good.png", test / "../test/good.png"):
        assert option in error(capsys, *files, option, place)
        if option != "--heatmap":
            assert "one of the pictures" in error(capsys, *folders, option, place)
    assert all(file.read_bytes() == photo_file.read_bytes() for file in files)


def test_one_file_for_two_reports(folders: Folders, tmp_path: Path, capsys: Capture) -> None:
    said = error(capsys, *folders, "--junit", tmp_path / "x", "--html", tmp_path / "x")
    assert "--html" in said and "--junit" in said
    assert not (tmp_path / "x").exists()


def test_a_name_that_no_file_system_takes(folders: Folders, capsys: Capture) -> None:
    assert "name too long" in error(capsys, folders[0], "n" * 5000)
    assert "output" not in error(capsys, "n" * 5000, folders[1], "--update")


def test_update_accepts_what_did_not_pass(folders: Folders, photo_file: Path, capsys: Capture) -> None:
    reference, test = folders
    untouched = (reference / "sub/jpeg.png").stat().st_mtime_ns
    Image.fromarray(data.coffee()[:64, :64]).save(test / "new.png")
    Image.fromarray(data.coffee()[:64, :80]).save(test / "good.png")  # of another size
    assert main(["compare", *map(str, folders), "--update"]) == EXIT_OK
    for name in ("bad.png", "new.png", "good.png"):
        assert (reference / name).read_bytes() == (test / name).read_bytes()
    assert (reference / "sub/jpeg.png").stat().st_mtime_ns == untouched
    capsys.readouterr()
    assert run(capsys, *folders)[0] == EXIT_OK


def test_update_takes_nothing_broken_and_deletes_nothing(
    folders: Folders, photo_file: Path, capsys: Capture
) -> None:
    reference, test = folders
    (test / "bad.png").write_bytes(b"broken")
    (test / "good.png").unlink()
    assert main(["compare", *map(str, folders), "--update"]) == EXIT_SOME_FAILED
    for name in ("bad.png", "good.png"):
        assert (reference / name).read_bytes() == photo_file.read_bytes()
    assert "bad.png is not accepted" in capsys.readouterr().err


def test_update_takes_what_is_new_where_that_is_no_failure_too(folders: Folders, photo_file: Path) -> None:
    reference, test = folders
    shutil.copy(photo_file, test / "new.png")
    assert main(["compare", *map(str, folders), "--update", "--allow-extra"]) == EXIT_OK
    assert (reference / "new.png").read_bytes() == photo_file.read_bytes()


def test_update_takes_nothing_that_cannot_be_compared(folders: Folders, capsys: Capture) -> None:
    reference, test = folders
    with Image.open(test / "good.png") as image:
        image.convert("CMYK").save(test / "new.jpg")
    assert main(["compare", *map(str, folders), "--update"]) == EXIT_SOME_FAILED
    assert not (reference / "new.jpg").exists()
    assert "new.jpg is not accepted: the JPEG file is in CMYK" in capsys.readouterr().err


def test_update_takes_no_picture_for_a_mask_that_does_not_fit(
    folders: Folders, tmp_path: Path, capsys: Capture
) -> None:
    Image.new("L", (10, 10), 255).save(tmp_path / "mask.png")
    before = {path: path.read_bytes() for path in folders[0].rglob("*.png")}
    words = ["compare", *map(str, folders), "--mask", str(tmp_path / "mask.png"), "--update"]
    assert main(words) == EXIT_SOME_FAILED
    assert {path: path.read_bytes() for path in folders[0].rglob("*.png")} == before
    assert "the mask has 10 x 10 pixels" in capsys.readouterr().err


def test_smooth_pictures_have_no_hash_to_speak_of(tmp_path: Path, capsys: Capture) -> None:
    for name, level in (("black.png", 0), ("white.png", 255)):
        Image.new("RGB", (64, 64), (level,) * 3).save(tmp_path / name)
    paths = tmp_path / "black.png", tmp_path / "white.png"
    _, [line] = run(capsys, *paths, "--threshold", "phash=31")
    assert line["notes"] == ["both pictures are smooth: phash says nothing of them"]
    assert run(capsys, *paths, "--profile", "legacy")[0] == EXIT_SOME_FAILED


def test_update_to_another_format(folders: Folders, capsys: Capture) -> None:
    reference, test = folders
    assert main(["compare", *map(str, folders), "--update", "--profile", "lossless"]) == EXIT_OK
    assert (reference / "sub/jpeg.jpg").read_bytes() == (test / "sub/jpeg.jpg").read_bytes()
    assert not (reference / "sub/jpeg.png").exists()


@pytest.mark.parametrize(
    "names",
    [("v1.2", "v1.2", "v1.2"), ("v1.2", "v1.2.png", "v1.2.png"), ("x.webp", "x", "x")],
)
def test_update_to_a_name_that_is_paired(
    names: tuple[str, str, str], tmp_path: Path, photo_file: Path, capsys: Capture
) -> None:
    name, other, becomes = names
    folders = reference, test = tmp_path / "reference", tmp_path / "test"
    for folder in folders:
        folder.mkdir()
    shutil.copy(photo_file, reference / name)
    patched(photo_file, test / "patched.png").rename(test / other)
    assert main(["compare", *map(str, folders), "--update"]) == EXIT_OK
    assert [path.name for path in reference.iterdir()] == [becomes]
    capsys.readouterr()
    assert run(capsys, *folders, "--profile", "lossless")[0] == EXIT_OK


def test_update_makes_the_first_references(folders: Folders, tmp_path: Path, capsys: Capture) -> None:
    assert main(["compare", str(tmp_path / "made"), str(folders[1]), "--update"]) == EXIT_OK
    capsys.readouterr()
    assert run(capsys, tmp_path / "made", folders[1], "--profile", "lossless")[0] == EXIT_OK


def test_alpha_counts_over_every_background(tmp_path: Path, capsys: Capture) -> None:
    def save(name: str, gray: int, alpha: int) -> Path:
        pixels = np.full((64, 64, 4), gray, np.uint8)
        pixels[..., 3] = 255
        pixels[16:48, 16:48, 3] = alpha
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    reference, other = save("reference.png", 26, 255), save("other.png", 26, 0)
    # Over the dark background (.1) the two are alike.
    code, [line] = run(capsys, reference, other, "--profile", "medium")
    assert code == EXIT_SOME_FAILED
    assert line["notes"] == ["alpha: opaque in the reference, transparent in places in the test"]


def test_names_that_are_no_utf_8(tmp_path: Path, photo_file: Path, capsys: Capture) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(photo_file.read_bytes())
    assert main(["compare", *map(str, folders), "--junit", str(tmp_path / "j.xml")]) == EXIT_OK
    assert "\\udcff.png" in capsys.readouterr().out
    ElementTree.parse(tmp_path / "j.xml")


def test_a_fault_with_one_pair_spares_the_others(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from imgcompress.measure import Measure

    scores = Measure.scores

    def fragile(self: Measure, originals: Any, results: Any) -> list[dict[str, float]]:
        if any(
            (before.pixels != after.pixels).any() for before, after in zip(originals, results, strict=True)
        ):
            raise MemoryError("no memory")
        return scores(self, originals, results)

    monkeypatch.setattr(Measure, "scores", fragile)
    code, lines = run(capsys, *folders)
    assert code == EXIT_USAGE
    assert [line["outcome"] for line in lines] == ["error", "passed", "error"]
    assert "no memory" in lines[0]["error"]
