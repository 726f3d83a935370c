import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import imgcompress.cli.recompress as module
from imgcompress import __version__
from imgcompress.cli.program import main
from imgcompress.compressor import Compressor, Source
from imgcompress.config import AvifConfig, Config, LoopConfig, WebpConfig, load_config
from imgcompress.resources import resource_path

KEYS = [
    "source", "output", "status", "reason", "format", "width", "height", "bytes_in", "bytes_out", "scores",
    "settings", "seconds", "error", "was", "sha256_in", "sha256_out", "promised", "dry_run",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    pixels = photo[:, 100:132, 150:198].permute(1, 2, 0).contiguous().numpy()
    for index in range(3):
        Image.fromarray(np.roll(pixels, 8 * index, axis=1)).save(root / f"{index}.png")
    return root


QUICK = ("--device", "cpu", "--verify", "decode", "--max-encodes", "1", "--loop.rounds", "0")


def recompress(folder: Path, *options: str) -> int:
    return main(["recompress", str(folder), str(folder.parent / "out"), *QUICK, *options])


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_all_went_well(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "reports" / "report.jsonl"
    assert recompress(folder, "--report", str(report), "--quality", "50", "--batch-size=2") == 0
    lines = report.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    for index, line in enumerate(lines):
        values = json.loads(line)
        assert list(values) == KEYS
        assert values["source"] == str(folder / f"{index}.png")
        assert values["output"] == str(tmp_path / "out" / f"{index}.jpg")
        assert (values["status"], values["settings"]["quality"]) == ("recompressed", 50)
        assert Path(values["output"]).stat().st_size == values["bytes_out"]
        assert Image.open(values["output"]).size == (48, 32)
    config = load_config(tmp_path / "reports" / "report.config.yaml")
    assert config == Config(
        quality=50, batch_size=2, device="cpu", verify="decode", max_encodes=1, loop=LoopConfig(rounds=0)
    )
    summary = error_of(capsys)
    assert "3 recompressed" in summary and "peak memory" in summary


def test_some_failed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.jpg").write_bytes(b"words")
    report = tmp_path / "report.jsonl"
    assert recompress(folder, "--report", str(report)) == 1
    assert f"failed: {folder / 'bad.jpg'}: " in error_of(capsys)
    statuses = [json.loads(line)["status"] for line in report.read_text().splitlines()]
    assert statuses == ["recompressed"] * 3 + ["failed"]


def test_skipping_and_overwriting_and_trying(folder: Path, tmp_path: Path) -> None:
    assert recompress(folder, "--dry-run") == 0
    assert not (tmp_path / "out").exists()
    assert recompress(folder) == 0
    before = (tmp_path / "out" / "1.jpg").read_bytes()
    (tmp_path / "out" / "1.jpg").write_bytes(b"mine")
    assert recompress(folder, "--quality", "20") == 0
    assert (tmp_path / "out" / "1.jpg").read_bytes() == b"mine"
    assert recompress(folder, "--quality", "20", "--overwrite") == 0
    assert 4 < len((tmp_path / "out" / "1.jpg").read_bytes()) < len(before)


def test_a_second_run_says_that_it_did_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recompress(folder)
    capsys.readouterr()
    assert recompress(folder) == 0
    assert "3 skipped" in error_of(capsys)
    assert recompress(folder, "--resume=false") == 0
    assert "3 recompressed" in error_of(capsys)


def test_the_ledger_is_shown(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.jpg").write_bytes(b"words")
    recompress(folder, "--state", str(tmp_path / "state"))
    assert not (tmp_path / "out" / ".imgcompress").exists()
    assert len((tmp_path / "state" / "report.jsonl").read_text().splitlines()) == 4
    capsys.readouterr()
    assert main(["ledger", str(tmp_path / "state"), "--json"]) == 0
    totals = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(t["status"], t["reason"], t["pictures"]) for t in totals] == [
        ("recompressed", "smaller", 3), ("failed", "decode_error", 1),
    ]  # fmt: skip
    assert totals[0]["bytes_in"] == sum((folder / f"{n}.png").stat().st_size for n in range(3))
    assert main(["ledger", str(tmp_path / "state")]) == 0
    assert "decode_error" in capsys.readouterr().out
    assert main(["ledger", str(tmp_path / "state"), "--status=failed"]) == 0
    assert capsys.readouterr().out.startswith("bad.jpg: decode_error, ")
    assert main(["ledger", str(tmp_path / "state"), "--status=recompressed", "--json"]) == 0
    assert [json.loads(line)["width"] for line in capsys.readouterr().out.splitlines()] == [48] * 3
    assert main(["ledger", str(folder)]) == 2
    assert "there is no ledger" in error_of(capsys)


@pytest.mark.parametrize("preset", ["instant", "balanced"])
def test_maps_are_saved_whatever_the_preset(preset: str, folder: Path, tmp_path: Path) -> None:
    words = ["recompress", str(folder), str(tmp_path / "out"), "--device=cpu", "--verify=decode"]
    assert main([*words, "--preset", preset, "--save-map", str(tmp_path / "maps")]) == 0
    saved = sorted((tmp_path / "maps").iterdir())
    assert [path.name for path in saved] == ["0.png.png", "1.png.png", "2.png.png"]
    assert all(Image.open(path).size == (48, 32) for path in saved)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--frobnicate"], "frobnicate"),
        (["--qualty=3"], "qualty"),
        (["--quality=fine"], "quality"),
        (["--quality=0"], "quality"),
        (["--quality=null"], "quality"),
        (["--subsampling=411"], "subsampling"),
        (["--limits.max-megapixels=-3"], "limits.max_megapixels"),
        (["--limits=3"], "limits"),
        (["--attention.scale-weights=[1,2]"], "attention.scale_weights"),
        (["--config=missing.yaml"], "missing.yaml"),
        (["a third place"], "a third place"),
    ],
)
def test_wrong_options_are_named(
    options: list[str], named: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recompress(folder, *options) == 2
    assert named in error_of(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("qualty: 3", "qualty"),
        ("limits:\n  foo: 3", "limits.foo"),
        ("quality: fine", "quality"),
        ("quality: null", "quality"),
        ("quality: 500", "quality"),
        ("limits: 3", "limits"),
        ("jpeg: null", "jpeg"),
        ("jpeg:\n  progressive: 3", "jpeg.progressive"),
        ("quality: [", "config"),
        ("- a", "config"),
        (b"\xff\xfe", "--config"),
    ],
)
def test_wrong_files_of_settings(
    text: str | bytes, named: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert recompress(folder, "--config", str(path)) == 2
    assert named in error_of(capsys)


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["recompress"], ["--frobnicate"]])
def test_wrong_words(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "error" in error_of(capsys)


def test_wrong_places(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, destination, named in (
        (tmp_path / "missing", tmp_path / "out", "missing: no such file"),
        (empty, tmp_path / "out", "empty: no pictures"),
        (folder, folder / "out", "inside the source"),
        (folder, folder, "own folder"),
        (folder, folder / "0.png", "not a folder"),
        (tmp_path / ("x" * 300), tmp_path / "out", "too long"),
    ):
        assert main(["recompress", str(source), str(destination)]) == 2
        assert named in error_of(capsys)
    assert recompress(folder, "--save-map", str(folder / "maps")) == 2
    assert "folder of maps lies inside the source" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recompress(folder, "--report", str(folder / "0.png" / "report.jsonl")) == 2
    assert "the report cannot be written" in error_of(capsys)
    assert not list((tmp_path / "out").glob("*.jpg"))


def test_a_file_of_settings_and_options_over_it(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("quality: 31\nsubsampling: '444'\njpeg:\n  progressive: false\n")
    report = tmp_path / "report.jsonl"
    options = ["--config", str(path), "--subsampling", "422", "--report", str(report)]
    assert recompress(folder, *options) == 0
    config = load_config(tmp_path / "report.config.yaml")
    assert (config.quality, config.subsampling, config.jpeg.progressive) == (31, "422", False)
    image = Image.open(tmp_path / "out" / "0.jpg")
    assert "progressive" not in image.info and image.layer[0][1:3] == (2, 1)


@pytest.mark.parametrize("name", ["instant", "fast", "balanced", "best"])
@pytest.mark.parametrize("form", ["--preset {}", "--preset={}"])
def test_a_preset_is_its_file(form: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recompress", *form.format(name).split(" "), "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    config = load_config(resource_path(f"configs/presets/{name}.yaml"))
    assert {key: printed[key] for key in ("max_encodes", "loop", "objective")} == {
        key: yaml.safe_load(config.to_yaml())[key] for key in ("max_encodes", "loop", "objective")
    }
    assert "preset" not in printed


def test_files_and_options_go_over_a_preset_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("loop:\n  rounds: 5\n")
    for options in (
        ["--config", str(path), "--loop.shift=0.01", "--preset", "balanced"],
        ["--preset=balanced", "--loop.shift=0.01", "--config", str(path)],
    ):
        assert main(["recompress", *options, "--print-config"]) == 0
        loop = yaml.safe_load(capsys.readouterr().out)["loop"]
        assert loop["rounds"] == 5
        assert loop["shift"] == (0.01 if options[0] == "--config" else loop["shift"])


@pytest.mark.parametrize("form", ["--perceptual-weights {}", "--perceptual-weights={}"])
def test_perceptual_weights_is_short_for_the_setting(
    form: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fitted.safetensors"
    words = form.format(path).split(" ")
    assert main(["recompress", *words, "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["perception"]["weights"] == str(path)
    assert recompress(folder, *words, "--verify", "vgg") == 2
    assert str(path) in error_of(capsys)


def test_a_preset_runs(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    words = ["recompress", str(folder), str(tmp_path / "out"), "--device=cpu", "--verify=decode"]
    assert main([*words, "--preset", "instant", "--report", str(report)]) == 0
    assert load_config(tmp_path / "report.config.yaml") == Config(
        device="cpu",
        verify="decode",
        max_encodes=1,
        loop=LoopConfig(rounds=0),
        avif=AvifConfig(speed=8),
        webp=WebpConfig(method=4),
    )


@pytest.mark.parametrize("words", [["--preset", "slow"], ["--preset=slow"], ["--preset="], ["--preset"]])
def test_presets_that_there_are_not(
    words: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recompress(folder, *words) == 2
    error = error_of(capsys)
    assert "--preset" in error and "balanced, best, fast, instant" in error
    assert not (tmp_path / "out").exists()


def test_a_preset_goes_with_an_export(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--preset", "instant"]) == 2
    assert "--onnx or --pt2" in error_of(capsys)


def test_a_file_of_settings_names_no_preset(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("preset: best\n")
    assert recompress(folder, "--config", str(path)) == 2
    assert "preset" in error_of(capsys)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--target=beauty=3"], "target: expected METRIC=VALUE"),
        (["--target=psnr=40"], "target: psnr=40 needs a search"),
        (["--max-bytes=2000"], "max_bytes: it needs a search"),
    ],
)
def test_targets_that_cannot_be(
    options: list[str], named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recompress(folder, *options) == 2
    assert named in error_of(capsys)


def test_the_printed_settings_are_a_file_of_settings(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recompress", "--quality", "31", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["quality"] == 31
    assert not {"source", "destination"} & set(yaml.safe_load(printed))
    path = tmp_path / "printed.yaml"
    path.write_text(printed)
    assert recompress(folder, "--config", str(path), "--report", str(tmp_path / "report.jsonl")) == 0
    assert load_config(tmp_path / "report.config.yaml").quality == 31


def test_help_spells_options_with_hyphens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recompress", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in ("--batch-size", "--dry-run", "--limits.max-megapixels", "--print-config", "SRC", "DST"):
        assert option in shown
    assert "--batch_size" not in shown
    assert "1 (smallest) to 100" in " ".join(shown.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"imgcompress {__version__}\n"


def test_names_that_look_like_options(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "--in-here")
    assert main(["recompress", "--device=cpu", "--verify=decode", "--", "--in-here", "out-there"]) == 0
    assert len(list((tmp_path / "out-there").glob("*.jpg"))) == 3


def test_the_first_interrupt_finishes_what_is_in_flight(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compress, handler = Compressor.compress, signal.getsignal(signal.SIGINT)

    def interrupted(self: Compressor, sources: list[Source], pool: object) -> object:
        if sources and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return compress(self, sources, pool)

    for number in range(3, 20):
        shutil.copy(folder / "0.png", folder / f"{number}.png")
    monkeypatch.setattr(Compressor, "compress", interrupted)
    slow = ("--batch-size=1", "--jobs=1", "--workers=1", "--limits.in-flight-megapixels=0.001")
    assert recompress(folder, *slow) == 130
    assert "interrupted; the same command goes on" in error_of(capsys)
    written = len(list((tmp_path / "out").glob("*.jpg")))
    assert 1 <= written <= 8
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    assert recompress(folder) == 0
    assert f"{written} skipped, {20 - written} recompressed" in error_of(capsys)
    assert recompress(folder) == 0
    assert "nothing to do" in error_of(capsys)


def test_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupt)
    assert recompress(folder) == 130
    assert "interrupted" in error_of(capsys)


def test_help_does_not_wait_for_the_tensor_library() -> None:
    script = "import sys; from imgcompress.cli.program import main; main(['recompress', '--help']);"
    script += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recompress", str(folder), str(folder.parent / "out"), "--device", "cuda"]) == 2
    assert "device: cuda" in error_of(capsys)


@pytest.mark.shared
def test_kodak_as_libjpeg_does_it(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--quality=75", "--quantization.tables=ijg", "--quantization.dead-zone=none",
        "--jpeg.progressive=false", "--mark=false",
        "--verify=decode", "--device=cpu",
    ]  # fmt: skip
    picture = sorted((shared / "photos" / "kodak").iterdir())[0]
    assert main(["recompress", str(picture), str(out), *options]) == 0
    (result,) = out.glob("*.jpg")
    source, buffer = Image.open(picture).convert("RGB"), io.BytesIO()
    source.save(buffer, "JPEG", quality=75, optimize=True)
    assert result.stat().st_size == pytest.approx(len(buffer.getvalue()), rel=0.01)

    def psnr(data: io.BytesIO | Path) -> float:
        error = (np.asarray(Image.open(data), dtype=float) - np.asarray(source, dtype=float)) ** 2
        return float(10 * np.log10(255**2 / error.mean()))

    assert psnr(result) == pytest.approx(psnr(buffer), abs=0.05)


def test_a_selection(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recompress(folder, "--exclude", "1*", "--limit", "1") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["0.jpg"]
    assert recompress(folder, "--include", "1.*", "2.*", "--sample=1", "--dry-run") == 0
    capsys.readouterr()
    assert recompress(folder, "--include", "nothing") == 2
    assert "selection leaves none" in error_of(capsys)


def test_places_in_place(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = folder / "list.txt"
    listed.write_text("0.png\n")
    for words, named in (
        ([str(folder)], "DST"),
        ([str(folder), str(tmp_path / "out"), "--in-place"], "no DST"),
        ([str(folder), str(tmp_path / "out"), "--backup", str(tmp_path / "backup")], "--backup"),
        *(
            ([str(source), "--in-place", "--backup", str(place)], "lie one inside the other")
            for source in (folder, folder / "0.png", listed)
            for place in (folder, folder / "backup", tmp_path)
        ),
    ):
        assert main(["recompress", *words]) == 2
        assert named in error_of(capsys)


def test_in_place(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = ["recompress", str(folder), "--in-place", "--backup", str(tmp_path / "backup"), *QUICK]
    assert main(words) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "backup").iterdir()} == before
    assert sorted(path.name for path in folder.glob("*.*g")) == ["0.jpg", "1.jpg", "2.jpg"]
    capsys.readouterr()
    assert main(words) == 0
    assert "nothing to do" in error_of(capsys)


def test_a_mark_left_out(folder: Path, tmp_path: Path) -> None:
    assert recompress(folder, "--no-mark") == 0
    assert b"imgcompress" not in (tmp_path / "out" / "0.jpg").read_bytes()


def test_a_sample_tells_of_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recompress(folder, "--sample=2", "--dry-run") == 0
    assert "of all 3 pictures" in error_of(capsys)
