"""What AVIF at 10 and 12 bits keeps of a picture that 8 bits would lose."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from imgcompress.config import AvifConfig
from imgcompress.formats.avif import AvifCodec
from imgcompress.image.containers import avif_properties
from imgcompress.image.depth import scale_to_16, to_8_bit
from imgcompress.image.picture import Decoded, Picture
from imgcompress.image.read import read_picture

QUALITY = 95.0


def gradient(channels: int, alpha: bool = False) -> Picture:
    """More than 2000 of the 4096 levels of 12 bits in each channel, smoothly from corner to corner."""
    rows, columns = torch.arange(64)[:, None], torch.arange(1024)
    ramp = 3 * columns + 16 * rows
    planes = torch.stack((ramp, 4095 - ramp, ramp // 2 + 500))[:channels]
    shares = 4095 - (2 * columns + 32 * (63 - rows)) if alpha else None
    return Picture(
        scale_to_16(planes.to(torch.uint16), 12),
        "png",
        16,
        None if shares is None else scale_to_16(shares.to(torch.uint16), 12),
    )


def round_trip(picture: Picture, bit_depth: int, subsampling: str) -> tuple[bytes, Decoded]:
    codec = AvifCodec(AvifConfig(bit_depth=bit_depth))
    data = codec.encode(picture, QUALITY, subsampling, None)
    return data, codec.decode(data)


def levels(plane: torch.Tensor) -> int:
    return len(plane.to(torch.int32).unique())


def decibels(before: torch.Tensor, after: torch.Tensor) -> float:
    """At the scale of 16 bits, by another library."""
    if after.dtype == torch.uint8:
        after = (after.int() * 257).to(torch.uint16)
    return float(peak_signal_noise_ratio(before.numpy(), after.numpy(), data_range=65535))


@pytest.mark.parametrize("subsampling", ["444", "420", "gray"])
def test_a_12_bit_gradient_survives(subsampling: str) -> None:
    picture = gradient(1 if subsampling == "gray" else 3)
    data, deep = round_trip(picture, 12, subsampling)
    shallow_data, shallow = round_trip(to_8_bit(picture), 8, subsampling)
    assert avif_properties(data).bit_depth == 12
    assert avif_properties(shallow_data).bit_depth == 8
    assert deep.pixels.dtype == torch.uint16
    assert min(map(levels, deep.pixels)) > 1900
    assert max(map(levels, shallow.pixels)) <= 256
    before = picture.pixels
    channels = len(before)  # a gray picture may come back in color
    found = decibels(before, deep.pixels[:channels])
    rounded = decibels(before, to_8_bit(picture).pixels)
    assert found > rounded + 3
    assert rounded >= decibels(before, shallow.pixels[:channels])
    again = read_picture(data)
    assert again.bit_depth == 12 and torch.equal(again.pixels, deep.pixels)


def test_10_bits_are_between() -> None:
    picture = gradient(3)
    found = [decibels(picture.pixels, round_trip(picture, depth, "444")[1].pixels) for depth in (10, 12)]
    shallow = round_trip(to_8_bit(picture), 8, "444")[1].pixels
    assert decibels(picture.pixels, shallow) + 5 < found[0] < found[1] - 3


def test_deep_alpha_survives() -> None:
    picture = gradient(3, alpha=True)
    assert picture.alpha is not None
    _, deep = round_trip(picture, 12, "444")
    assert deep.alpha is not None and deep.alpha.dtype == torch.uint16
    assert levels(deep.alpha) > 1900
    error = np.abs(deep.alpha.numpy().astype(int) - picture.alpha.numpy().astype(int))
    assert error.mean() < 65535 / 255 / 4  # what rounding to 8 bits leaves
    seen = (picture.alpha.to(torch.int32) > 0).numpy()
    errors = np.abs(deep.pixels.numpy().astype(int) - picture.pixels.numpy().astype(int))[:, seen]
    assert np.sqrt((errors.astype(float) ** 2).mean()) < 65535 / 255 / 12**0.5


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ljt_monkey16.png", "pil_tiff_16bit_RGB.tiff", "imagers_rgb-3c-16b.tiff"])
def test_real_deep_files_keep_their_levels(name: str, shared) -> None:
    picture = read_picture((shared / "formats" / "deep" / name).read_bytes())
    _, deep = round_trip(picture, 12, "444")
    assert decibels(picture.pixels, deep.pixels) > 38
    assert max(map(levels, deep.pixels)) > 256
