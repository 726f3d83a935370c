"""Every way is timed, and a ratio says how many times as fast ours is."""

from pathlib import Path

import bench_compare
import pytest
import torch
from PIL import Image

pytest.importorskip("ssimulacra2", reason="the extra bench is not installed")


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    for index in range(9):
        crop = photo[:, 100:164, 40 * index : 40 * index + 96].permute(1, 2, 0).contiguous()
        Image.fromarray(crop.numpy()).save(tmp_path / f"{index}.png")
    return tmp_path


def test_every_way_takes_turns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_compare.main(
        [str(folder), "--crop", "64x64", "--metrics", "ssimulacra2,ssim,phash", "--rounds", "1"]
    )
    out = capsys.readouterr().out
    assert out.startswith("8 pairs of 64x64")
    rows = [line.split("  ")[0].strip() for line in out.splitlines()[2:11]]
    assert rows[:6] == ["ssimulacra2"] * 2 + ["ssim"] * 2 + ["phash + phash_color"] * 2
    for said in ("piq ssim, cpu, batch 8", "PyPI ssimulacra2, cpu, batch 1"):
        assert f"times as fast as {said}" in out


def test_dssim_is_run_where_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(folder), "--crop", "64x64", "--metrics", "psnr", "--rounds", "1"]
    monkeypatch.setenv("PATH", "")
    bench_compare.main(words)
    assert "dssim: no such program on PATH" in capsys.readouterr().out
    program = tmp_path / "programs" / "dssim"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ -s "$1" ] && [ -s "$2" ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    bench_compare.main(words)
    assert "dssim  " in capsys.readouterr().out


def test_ratios_are_of_rounds_that_belong_together() -> None:
    seconds = {
        ("ssimulacra2", "cpu", 8): [1.0, 10.0, 2.0],
        ("PyPI ssimulacra2", "cpu", 1): [6.0, 60.0, 8.0],
        ("psnr", "cpu", 1): [1.0, 1.0, 1.0],
    }
    assert bench_compare.ratios(seconds) == [
        "ssimulacra2, cpu, batch 8: 6.00 times as fast as PyPI ssimulacra2, cpu, batch 1 (4.00..6.00)"
    ]


def test_an_unknown_metric_and_small_pictures_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench_compare.main([str(folder), "--metrics", "ssimulacra3"])
    assert "--metrics: ssimulacra3: unknown; there are ssimulacra2, " in capsys.readouterr().err
    with pytest.raises(SystemExit, match="a picture is smaller than --crop 512x512"):
        bench_compare.main([str(folder)])
