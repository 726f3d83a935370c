import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from imgcompress.errors import PictureError, UsageError
from imgcompress.testing import assert_images_match

PAGE = data.coffee()[100:228, 200:392].copy()
SPOILED = PAGE.copy()
SPOILED[64:96, 128:160] = SPOILED[64:96, 128:160, ::-1]


def _png(samples: np.ndarray, **options: object) -> bytes:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_the_same_picture_matches_whatever_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_png(PAGE))
    planes = torch.from_numpy(PAGE).permute(2, 0, 1)
    for test in (path, str(path), path.read_bytes(), Image.fromarray(PAGE), PAGE, planes, planes / 255):
        assert_images_match(PAGE, test)
    assert_images_match(PAGE, PAGE, profile="lossless")


def test_the_message_tells_criteria_scores_places_and_files(tmp_path: Path) -> None:
    path, heatmap = tmp_path / "a.png", tmp_path / "deep" / "heat.png"
    path.write_bytes(_png(PAGE))
    with pytest.raises(AssertionError) as caught:
        assert_images_match(path, SPOILED, heatmap=heatmap)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the pictures do not match (profile high)"
    assert any(line.startswith("ssimulacra2 is ") and " below " in line for line in lines)
    assert f"reference: {path}" in lines
    assert "size: 192 x 128" in lines
    assert any(line.startswith("scores: ssimulacra2 ") for line in lines)
    (places,) = [line for line in lines if line.startswith("worst windows by ssimulacra2: ")]
    x, y = (int(word) for word in places.split("(")[1].split(")")[0].split(","))
    assert 160 - 64 <= x <= 128
    assert 96 - 64 <= y <= 64
    assert lines[-1] == f"heat map: {heatmap}"
    assert Image.open(heatmap).width > 3 * 192


def test_another_profile_is_another_judgment(tmp_path: Path) -> None:
    noisy = PAGE ^ np.random.default_rng(0).integers(0, 2, PAGE.shape, np.uint8)
    assert_images_match(PAGE, noisy)
    with pytest.raises(AssertionError, match=r"max_error is 1.00, above 0"):
        assert_images_match(PAGE, noisy, profile="lossless")
    strict = tmp_path / "own.yaml"
    strict.write_text("thresholds: {psnr: 99}\n")
    with pytest.raises(AssertionError, match=r"psnr is .*, below 99"):
        assert_images_match(PAGE, noisy, profile=str(strict))
    with pytest.raises(UsageError, match=r"--profile: .*'hihg'"):
        assert_images_match(PAGE, PAGE, profile="hihg")


def test_orientation_is_no_difference_but_alpha_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert_images_match(PAGE, _png(np.rot90(PAGE), exif=exif), profile="lossless")
    shine = np.dstack([PAGE, np.full(PAGE.shape[:2], 128, np.uint8)])
    with pytest.raises(AssertionError, match="note: alpha: opaque in the reference, transparent"):
        assert_images_match(PAGE, shine)


def test_sizes_that_differ_do_not_match_and_need_no_heat_map(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the pictures are 192 x 128 and 191 x 128 pixels"):
        assert_images_match(PAGE, PAGE[:, 1:], heatmap=tmp_path / "heat.png")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_drawn_of_what_matches(tmp_path: Path) -> None:
    assert_images_match(PAGE, PAGE, heatmap=tmp_path / "heat.png")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_assertion_still_tells(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        AssertionError, match=r"ssimulacra2 is [\s\S]*\nno heat map: heat.png cannot be written"
    ):
        assert_images_match(PAGE, SPOILED, heatmap=tmp_path / "file" / "heat.png")


def test_what_cannot_be_read_is_no_mismatch() -> None:
    with pytest.raises(PictureError, match=r"^test: "):
        assert_images_match(PAGE, b"no picture")
    with pytest.raises(UsageError, match=r"^reference: "):
        assert_images_match(np.zeros((4, 4), np.int64), PAGE)
