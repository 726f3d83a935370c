"""Encoded by Pillow's libwebp, decoded by that of imagecodecs and by Pillow."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import WebpConfig
from imgcompress.errors import PictureError, Reason
from imgcompress.formats.webp import LONGEST_SIDE, WebpCodec, nearly_lossless
from imgcompress.image.containers import webp_chunks
from imgcompress.image.metadata import Metadata
from imgcompress.image.picture import Picture
from imgcompress.image.read import read_picture
from imgcompress.image.strip_file import strip_file

LOSSY = WebpCodec(WebpConfig())


@pytest.fixture
def small(photo: torch.Tensor) -> Picture:
    return Picture(photo[:, 100:211, 200:333], "png")


def psnr(before: torch.Tensor, after: torch.Tensor) -> float:
    return float(-10 * torch.log10(((before.float() - after.float()) / 255).square().mean()))


def test_quality_is_continuous_and_the_bytes_are_always_the_same(small: Picture):
    files = [LOSSY.encode(small, quality, "420", None) for quality in (70.0, 70.5, 71.0)]
    assert len(set(files)) == 3
    assert LOSSY.encode(small, 70.5, "420", None) == files[1]
    assert not LOSSY.is_lossless


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (64, 65)])
@pytest.mark.parametrize("config", [WebpConfig(), WebpConfig(lossless=True)])
def test_all_sizes_with_and_without_alpha_and_color_decode_alike_everywhere(config, size, photo):
    codec = WebpCodec(config)
    pixels = photo[:, 100 : 100 + size[0], 200 : 200 + size[1]]
    alpha = (torch.arange(size[0] * size[1]).reshape(size) % 251).to(torch.uint8)
    for picture in (Picture(pixels, "png"), Picture(pixels, "png", alpha=alpha), Picture(pixels[:1], "png")):
        data = codec.encode(picture, 80.0, "gray" if picture.is_gray else "420", None)
        mine, witness = codec.decode(data), read_picture(data)
        assert torch.equal(mine.pixels, witness.pixels)
        assert mine.pixels.shape == (3, *size)
        assert (mine.alpha is None) == (picture.alpha is None)
        if picture.alpha is not None:
            assert torch.equal(mine.alpha, alpha)
            assert torch.equal(witness.alpha, alpha)
        if config.lossless:
            assert torch.equal(mine.pixels, picture.pixels.expand(3, -1, -1))
        else:
            assert picture.alpha is not None or psnr(picture.pixels, mine.pixels) > 28


def test_lossless_keeps_colors_that_nobody_sees(cut_out: Picture):
    picture, codec = cut_out, WebpCodec(WebpConfig(lossless=True))
    assert codec.is_lossless
    assert torch.equal(codec.decode(codec.encode(picture, 50.0, "444", None)).pixels, picture.pixels)


def test_a_cut_out_has_no_fringes_and_costs_less_than_with_its_hidden_colors(cut_out: Picture, worst_fringe):
    picture = cut_out
    data = LOSSY.encode(picture, 80.0, "420", None)
    naive = io.BytesIO()
    planes = torch.cat([picture.pixels, picture.alpha[None]])
    image = Image.fromarray(planes.permute(1, 2, 0).contiguous().numpy())
    image.save(naive, "WEBP", quality=80, method=4, exact=True)
    assert worst_fringe(picture, LOSSY.decode(data)) < 0.8 * worst_fringe(
        picture, LOSSY.decode(naive.getvalue())
    )
    assert len(data) < 0.7 * len(naive.getvalue())


def test_alpha_quality_saves_bytes_and_changes_alpha(photo: torch.Tensor):
    alpha = photo[0, 100:200, 200:300]
    picture = Picture(photo[:, 100:200, 200:300], "png", alpha=alpha)
    coarse = WebpCodec(WebpConfig(alpha_quality=10))
    data = coarse.encode(picture, 60.0, "420", None)
    assert len(data) < 0.8 * len(LOSSY.encode(picture, 60.0, "420", None))
    assert not torch.equal(coarse.decode(data).alpha, alpha)


@pytest.mark.parametrize("level", [0, 19, 20, 40, 60, 80, 100])
def test_near_lossless_keeps_to_its_bound(level: int):
    generator = torch.Generator().manual_seed(level)
    pixels = torch.randint(0, 256, (3, 40, 50), generator=generator, dtype=torch.uint8)
    error = (nearly_lossless(pixels, level).int() - pixels.int()).abs().max().item()
    bound = {0: 16, 19: 16, 20: 8, 40: 4, 60: 2, 80: 1, 100: 0}[level]
    assert error == bound


def test_near_lossless_leaves_flat_areas_and_slopes():
    slope = torch.arange(250, dtype=torch.uint8).repeat(3, 20, 1)
    assert torch.equal(nearly_lossless(slope, 0), slope)
    assert not torch.equal(nearly_lossless(slope * 2 + 1, 80), slope * 2 + 1)


def test_near_lossless_files_are_smaller_the_more_may_change(small: Picture):
    sizes = []
    for level in (100, 80, 60, 40):
        codec = WebpCodec(WebpConfig(lossless=True, near_lossless=level))
        data = codec.encode(small, 50.0, "444", None)
        sizes.append(len(data))
        assert torch.equal(codec.decode(data).pixels, nearly_lossless(small.pixels, level))
        assert codec.is_lossless == (level == 100)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.8 * sizes[0]


@pytest.mark.parametrize("config", [WebpConfig(), WebpConfig(lossless=True)])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_metadata_survive(config, has_alpha, small, metadata: Metadata, jpegs_metadata: Metadata):
    alpha = small.pixels[0] if has_alpha else None
    picture = replace(small, alpha=alpha, metadata=replace(metadata, density=jpegs_metadata.density))
    data = WebpCodec(config).encode(picture, 80.0, "420", b"1 abc")
    again = read_picture(data)
    assert again.metadata == metadata
    assert again.marked
    assert (again.alpha is not None) == has_alpha
    assert [kind for kind, _ in webp_chunks(data)][:2] == [b"VP8X", b"ICCP"]
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x0112] == metadata.orientation
        assert image.info["icc_profile"] == metadata.icc
        assert image.info["xmp"] == metadata.xmp
        assert image.mode == ("RGBA" if has_alpha else "RGB")


def test_the_mark_outlives_stripping(small: Picture):
    data = LOSSY.encode(small, 80.0, "420", b"1 abc")
    assert not read_picture(LOSSY.encode(small, 80.0, "420", None)).marked
    for mode in ("none", "thumbnail", "gps", "all"):
        stripped = strip_file(data, "webp", mode)
        assert read_picture(stripped).marked
        np.testing.assert_array_equal(LOSSY.decode(stripped).pixels, LOSSY.decode(data).pixels)


def refused(picture: Picture) -> Reason:
    with pytest.raises(PictureError) as caught:
        LOSSY.refuse(picture)
    return caught.value.reason


def test_what_webp_does_not_hold_is_refused(small: Picture):
    wide = torch.zeros((1, 1, LONGEST_SIDE + 1), dtype=torch.uint8)
    assert refused(Picture(wide, "png")) is Reason.UNSUPPORTED
    LOSSY.refuse(Picture(wide[..., 1:], "png"))
    deep = Picture(small.pixels.to(torch.uint16), "png", bit_depth=16)
    assert refused(deep) is Reason.DEEP_COLOR
    gray = Metadata(icc=bytes(16) + b"GRAY" + bytes(200))
    assert refused(Picture(small.pixels[:1], "png", metadata=gray)) is Reason.COLOR_SPACE
    assert LOSSY.samplings == ("420",) and LOSSY.has_quality and not LOSSY.is_lossless


def test_the_longest_side_is_coded():
    picture = Picture(torch.full((3, 2, LONGEST_SIDE), 77, dtype=torch.uint8), "png")
    assert LOSSY.decode(LOSSY.encode(picture, 50.0, "420", None)).pixels.shape == picture.pixels.shape


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\x10\0\0\0WEBPVP8 \4\0\0\0abcd"])
def test_a_damaged_result_is_refused(data: bytes):
    with pytest.raises(PictureError) as caught:
        LOSSY.decode(data)
    assert caught.value.reason is Reason.VERIFY_REFUSED


def test_the_scale_rises_strictly_and_takes_any_number():
    qualities = [LOSSY.quality_of_score(score) for score in np.linspace(-100, 97, 300)]
    assert all(low < high for low, high in pairwise(qualities))
    assert LOSSY.quality_of_score(-1e9) == 0.0
    assert LOSSY.quality_of_score(1e9) == 100.0
