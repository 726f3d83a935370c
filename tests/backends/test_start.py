import math

import pytest
import torch

from imgcompress.backends.start import MOST_PIXELS, foretold, place_of, score_at, statistics_of
from imgcompress.image.depth import scale_to_16
from imgcompress.image.picture import Picture


def test_the_axis_and_back() -> None:
    for score in (-300.0, -5.0, 0.0, 50.0, 75.0, 90.0, 97.0, 99.9):
        assert score_at(place_of(score)) == pytest.approx(score)
    assert place_of(97.0) == 97.0
    assert place_of(75.5) - place_of(74.5) == pytest.approx(1, abs=1e-3)
    assert math.isfinite(place_of(100.0)) and place_of(100.0) > place_of(99.0)


def test_the_statistics_tell_detail(photo: torch.Tensor) -> None:
    sharp = photo[:, :256, :384]
    soft = torch.nn.functional.avg_pool2d(sharp[None].float(), 5, 1, 2)[0].to(torch.uint8)
    noisy = (sharp + 8 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    details, energies = zip(
        *(statistics_of(Picture(each.byte(), "png")) for each in (soft, sharp, noisy)), strict=True
    )
    assert details[0] < details[1] < details[2]
    assert energies[0] < energies[1] < energies[2]
    half = sharp.clone()
    half[:, :128] = 77
    detail, energy = statistics_of(Picture(half, "png"))
    assert energies[1] - energy > details[1] - detail


def test_flat_and_tiny_pictures() -> None:
    flat = statistics_of(Picture(torch.full((3, 16, 16), 77, dtype=torch.uint8), "png"))
    assert flat == pytest.approx((math.log2(0.1), 0.0), abs=0.01)
    for size in ((1, 1), (7, 9), (9, 7)):
        assert statistics_of(Picture(torch.zeros((1, *size), dtype=torch.uint8), "png")) == (0.0, 0.0)


def test_depth_and_gray_make_no_difference(photo: torch.Tensor) -> None:
    gray = photo[1:2, :64, :80]
    expected = statistics_of(Picture(gray, "png"))
    assert statistics_of(Picture(gray.expand(3, -1, -1), "png")) == pytest.approx(expected, abs=1e-3)
    deep = Picture(scale_to_16(gray, 8), "png", bit_depth=16)
    assert statistics_of(deep) == pytest.approx(expected, abs=1e-3)


def test_a_large_picture_is_sampled(photo: torch.Tensor) -> None:
    small = photo[:, :264, :512]  # 33 rows of blocks: no sampling of rows meets the same ones
    large = small.repeat(1, 8, 4)
    assert large[0].numel() > 4 * MOST_PIXELS
    assert statistics_of(Picture(large, "png")) == pytest.approx(
        statistics_of(Picture(small, "png")), abs=0.5
    )


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_the_start_lies_a_shift_from_the_average(form: str, photo: torch.Tensor) -> None:
    picture = Picture(photo[:, :256, :384], "png")
    places = [foretold(picture, form, score) for score in (50.0, 70.0, 90.0)]
    assert places == sorted(places)
    shifts = {
        round(place - place_of(score), 6) for place, score in zip(places, (50.0, 70.0, 90.0), strict=True)
    }
    assert len(shifts) == 1 and abs(shifts.pop()) < 20
