"""The benchmark's command line, on ours alone."""

import csv
import sys
from pathlib import Path

import bench_rd
import pytest
import torch
from PIL import Image

pytest.importorskip("ssimulacra2")
pytest.importorskip("matplotlib")


def test_ours_alone_against_the_first_of_them(
    photo: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    pixels = photo[:, 100:228, 150:310].permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(tmp_path / "in" / "one.png")
    words = [str(tmp_path / "in"), "--no-peers", "--qualities", "60,80", "--jobs", "1"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    for name, text in (("with", ""), ("without", "attention:\n  enabled: false\n"), ("same", "")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"loop:\n  rounds: 0\n{text}")
        words += ["--config", str(path)]
    monkeypatch.setattr(sys, "argv", ["bench_rd.py", *words])
    bench_rd.main()
    text = capsys.readouterr().out
    assert "| against ours: with | SSIMULACRA2 |" in text and "mozjpeg" not in text
    with (tmp_path / "out" / "rates.csv").open(newline="") as file:
        rates = {
            (row["encoder"], row["metric"]): float(row["bd_rate_percent"]) for row in csv.DictReader(file)
        }
    assert rates["ours: same", "ssimulacra2"] == 0 != rates["ours: without", "ssimulacra2"]
