import base64
import io
import struct

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.read import probe, read_picture

# A 32x24 photograph by jpegtran -arithmetic of libjpeg-turbo.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdB"
    "RkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT09PT09PT0//yQARCAAYACADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwDReXfvD44TXuwnS/yN"
    "TimJtn48M1H+UW3sXpWzb2jIYXPkOkAbBaM8kN28VqY2Cu6NTkSWm/i/gBX8Kh5NIRcDzLL753UKYhrgrGQYu6TOw4D/2Q=="
)
GAIN_MAP_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
ISO_GAIN_MAP = (0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, 100:190, 150:271].permute(1, 2, 0).contiguous().numpy()


def save(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def cmyk(pixels: np.ndarray, **options: object) -> bytes:
    return save(Image.fromarray(pixels).convert("CMYK"), **options)


def deep(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(pixels.astype(np.uint16) * 16, bitspersample=12)


def lossless(pixels: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(pixels, lossless=True)


@pytest.mark.parametrize(
    ("make", "reason", "word"),
    [
        (cmyk, Reason.COLOR_SPACE, "CMYK"),
        (lambda pixels: cmyk(pixels, progressive=True), Reason.COLOR_SPACE, "CMYK"),
        (deep, Reason.DEEP_COLOR, "12 bits"),
        (lossless, Reason.UNSUPPORTED, "lossless"),
    ],
)
def test_kinds_that_are_kept_if_they_are_whole(
    make: object, reason: Reason, word: str, pixels: np.ndarray
) -> None:
    data = make(pixels)  # type: ignore[operator]
    picture = read_picture(data)
    assert picture.keep is not None and picture.keep[0] is reason and word in picture.keep[1]
    assert (probe(data).width, probe(data).height) == (121, 90)
    for percent in (30, 80, 98):
        cut = data[: len(data) * percent // 100]
        for damaged in (cut, cut + b"\xff\xd9"):
            with pytest.raises(PictureError) as caught:
                read_picture(damaged)
            assert caught.value.reason is Reason.DECODE_ERROR


def test_arithmetic_coding() -> None:
    with Image.open(io.BytesIO(ARITHMETIC)) as image:  # the witness reads it
        assert np.array(image).std() > 10
    picture = read_picture(ARITHMETIC)
    assert picture.keep is not None and picture.keep[0] is Reason.UNSUPPORTED
    with pytest.raises(PictureError):
        read_picture(ARITHMETIC[:200])


def test_kinds_that_nobody_looks_into(pixels: np.ndarray) -> None:
    data = save(Image.fromarray(pixels))
    frame = data.index(b"\xff\xc0")
    no_height = data[: frame + 5] + bytes(2) + data[frame + 7 :]
    jpeg_ls = imagecodecs.jpegls_encode(pixels)
    hierarchical = data[:2] + segment(0xDE, data[frame + 4 : frame + 21]) + data[2:]
    for file in (no_height, jpeg_ls, hierarchical):
        picture = read_picture(file)
        assert picture.keep is not None and picture.keep[0] is Reason.UNCHECKED
        assert "not looked into" in picture.keep[1] and not picture.metadata.complete
        assert probe(file).width is None


@pytest.mark.parametrize("multi_picture", [False, True])
@pytest.mark.parametrize("by", ["xmp", "segment"])
def test_a_gain_map_is_kept(pixels: np.ndarray, multi_picture: bool, by: str) -> None:
    image, half = Image.fromarray(pixels), Image.fromarray(pixels).convert("L").reduce(4)
    if multi_picture:
        data = save(image, "MPO", save_all=True, append_images=[half])
    else:
        data = save(image) + save(half)
    xmp = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + GAIN_MAP_XMP)
    made = data[:2] + segment(*(xmp if by == "xmp" else ISO_GAIN_MAP)) + data[2:]
    picture = read_picture(made)
    assert picture.keep is not None and picture.keep[0] is Reason.GAIN_MAP
    assert read_picture(data).keep is None
    assert torch.equal(picture.pixels, read_picture(data).pixels)


def test_what_stands_behind_the_end_is_taken_along(pixels: np.ndarray) -> None:
    data = save(Image.fromarray(pixels))
    film = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + b"film \xff\xd9 film"
    assert read_picture(data + film).metadata.trailer == film
    assert read_picture(data).metadata.trailer == read_picture(data + bytes(4096)).metadata.trailer == b""
