"""``imgcompress verify`` as it is typed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.cli.program import main

QUICK = ("--device", "cpu", "--loop.rounds", "0", "--jobs", "2", "--workers", "1")


@pytest.fixture
def out(tmp_path: Path, photo: torch.Tensor) -> Path:
    pixels = photo[:, 100:132, 150:198].permute(1, 2, 0).contiguous().numpy()
    (tmp_path / "in").mkdir()
    for index in range(2):
        Image.fromarray(np.roll(pixels, 8 * index, axis=1)).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"words")
    assert main(["recompress", str(tmp_path / "in"), str(tmp_path / "out"), *QUICK]) == 1
    return tmp_path / "out"


def verify(past: Path, *options: str) -> int:
    return main(["verify", str(past), *QUICK, *options])


def test_all_is_well(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert verify(out) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "ok 2" in " ".join(captured.err.split())
    assert "1 without an output" in captured.err


def test_only_faults_are_printed_and_count(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = out / ".imgcompress" / "report.jsonl"
    with report.open("a") as lines:
        lines.write("half a li")
    (out / "1.jpg").unlink()
    capsys.readouterr()
    assert verify(report, "--preset", "instant") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["missing", "damaged_line"]
    assert lines[0] == f"missing: {out / '1.jpg'}: there is no file" and "line 4" in lines[1]


def test_names_do_nothing_to_a_terminal(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = out / ".imgcompress" / "report.jsonl"
    report.write_text(report.read_text().replace("1.jpg", "\\u001b[31m\\n1.jpg"))
    capsys.readouterr()
    assert verify(report) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert line.endswith("\\x1b[31m\\n1.jpg: there is no file")


def test_json_has_a_line_an_output(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "1.jpg").write_bytes(b"words")
    capsys.readouterr()
    assert verify(out, "--json") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == ["output", "condition", "message", "scores", "promised"]
    assert (first["output"], first["condition"]) == (str(out / "0.jpg"), "ok")
    assert first["scores"]["ssimulacra2"] >= first["promised"]["ssimulacra2"]
    assert second["condition"] == "altered" and "were written" in second["message"]


def test_records_without_checksums_are_told_once(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = out.parent / "old.jsonl"
    lines = map(json.loads, (out / ".imgcompress" / "report.jsonl").open())
    new = ("sha256_in", "sha256_out", "promised", "dry_run")
    old.write_text(
        "".join(json.dumps({key: line[key] for key in line if key not in new}) + "\n" for line in lines)
    )
    capsys.readouterr()
    assert verify(old) == 0
    assert capsys.readouterr().err.count("2 without a checksum") == 1
    (out / "0.jpg").write_bytes(b"words")  # of another size
    assert verify(old) == 1
    assert capsys.readouterr().out.startswith("altered: ")


def test_a_dry_run_has_left_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (24, 24)).save(tmp_path / "0.png")
    report = tmp_path / "dry.jsonl"
    words = ["--dry-run", "--report", str(report), *QUICK]
    assert main(["recompress", str(tmp_path / "0.png"), str(tmp_path / "out"), *words]) == 0
    capsys.readouterr()
    assert verify(report) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "the report of a dry run" in captured.err


def test_a_closed_output_is_told(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert verify(out) == 2
    assert "it is closed" in capsys.readouterr().err


@pytest.mark.parametrize("past", ["nowhere", "in", "in/0.png"])
def test_wrong_usage(out: Path, capsys: pytest.CaptureFixture[str], past: str) -> None:
    assert verify(out.parent / past) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["verify"]) == 2
