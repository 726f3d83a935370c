"""What each kind of pair promises, looked at from outside: with Pillow's colors, and pixel by pixel."""

from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
import regressions
import torch
from PIL import Image
from rd.pictures import Pixels
from regression_pairs import colors, places
from regression_pairs.kinds import KINDS, make

PIXEL_KINDS = [kind for kind in KINDS if not kind.endswith(("-90", "-75"))]


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> Pixels:
    return photo[:, :320, :400].permute(1, 2, 0).contiguous().numpy()


def luma_and_hue(pixels: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pillow's luma, hue in degrees and strength of color."""
    planes = np.asarray(Image.fromarray(pixels).convert("YCbCr"), dtype=np.float64)
    blue, red = planes[..., 1] - 128, planes[..., 2] - 128
    return planes[..., 0], np.rad2deg(np.arctan2(red, blue)), np.hypot(blue, red)


def opened(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as image:
        return np.array(image)


@pytest.mark.parametrize("kind", PIXEL_KINDS)
def test_every_kind_is_the_same_each_time_and_differs_as_it_says(kind: str, pixels: Pixels) -> None:
    before = pixels.copy()
    made, again = make(kind, "one", pixels), make(kind, "one", pixels)
    assert made.test == again.test and np.array_equal(made.reference, again.reference)
    assert np.array_equal(pixels, before)
    test = opened(made.test)
    assert test.shape == made.reference.shape == pixels.shape
    assert np.array_equal(test, made.reference) == (kind == "harmless-metadata")


@pytest.mark.parametrize("degrees", [5, 30, 180])
def test_a_turned_hue_keeps_its_luma(pixels: Pixels, degrees: int) -> None:
    luma, hue, strength = luma_and_hue(pixels)
    new_luma, new_hue, new_strength = luma_and_hue(colors.turn_hue(pixels, degrees))
    assert np.abs(luma - new_luma).max() <= 1.0
    strong = (strength > 30) & (new_strength > 30)
    turned = (new_hue - hue - degrees + 180) % 360 - 180
    assert strong.sum() > 1000 and np.abs(np.median(turned[strong])) < 2.0  # whole numbers


def test_a_patch_is_one_square_of_color(pixels: Pixels) -> None:
    changed = colors.turn_patch(pixels, Random(1), 60)
    rows, columns = np.nonzero((changed != pixels).any(-1))
    assert np.ptp(rows) < 32 and np.ptp(columns) < 32 and len(rows) > 500


def test_chroma_lies_a_block_aside_and_luma_does_not(pixels: Pixels) -> None:
    luma, _, _ = luma_and_hue(pixels)
    shifted, _, _ = luma_and_hue(colors.shift_chroma(pixels))
    assert np.abs(luma - shifted).max() <= 1.0
    swapped = np.asarray(Image.fromarray(colors.swap_chroma(pixels)).convert("YCbCr"), dtype=np.int64)
    plain = np.asarray(Image.fromarray(pixels).convert("YCbCr"), dtype=np.int64)
    assert np.median(np.abs(swapped[..., 1] - plain[..., 2])) <= 1


def test_a_glitch_is_one_unit_on_the_grid(pixels: Pixels) -> None:
    rows, columns = np.nonzero((places.block_glitch(pixels, Random(2)) != pixels).any(-1))
    assert rows.min() // 16 == rows.max() // 16 and columns.min() // 16 == columns.max() // 16


def test_other_labels_change_only_where_labels_are(pixels: Pixels) -> None:
    for kind in ("regression-price-page", "regression-mark-moved-photo"):
        made = make(kind, "one", pixels)
        rows, columns = np.nonzero((opened(made.test) != made.reference).any(-1))
        assert 0 < np.ptp(rows) <= 20 and 0 < np.ptp(columns) <= 20


def test_the_command_writes_both_sides(pixels: Pixels, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(pixels).save(photos / "one.png")
    out = tmp_path / "out"
    regressions.main([str(out), str(photos), "--kinds", "harmless-jpeg-75,harmless-our-jpeg-75"])
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "harmless-jpeg-75/reference/one.png",
        "harmless-jpeg-75/test/one.jpg",
        "harmless-our-jpeg-75/reference/one.png",
        "harmless-our-jpeg-75/test/one.jpg",
    ]
    witness = pytest.importorskip("ssimulacra2", reason="the extra bench is not installed")

    for kind in ("jpeg-75", "our-jpeg-75"):
        files = [str(next((out / f"harmless-{kind}" / side).iterdir())) for side in ("reference", "test")]
        assert 70 < witness.compute_ssimulacra2(*files) < 80  # its values are lower by 1.4 on average


def test_a_small_photograph_and_an_unknown_kind_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "small.png")
    with pytest.raises(SystemExit, match="300x200 pixels are too few, 288 are needed"):
        regressions.main([str(tmp_path / "out"), str(tmp_path / "small.png")])
    with pytest.raises(SystemExit):
        regressions.main([str(tmp_path / "out"), str(tmp_path), "--kinds", "earthquake"])
    assert "--kinds: earthquake: unknown" in capsys.readouterr().err
