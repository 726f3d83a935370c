import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.png import PngCodec
from imgcompress.image.metadata import Metadata
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.image.strip_file import strip_file

CODEC = PngCodec()


def samples(channels: int, deep: bool, size: tuple[int, int] = (19, 26)) -> torch.Tensor:
    values = np.random.default_rng(3).integers(0, 65536 if deep else 256, (channels, *size))
    return torch.from_numpy(values.astype(np.uint16 if deep else np.uint8))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_bit_survives(channels, has_alpha, deep):
    planes = samples(channels + 1, deep)
    picture = Picture(planes[:-1], "png", 16 if deep else 8, planes[-1] if has_alpha else None)
    CODEC.refuse(picture)
    data = CODEC.encode(picture, 50.0, "444", None)
    assert data == CODEC.encode(picture, 90.0, "420", None)
    for again in (CODEC.decode(data), read_picture(data).decoded):
        assert torch.equal(again.pixels, picture.pixels)
        assert (again.alpha is None) == (not has_alpha)
        assert not has_alpha or torch.equal(again.alpha, planes[-1])
    if not deep:
        with Image.open(io.BytesIO(data)) as image:
            witness = np.array(image).reshape(19, 26, -1)
        np.testing.assert_array_equal(witness[..., 0], planes[0].numpy())


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1)])
def test_the_smallest(size, channels, deep):
    planes = samples(channels, deep, size)
    has_alpha = channels in (2, 4)
    pixels, alpha = (planes[:-1], planes[-1]) if has_alpha else (planes, None)
    again = CODEC.decode(CODEC.encode(Picture(pixels, "png", 16 if deep else 8, alpha), 50.0, "444", None))
    assert torch.equal(again.pixels, pixels)
    assert (again.alpha is None) == (not has_alpha)


def test_beside_a_profile_for_rgb_gray_is_rgb(metadata: Metadata):
    # libpng: "RGB color space not permitted on grayscale PNG"; the profile would be passed over.
    pixels = samples(1, False)
    data = CODEC.encode(Picture(pixels, "jpeg", metadata=metadata), 50.0, "444", None)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
    again = CODEC.decode(data)
    assert torch.equal(again.pixels, pixels.expand(3, -1, -1))


def test_whatever_could_be_read_is_decoded(monkeypatch: pytest.MonkeyPatch):
    limits = []
    monkeypatch.setattr(
        "imgcompress.formats.png.read_picture",
        lambda data, most=178.0: limits.append(most) or read_picture(data, most),
    )
    CODEC.decode(CODEC.encode(Picture(samples(1, False), "png"), 50.0, "444", None))
    assert limits == [float("inf")]


def test_metadata_and_the_mark_survive_and_outlive_stripping(metadata: Metadata, jpegs_metadata: Metadata):
    comment = jpegs_metadata.segments[:1]
    full = replace(metadata, density=jpegs_metadata.density, segments=comment)
    data = CODEC.encode(Picture(samples(3, False), "png", metadata=full), 50.0, "444", b"1 abc")
    picture = read_picture(data)
    assert picture.metadata == full
    assert picture.marked
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x0112] == metadata.orientation
        assert image.info["icc_profile"] == metadata.icc
        assert image.info["dpi"] == pytest.approx((300, 200), abs=0.02)
    for mode in ("none", "thumbnail", "gps", "all"):
        assert read_picture(strip_file(data, "png", mode)).marked


def test_what_has_no_place_is_left_out(jpegs_metadata: Metadata):
    data = CODEC.encode(Picture(samples(1, False), "jpeg", metadata=jpegs_metadata), 50.0, "444", None)
    picture = read_picture(data)
    assert picture.metadata == replace(jpegs_metadata, segments=jpegs_metadata.segments[:1], trailer=b"")
    assert not picture.marked


def test_a_damaged_result_is_refused():
    data = CODEC.encode(Picture(samples(1, False), "png"), 50.0, "444", None)
    with pytest.raises(PictureError) as caught:
        CODEC.decode(data[:-20])
    assert caught.value.reason is Reason.VERIFY_REFUSED
