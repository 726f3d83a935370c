import io
import struct

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.read import probe, read_picture


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, :57, :64].permute(1, 2, 0).contiguous().numpy()


def pillow(pixels: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **({"sizes": [(64, 57)]} if form == "ICO" else {}))
    return buffer.getvalue()


MAKERS = {
    "jxl": imagecodecs.jpegxl_encode,
    "jxl in boxes": lambda pixels: imagecodecs.jpegxl_encode(pixels, usecontainer=True),
    "jxl of deep color": lambda pixels: imagecodecs.jpegxl_encode(pixels.astype(np.uint16) * 257, level=100),
    "jp2": lambda pixels: pillow(pixels, "JPEG2000"),
    "ico": lambda pixels: pillow(pixels, "ICO"),
    "ppm": lambda pixels: pillow(pixels, "PPM"),
    "qoi": lambda pixels: pillow(pixels, "QOI"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_whole_files_are_kept_and_others_fail(name: str, pixels: np.ndarray) -> None:
    data = MAKERS[name](pixels)
    found = probe(data)
    assert (found.format, found.width, found.height) == (name.split(maxsplit=1)[0], 64, 57)
    picture = read_picture(data)
    assert picture.keep is not None and picture.keep[0] is Reason.UNSUPPORTED
    assert not picture.metadata.complete
    for percent in (5, 50, 90):
        with pytest.raises(PictureError) as caught:
            read_picture(data[: len(data) * percent // 100])
        assert caught.value.reason is Reason.DECODE_ERROR
    with pytest.raises(PictureError) as caught:
        read_picture(data, max_megapixels=0.003)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 200), (16, 9), (1000, 24)])
def test_sizes_of_jpeg_xl(size: tuple[int, int]) -> None:
    found = probe(imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8)))
    assert (found.height, found.width) == size


def heif(*brands: bytes) -> bytes:
    return struct.pack(">I", 16 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands)


@pytest.mark.parametrize(
    ("data", "form"),
    [(heif(b"heic", b"mif1"), "heic"), (b"v/1\x01" + bytes(20), "exr"), (b"II\xbc\x01" + bytes(20), "jxr")],
)
def test_formats_without_a_decoder(data: bytes, form: str) -> None:
    picture = read_picture(data)
    assert picture.keep is not None and picture.keep[0] is Reason.UNCHECKED
    assert "not looked into" in picture.keep[1]
    assert (picture.format, probe(data).width, picture.metadata.complete) == (form, None, False)


@pytest.mark.parametrize("data", [b"%PDF-1.7 ...", b"<svg></svg>", b"PK\x03\x04 an archive", b"\0" * 100])
def test_no_pictures(data: bytes) -> None:
    with pytest.raises(PictureError, match="no picture"):
        read_picture(data)
