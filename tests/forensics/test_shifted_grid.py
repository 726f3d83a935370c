import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from skimage import data

from imgcompress.forensics.shifted_grid import earlier_in_pixels
from imgcompress.image.color import rgb_to_gray

COFFEE = Image.fromarray(data.coffee()[:256, :384])


def again(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def luma(image: Image.Image) -> torch.Tensor:
    rgb = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float()
    return rgb_to_gray(rgb)[0]


@pytest.mark.parametrize(("left", "top"), [(3, 5), (1, 1), (7, 4)])
def test_the_grid_from_before_a_crop_is_found(left: int, top: int) -> None:
    cropped = again(COFFEE, 60).crop((left, top, 384, 256))
    found = earlier_in_pixels(luma(again(cropped, 90)), later_grid=True)
    assert found is not None and found.confidence > 0.9
    assert found.offset == (-top % 8, -left % 8)
    assert found.quality is not None and abs(found.quality - 60) <= 2


@pytest.mark.parametrize("quality", [40, 75, 92])
def test_decoded_pixels_tell_the_quality_of_the_file_they_were(quality: int) -> None:
    for corner in ((0, 0), (2, 3)):
        found = earlier_in_pixels(luma(again(COFFEE, quality).crop((*corner, 384, 256))))
        assert found is not None and found.quality == quality
        assert found.offset == (-corner[1] % 8, -corner[0] % 8)


def test_a_columns_offset_on_the_later_grid_is_not_looked_for() -> None:
    # Its blocks are sums of two stored ones and cluster whatever came before.
    assert earlier_in_pixels(luma(again(COFFEE, 50)), later_grid=True) is None


def test_untouched_and_filtered_pictures_are_no_jpegs() -> None:
    for picture in (COFFEE, COFFEE.filter(ImageFilter.GaussianBlur(1.5)), COFFEE.resize((500, 333))):
        assert earlier_in_pixels(luma(picture)) is None


def test_flat_and_tiny_pictures_claim_nothing(device: torch.device) -> None:
    for height, width in ((1, 1), (8, 8), (14, 400), (15, 15), (64, 80)):
        for level in (0.0, 131.0):
            assert earlier_in_pixels(torch.full((height, width), level, device=device)) is None


def test_large_pictures_are_looked_at_in_an_even_choice_of_blocks() -> None:
    many = luma(again(COFFEE, 70)).repeat(8, 6)
    found = earlier_in_pixels(many)
    assert found is not None and found.quality == 70 and found.offset == (0, 0)
