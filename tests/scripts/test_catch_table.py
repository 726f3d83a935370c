"""Shares of pairs that are caught; pixelmatch itself is stood in for by a module that counts plainly."""

import shutil
from pathlib import Path

import catch_table
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import UsageError

# Both libraries' calls, on files as they are: all pixels differ where a byte does.
PNGJS = "exports.PNG = { sync: { read: (data) => ({ data, width: data.readUInt32BE(16), height: 2 }) } };"
PIXELMATCH = """
export default function (first, second, output, width, height, { threshold }) {
  return first.equals(second) || threshold !== 0.1 || output !== null ? 0 : width * height;
}
"""


def save(folder: Path, kind: str, before: np.ndarray, after: np.ndarray, name: str) -> None:
    for side, pixels in (("reference", before), ("test", after)):
        (folder / kind / side).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / side / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path, photo: torch.Tensor) -> Path:
    pixels = photo[:, :128, 100:228].permute(1, 2, 0).contiguous().numpy()
    noisy = pixels ^ 1
    patched = pixels.copy()
    patched[32:64, 32:64] = 255 - patched[32:64, 32:64]
    save(tmp_path, "harmless-same", pixels, pixels, "one")
    save(tmp_path, "harmless-same", pixels, noisy, "two")
    save(tmp_path, "regression-patch", pixels, patched, "one")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_the_table_has_percent_of_pairs_and_means(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catch_table.main([str(folder), "--profiles", "lossless", "medium"])
    lines = capsys.readouterr().out.splitlines()
    assert "pixelmatch: left out, as --pixelmatch names no module" in lines
    assert lines[-6:] == [
        "| kind (pairs) | lossless | medium | SSIM >= 0.85 |",
        "|---|---:|---:|---:|",
        "| harmless-same (2) | 50 | 0 | 0 |",
        "| regression-patch (1) | 100 | 100 | 0 |",
        "| **false alarms, mean** | **50** | **0** | **0** |",
        "| **caught, mean** | **100** | **100** | **0** |",
    ]


def test_pixelmatch_is_asked_about_the_same_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    module = folder / "notes" / "pixelmatch"
    (module / "node_modules").mkdir(parents=True)
    (module / "package.json").write_text('{"type": "module"}')
    (module / "index.js").write_text(PIXELMATCH)
    (module / "node_modules" / "pngjs.js").write_text(PNGJS)
    (module / "node_modules" / "package.json").write_text('{"type": "commonjs"}')
    catch_table.main([str(folder), "--profiles", "lossless", "--pixelmatch", str(module)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-6] == "| kind (pairs) | lossless | SSIM >= 0.85 | pixelmatch, any | pixelmatch, > 0.1% |"
    assert lines[-4:-2] == [
        "| harmless-same (2) | 50 | 0 | 50 | 50 |",
        "| regression-patch (1) | 100 | 0 | 100 | 100 |",
    ]


def test_what_cannot_be_compared_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pairs; scripts/regressions makes them"):
        catch_table.main([str(folder / "notes")])
    with pytest.raises(UsageError, match=r"--pixelmatch: .*nowhere does not run"):
        catch_table.main([str(folder), "--profiles", "lossless", "--pixelmatch", str(tmp_path / "nowhere")])
    (folder / "regression-patch" / "test" / "one.png").unlink()
    with pytest.raises(UsageError, match="regression-patch/test"):
        catch_table.main([str(folder), "--profiles", "lossless"])
