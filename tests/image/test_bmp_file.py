import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from imgcompress.errors import PictureError, Reason
from imgcompress.image.read import probe, read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "BMP", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def image(photo: torch.Tensor) -> Image.Image:
    return Image.fromarray(photo[:, :57, :65].permute(1, 2, 0).numpy().copy())


def version_5(image: Image.Image, kind: bytes, icc: bytes = b"", endpoints: bytes = bytes(48)) -> bytes:
    rows = np.array(image.convert("RGB"))[::-1, :, ::-1]
    padded = np.zeros((rows.shape[0], -(-rows.shape[1] * 3 // 4) * 4), dtype=np.uint8)
    padded[:, : rows.shape[1] * 3] = rows.reshape(rows.shape[0], -1)
    height, width = rows.shape[:2]
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, padded.size, 3937, 7874, 0, 0)
    head += bytes(16) + kind + endpoints + struct.pack("<IIII", 4, 124 + padded.size, len(icc), 0)
    assert len(head) == 124
    size = 14 + 124 + padded.size + len(icc)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 138) + head + padded.tobytes() + icc


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_pixels_are_pillows(image: Image.Image, mode: str) -> None:
    source = image.convert(mode)
    data = save(source, dpi=(300, 150))
    picture = read_picture(data)
    ours = picture.pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()
    assert np.array_equal(ours, np.array(source.convert("RGB")))
    assert (picture.format, picture.alpha, picture.keep) == ("bmp", None, None)
    assert picture.metadata.density == (300, 150, 1)
    assert (probe(data).width, probe(data).height) == (65, 57)


def test_colors_of_the_last_version(image: Image.Image) -> None:
    for kind in (b"BGRs", b" niW", bytes(4)):
        picture = read_picture(version_5(image, kind))
        assert picture.keep is None and picture.metadata.density == (100, 200, 1)
        assert np.array_equal(picture.pixels.permute(1, 2, 0).numpy(), np.array(image))
    embedded = read_picture(version_5(image, b"DEBM", SRGB))
    assert embedded.keep is None and embedded.metadata.icc == SRGB
    for other in (
        version_5(image, b"KNIL", b"C:\\profile.icm\0"),
        version_5(image, bytes(4), endpoints=b"\1" * 48),
    ):
        keep = read_picture(other).keep
        assert keep is not None and keep[0] is Reason.COLOR_SPACE


def test_alpha_and_other_files_within(image: Image.Image) -> None:
    transparent = image.convert("RGBA")
    transparent.putalpha(77)
    keep = read_picture(save(transparent)).keep
    assert keep is not None and keep[0] is Reason.ALPHA
    for unused in (0, 255):
        transparent.putalpha(unused)
        picture = read_picture(save(transparent))
        assert picture.keep is picture.alpha is None and picture.pixels.shape == (3, 57, 65)
    data = bytearray(save(image))
    data[30] = 4  # BI_JPEG
    keep = read_picture(bytes(data)).keep
    assert keep is not None and keep[0] is Reason.UNCHECKED


@pytest.mark.parametrize("size", [0, 10, 20, 40, 2000])
def test_truncated(image: Image.Image, size: int) -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(save(image)[:size])
    assert caught.value.reason is Reason.DECODE_ERROR
