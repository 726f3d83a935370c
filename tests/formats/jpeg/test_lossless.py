import io

import exifread
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.jpeg.lossless import optimize_losslessly, pack_progressive
from imgcompress.image.exif import orientation_only
from imgcompress.image.jpeg_file import made_by_us, mark_segment, parse_jpeg
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.picture import Metadata


def jpeg(
    photo: torch.Tensor, height: int = 96, width: int = 120, gray: bool = False, **options: object
) -> bytes:
    pixels = photo[:, :height, :width].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if gray else pixels).save(buffer, "JPEG", **({"quality": 85} | options))
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + segment(marker, payload) + data[2:]


KINDS = {
    "420": {},
    "444": {"subsampling": 0},
    "gray": {"gray": True},
    "rgb": {"keep_rgb": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "optimized": {"optimize": True, "quality": 20},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (96, 120)])
def test_pixels_are_identical_and_no_byte_is_added(
    kind: str, size: tuple[int, int], photo: torch.Tensor
) -> None:
    source = jpeg(photo, *size, **KINDS[kind])
    result = optimize_losslessly(source, Metadata())
    assert np.array_equal(pixels(result), pixels(source))
    assert len(result) <= len(source)
    if size == (96, 120) and kind != "optimized":
        assert len(result) < 0.99 * len(source)


def test_its_own_result_is_not_made_larger(photo: torch.Tensor) -> None:
    once = optimize_losslessly(jpeg(photo), Metadata())
    assert len(optimize_losslessly(once, Metadata())) <= len(once)


def test_metadata_are_what_was_asked_for(photo: torch.Tensor) -> None:
    icc = bytes(range(256)) * 300
    source = jpeg(photo, exif=orientation_only(3), icc_profile=b"old" * 50, comment=b"secret", dpi=(72, 72))
    source = with_segment(source, 0xED, b"Photoshop 3.0\0secret")
    metadata = Metadata(exif=orientation_only(6), icc=icc, xmp=b"<x:xmpmeta/>", segments=((0xFE, b"hello"),))
    result = optimize_losslessly(source, metadata)
    with Image.open(io.BytesIO(result)) as image:
        assert image.info["icc_profile"] == icc
        assert image.info["xmp"] == b"<x:xmpmeta/>"
        assert image.info["comment"] == b"hello"
        assert image.info["dpi"] == (72, 72)
    assert b"secret" not in result and b"oldold" not in result
    tags = exifread.process_file(io.BytesIO(result))
    assert tags["Image Orientation"].values == [6]


def test_the_source_coding_is_kept_where_it_is_smaller_with_its_metadata_replaced(
    photo: torch.Tensor,
) -> None:
    tiny = jpeg(photo, 8, 8, gray=True, optimize=True, quality=20, comment=b"secret", dpi=(300, 300))
    thumbnail = bytearray(tiny)
    assert tiny[6:11] == b"JFIF\0"
    thumbnail[4:6] = (16 + 3).to_bytes(2, "big")  # JFIF's length, with one RGB pixel
    thumbnail[18:20] = b"\1\1"
    source = bytes(thumbnail[:20]) + b"RGB" + bytes(thumbnail[20:])
    assert np.array_equal(pixels(source), pixels(tiny))
    result = optimize_losslessly(source, Metadata())
    assert not parse_jpeg(result).progressive
    assert b"secret" not in result and b"RGB" not in result
    assert len(result) < len(tiny)
    assert np.array_equal(pixels(result), pixels(tiny))
    assert Image.open(io.BytesIO(result)).info["dpi"] == (300, 300)


def test_our_mark_stays(photo: torch.Tensor) -> None:
    marked = with_segment(jpeg(photo), *mark_segment("1.0", "abc"))
    assert made_by_us(parse_jpeg(optimize_losslessly(marked, Metadata())))
    assert not made_by_us(parse_jpeg(optimize_losslessly(jpeg(photo), Metadata())))


def test_metadata_that_do_not_fit(photo: torch.Tensor) -> None:
    with pytest.raises(PictureError) as caught:
        optimize_losslessly(jpeg(photo), Metadata(exif=bytes(70_000)))
    assert caught.value.reason is Reason.METADATA_TOO_LARGE


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (96, 120)])
def test_packing_keeps_pixels_and_metadata(size: tuple[int, int], photo: torch.Tensor) -> None:
    source = with_segment(jpeg(photo, *size, exif=orientation_only(6), comment=b"hello"), 0xEA, b"note")
    result = pack_progressive(source)
    assert np.array_equal(pixels(result), pixels(source))
    assert len(result) <= len(source)
    carried = [s for s in parse_jpeg(result).segments if s[0] in (0xE1, 0xEA, 0xFE)]
    assert sorted(carried) == sorted(s for s in parse_jpeg(source).segments if s[0] in (0xE1, 0xEA, 0xFE))
    assert parse_jpeg(result).progressive or size == (1, 1)
