"""Pictures whose colors a JPEG without a profile would change. The numbers are those of ITU-T H.273."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from imgcompress.errors import Reason
from imgcompress.image.read import read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHROMATICITIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*extra: bytes, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert(mode).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(extra) + data[33:]


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def corners(values: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def code_points(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


ICC = chunk(b"iCCP", b"p\0\0" + zlib.compress(SRGB))
BROKEN_ICC = chunk(b"iCCP", b"p\0\0" + b"damaged")
SRGB_CHUNK = chunk(b"sRGB", b"\0")


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (SRGB_CHUNK,),
        (gamma(45455),),
        (gamma(45000), corners(SRGB_CHROMATICITIES)),
        (code_points(1, 13, 0, 1),),
        (code_points(1, 1, 0, 1),),
        # What goes before decides: sRGB before gamma, a profile before both, code points before all.
        (SRGB_CHUNK, gamma(100000)),
        (ICC, gamma(100000), corners(P3_CHROMATICITIES)),
        (code_points(1, 13, 0, 1), gamma(100000)),
        (gamma(0),),
    ],
)
def test_png_in_srgb_or_with_a_profile(chunks: tuple[bytes, ...]) -> None:
    assert read_picture(png(*chunks)).keep is None


@pytest.mark.parametrize(
    ("chunks", "word"),
    [
        ((gamma(100000),), "gamma 1"),
        ((gamma(40000), corners(SRGB_CHROMATICITIES)), "gamma 0.4"),
        ((corners(P3_CHROMATICITIES),), "primaries"),
        ((code_points(12, 13, 0, 1),), "Display P3"),
        ((code_points(9, 16, 0, 1),), "BT.2020 PQ"),
        ((code_points(9, 18, 0, 1), SRGB_CHUNK), "BT.2020 HLG"),
        ((code_points(1, 13, 0, 0),), "narrow"),
        ((ICC, code_points(12, 13, 0, 1)), "Display P3"),
        ((BROKEN_ICC, gamma(100000)), "gamma 1"),
    ],
)
def test_png_in_other_colors_is_kept(chunks: tuple[bytes, ...], word: str) -> None:
    picture = read_picture(png(*chunks))
    assert picture.keep is not None and picture.keep[0] is Reason.COLOR_SPACE and word in picture.keep[1]


def test_gray_has_no_primaries() -> None:
    assert read_picture(png(corners(P3_CHROMATICITIES), mode="L")).keep is None
    assert read_picture(png(gamma(100000), mode="L")).keep is not None


def test_a_profile_that_code_points_overrule_does_not_travel() -> None:
    assert read_picture(png(ICC)).metadata.icc == SRGB
    assert read_picture(png(code_points(1, 13, 0, 1), ICC)).metadata.icc is None


def avif(primaries: int, transfer: int, icc: bytes | None = None) -> bytes:
    if icc is None:
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return imagecodecs.avif_encode(pixels, primaries=primaries, transfer=transfer)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "AVIF", icc_profile=icc)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("primaries", "transfer", "word"),
    [
        (1, 13, None),
        (1, 1, None),
        (2, 2, None),
        (12, 13, "Display P3"),
        (9, 16, "BT.2020 PQ"),
        (9, 18, "BT.2020 HLG"),
        (1, 8, "linear"),
    ],
)
def test_avif_by_its_code_points(primaries: int, transfer: int, word: str | None) -> None:
    keep = read_picture(avif(primaries, transfer)).keep
    if word is None:
        assert keep is None
    else:
        assert keep is not None and keep[0] is Reason.COLOR_SPACE and word in keep[1]


def test_avif_with_a_profile() -> None:
    picture = read_picture(avif(1, 13, SRGB))
    assert picture.keep is None and picture.metadata.icc == SRGB
