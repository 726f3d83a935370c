"""Files of known PSNR, the fit to them and the table: tiny cases."""

import sys
from pathlib import Path

import fit_psnr
import numpy as np
import psnr_table
import pytest
from PIL import Image
from psnr.report import Judged, error_table
from psnr.samples import originals, samples
from skimage import data


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(data, name)()[:192, :256]).save(folder / f"{name}.png")
    Image.fromarray(data.coffee()).save(folder / "lossy.jpg")
    return folder


def test_jpegs_are_shrunk_before_they_count_as_originals(photographs: Path) -> None:
    found = originals([photographs], (96, 400), None)
    assert [each.name for each in found] == ["astronaut", "chelsea", "coffee", "lossy", "lossy"]
    assert [each.pixels.shape[:2] for each in found[2:]] == [(192, 96), (134, 96), (80, 96)]
    with pytest.raises(SystemExit, match="no photographs"):
        originals([photographs], None, 0)


def test_a_samples_truth_is_what_pillow_decodes(photographs: Path) -> None:
    picture = originals([photographs], None, 1)[0]
    low, high = samples([picture], (30, 90), ("libjpeg-turbo",), ("444",))
    assert low.luma < high.luma and low.rgb < high.rgb
    assert low.luma > low.rgb
    assert low.histograms.shape == (3, 64, 2047) and low.histograms[0, 0].sum() == 24 * 32


def test_the_table(photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    line = f"x {photographs} --limit 2 --qualities 40,90 --encoders libjpeg-turbo --subsamplings 420"
    monkeypatch.setattr(sys, "argv", line.split())
    psnr_table.main()
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("|")]
    assert [row.split(" | ")[1:3] for row in rows[2:]] == [
        ["40", "2"],
        ["90", "2"],
        ["all", "4"],
        ["all", "4"],
    ]


def test_a_rows_figures() -> None:
    files = [
        Judged("x", 50, 1.0, -1.0, 2.0, 0.0, 1.0, 2.0, 3.0),
        Judged("x", 50, -2.0, -4.0, 0.0, 0.0, -1.0, 2.0, -5.0),
    ]
    row = error_table(files).splitlines()[2]
    assert row == "| x | 50 | 2 | 1.50 | -0.50 | 100 % | 3.5 | 0.00 | +0.00 | 50 % | 2.0 | 4.00 | -1.00 |"


def test_a_fit_is_written_and_read(photographs: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    written = tmp_path / "psnr.safetensors"
    monkeypatch.setattr(fit_psnr, "QUALITIES", (40, 90))
    monkeypatch.setattr(fit_psnr, "ENCODER_NAMES", ("libjpeg-turbo",))
    monkeypatch.setattr("psnr.fitting._STEPS", 20)
    monkeypatch.setattr(sys, "argv", ["x", str(photographs), "--output", str(written)])
    fit_psnr.main()
    assert "out of fold" in capsys.readouterr().out
    line = f"x {photographs} --limit 1 --qualities 75 --encoders libjpeg-turbo --fit {written}"
    monkeypatch.setattr(sys, "argv", line.split())
    psnr_table.main()
    cells = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert np.isfinite(float(cells[3]))
