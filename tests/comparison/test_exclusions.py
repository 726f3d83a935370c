"""Parts that are not compared."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.comparison.exclusions import Exclusions, Rectangle, parse_rectangle, read_mask
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.picture import Decoded

BLACK = Decoded(torch.zeros((3, 8, 10), dtype=torch.uint8))
WHITE = Decoded(torch.full((3, 8, 10), 255, dtype=torch.uint8))


def test_nothing_is_excluded_by_default() -> None:
    assert Exclusions().apply(BLACK, WHITE) is WHITE


def test_rectangles_hide_differences_and_nothing_else() -> None:
    parts = (Rectangle(1, 2, 3, 4), Rectangle(-5, -5, 6, 6), Rectangle(9, 7, 100, 100))
    mixed = Exclusions(parts).apply(BLACK, WHITE).pixels[0]
    expected = torch.full((8, 10), 255, dtype=torch.uint8)
    expected[2:6, 1:4] = 0
    expected[0, 0] = 0
    expected[7, 9] = 0
    assert torch.equal(mixed, expected)


def test_masks(tmp_path: Path) -> None:
    samples = np.full((8, 10, 4), 255, np.uint8)
    samples[0, :, :3] = 0
    samples[1, :, 3] = 0
    samples[2, :, :3] = 127
    samples[3, :, :3] = 128
    Image.fromarray(samples).save(tmp_path / "mask.png")
    mixed = Exclusions((), read_mask(tmp_path / "mask.png")).apply(BLACK, WHITE).pixels[0]
    assert (mixed == 255).all(1).tolist() == [False] * 3 + [True] * 5


def test_pictures_of_different_kinds() -> None:
    gray = Decoded(torch.full((1, 8, 10), 128, dtype=torch.uint8))
    deep = Decoded(torch.zeros((3, 8, 10), dtype=torch.uint16), torch.zeros((8, 10), dtype=torch.uint16))
    mixed = Exclusions((Rectangle(0, 0, 5, 8),)).apply(gray, deep)
    assert mixed.alpha is not None
    assert mixed.pixels[:, 0, 0].tolist() == [128 * 257] * 3
    assert mixed.pixels[:, 0, 5].tolist() == [0] * 3
    assert mixed.alpha[0, [0, 5]].tolist() == [65535, 0]


def test_wrong_sizes_and_nothing_left() -> None:
    with pytest.raises(PictureError, match="all of the picture is to be ignored"):
        Exclusions((Rectangle(0, 0, 10, 8),)).apply(BLACK, WHITE)
    with pytest.raises(PictureError, match="the mask has 2 x 3 pixels, the pictures have 10 x 8"):
        Exclusions((), np.ones((3, 2), bool)).apply(BLACK, WHITE)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "0,0,0,5", "0,0,5,-1", "1.5,0,3,3"])
def test_rectangles_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--ignore"):
        parse_rectangle(text)


def test_masks_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name, message in (("broken.png", "broken.png"), ("none.png", "No such file")):
        with pytest.raises(UsageError, match=f"--mask: .*{message}"):
            read_mask(tmp_path / name)
