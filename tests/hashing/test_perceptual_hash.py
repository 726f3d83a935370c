import io
from math import cos, radians, sin

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy.fft import dctn
from skimage import data

from imgcompress.hashing.color_bits import COLOR_BITS, color_bits
from imgcompress.hashing.luma_bits import LUMA_BITS, gradient_quality, luma_bits
from imgcompress.hashing.perceptual_hash import (
    COLOR_MATCH,
    LEAST_QUALITY,
    LUMA_MATCH,
    PerceptualHash,
    are_smooth,
    color_distance,
    hash_batch,
    hash_distances,
    hash_pictures,
    luma_distance,
)
from imgcompress.hashing.thumbnail import thumbnails
from imgcompress.image.color import rgb_to_gray, rgb_to_ycbcr, ycbcr_to_rgb
from imgcompress.image.picture import Decoded

CPU = torch.device("cpu")

PDQ = {
    "astronaut": ("2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724", 100),
    "chelsea": ("5feb5321f01da156898e2bf629a5d3438412cdbd23f48942464526315db33ffd", 100),
    "coffee": ("8c629e779a663698b9a33866c026726c21a679f61eb6e1f8c79ba7e23c8299e0", 100),
    "rocket": ("8792786c87937064bf1bc0e43f1fc0e03f1cc2e33da4c2537cec821b2ce4f376", 100),
}
"""PDQ's hash and quality of pictures that come with scikit-image. Facebook's C++ gave them, by the package
pdqhash 0.2.8, which is compiled where it is installed:
``np.packbits(pdqhash.compute(picture)[0]).tobytes().hex()``."""


def _image(photo: torch.Tensor) -> Image.Image:
    return Image.fromarray(photo.permute(1, 2, 0).numpy())


def _pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _hash(image: Image.Image) -> PerceptualHash:
    return hash_batch(_pixels(image)[None])[0]


def _hues_rotated(photo: torch.Tensor, degrees: float) -> torch.Tensor:
    luma, blue, red = rgb_to_ycbcr(photo[None].float()).unbind(1)
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    blue, red = blue - 128, red - 128
    turned = torch.stack((luma, 128 + cosine * blue - sine * red, 128 + sine * blue + cosine * red), 1)
    return ycbcr_to_rgb(turned)[0].clamp(0, 255).round().byte()


def test_the_bits_are_the_low_frequencies_above_their_median(photo: torch.Tensor) -> None:
    small = thumbnails(photo[None])
    waves = dctn(rgb_to_gray(small)[0].double().numpy(), norm="ortho")[1:17, 1:17].ravel()
    expected = (waves > np.median(waves))[::-1]
    found = luma_bits(small)[0].numpy()
    assert (found != expected).sum() <= 1  # one may be within rounding of the median
    assert found.sum() == LUMA_BITS // 2


@pytest.mark.parametrize("name", PDQ)
def test_pdq_has_nearly_the_same_bits_and_quality(name: str) -> None:
    digits, quality = PDQ[name]
    ours = _hash(Image.fromarray(getattr(data, name)()))
    theirs = PerceptualHash.from_hex(digits, ours.to_hex()[1], quality)
    assert luma_distance(ours, theirs) <= 16  # it rounds the filter's width and place to pixels
    assert abs(ours.quality - quality) <= 2


@pytest.mark.parametrize(
    "kind", ["jpeg 30", "jpeg 75", "half", "double", "blur", "sharp", "noise", "contrast"]
)
def test_copies_are_near_in_luma_and_color(photo: torch.Tensor, kind: str) -> None:
    image = _image(photo)
    copy = {
        "jpeg 30": lambda: _jpeg(image, 30),
        "jpeg 75": lambda: _jpeg(image, 75),
        "half": lambda: image.resize((300, 200), Image.Resampling.BILINEAR),
        "double": lambda: image.resize((1200, 800), Image.Resampling.BICUBIC),
        "blur": lambda: image.filter(ImageFilter.GaussianBlur(2)),
        "sharp": lambda: image.filter(ImageFilter.UnsharpMask(2, 100, 0)),
        "noise": lambda: Image.fromarray(
            (np.array(image) + np.random.default_rng(0).normal(0, 8, (400, 600, 3))).clip(0, 255).astype("u1")
        ),
        "contrast": lambda: image.point(lambda value: 128 + 0.9 * (value - 128)),
    }[kind]()
    assert luma_distance(_hash(image), _hash(copy)) <= 16
    assert color_distance(_hash(image), _hash(copy)) <= COLOR_MATCH


def test_another_picture_is_far(photo: torch.Tensor) -> None:
    for other in (photo.flip(2), photo.flip(1), photo[:, :200, :300]):
        assert luma_distance(*hash_pictures([Decoded(photo), Decoded(other.contiguous())], CPU)) > 80


@pytest.mark.parametrize("degrees", [30, -30])
def test_rotated_hues_show_in_the_colors_alone(photo: torch.Tensor, degrees: float) -> None:
    found = hash_distances(*hash_pictures([Decoded(photo), Decoded(_hues_rotated(photo, degrees))], CPU))
    assert found["phash"] <= LUMA_MATCH
    assert found["phash_color"] > COLOR_MATCH


def test_a_gray_picture_has_no_color_and_noise_gives_it_none(photo: torch.Tensor) -> None:
    gray = rgb_to_gray(photo[None].float()).round().byte()
    alone, as_rgb = hash_batch(gray[None]), hash_batch(gray.expand(3, -1, -1)[None])
    assert alone == as_rgb
    assert not any(alone[0].color)
    assert not any(_hash(_jpeg(_image(gray.expand(3, -1, -1).contiguous()), 30)).color)


def test_color_bits_count_what_lies_between(device: torch.device) -> None:
    """Of even colors along one axis the distance grows with the difference."""

    def bits(blue: float) -> torch.Tensor:
        ycbcr = torch.tensor([128.0, 128 + blue, 128.0], device=device)[None, :, None, None]
        return color_bits(ycbcr_to_rgb(ycbcr.expand(1, 3, 64, 64)) / 255)[0]

    levels = [bits(level) for level in (-60.0, -20.0, -5.0, 0.0, 5.0, 20.0, 60.0)]
    assert len(levels[0]) == COLOR_BITS
    assert levels[3].sum() == 0
    assert levels[0].sum() == levels[-1].sum() == COLOR_BITS // 4
    for first in range(len(levels)):
        apart = [int((levels[first] != other).sum()) for other in levels]
        assert apart[: first + 1] == sorted(apart[: first + 1], reverse=True)
        assert apart[first:] == sorted(set(apart[first:]))


def test_noise_in_a_gradient_is_no_difference(photo: torch.Tensor) -> None:
    slope = np.linspace(0, 1, 200)
    gray = (250 * slope[:, None] * slope).round().astype(np.uint8)
    smooth = Image.fromarray(gray).convert("RGB")
    copy = _jpeg(smooth, 40)
    assert luma_distance(_hash(smooth), _hash(copy)) > LUMA_MATCH
    assert are_smooth(_hash(smooth), _hash(copy))
    assert hash_distances(_hash(smooth), _hash(copy))["phash"] == 0
    [other] = hash_pictures([Decoded(photo)], CPU)
    assert not are_smooth(_hash(smooth), other)
    assert hash_distances(_hash(smooth), other)["phash"] > LUMA_MATCH


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (31, 400)])
def test_tiny_pictures_have_no_quality(photo: torch.Tensor, size: tuple[int, int]) -> None:
    assert hash_batch(photo[None, :, : size[0], : size[1]])[0].quality == 0


@pytest.mark.parametrize("level", [0, 77, 255])
def test_flat_pictures_are_blank_at_any_size(level: int, device: torch.device) -> None:
    sizes = [(64, 64), (257, 265), (300, 1000)]
    flat = [Decoded(torch.full((3, *size), level, dtype=torch.uint8)) for size in sizes]
    for each in hash_pictures(flat, device):
        assert each.is_blank
        assert each.quality == 0


def test_stripes_are_not_telling_though_they_have_gradients() -> None:
    stripes = (torch.arange(256) // 32 % 2 * 1.0).expand(1, 3, 256, 256)
    assert int(gradient_quality(thumbnails(stripes))[0]) >= LEAST_QUALITY
    assert not hash_batch(stripes)[0].is_telling


def test_a_batch_is_its_pictures(photo: torch.Tensor, device: torch.device) -> None:
    pictures = torch.stack((photo, photo.flip(2), photo.flip(1))).to(device)
    one_by_one = [hash_batch(picture[None])[0] for picture in pictures]
    assert hash_batch(pictures) == one_by_one
    assert hash_pictures([Decoded(picture) for picture in pictures.cpu()], device) == one_by_one
    assert hash_batch(pictures[:0]) == []
    assert hash_pictures([], device) == []


def test_digits_and_back(photo: torch.Tensor) -> None:
    (found,) = hash_batch(photo[None])
    luma, color = found.to_hex()
    assert (len(luma), len(color)) == (64, 128)
    assert PerceptualHash.from_hex(luma, color, found.quality) == found


@pytest.mark.parametrize(
    "change", [{"luma": "00"}, {"color": "0" * 126}, {"luma": "x" * 64}, {"quality": 101}]
)
def test_what_is_no_hash_is_refused(change: dict[str, str | int]) -> None:
    given = {"luma": "0" * 64, "color": "0" * 128, "quality": 50} | change
    with pytest.raises(ValueError, match=r"hash|fromhex"):
        PerceptualHash.from_hex(**given)  # type: ignore[arg-type]
