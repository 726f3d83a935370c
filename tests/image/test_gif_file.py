import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.gif_file import read_gif
from imgcompress.image.read import probe, read_picture


def save(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "GIF", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def image(photo: torch.Tensor) -> Image.Image:
    return Image.fromarray(photo[:, :57, :65].permute(1, 2, 0).numpy().copy()).quantize(100)


def extension(name: bytes, content: bytes) -> bytes:
    pieces = [content[i : i + 255] for i in range(0, len(content), 255)]
    return b"\x21\xff\x0b" + name + b"".join(bytes([len(p)]) + p for p in pieces) + b"\0"


def with_blocks(data: bytes, *blocks: bytes) -> bytes:
    assert data.endswith(b";")
    return data[:-1] + b"".join(blocks) + b";"


@pytest.mark.parametrize("mode", ["P", "L", "1"])
@pytest.mark.parametrize("interlace", [0, 1])
def test_pixels_are_pillows(image: Image.Image, mode: str, interlace: int) -> None:
    source = image if mode == "P" else image.convert("RGB").convert(mode)
    picture = read_picture(save(source, interlace=interlace))
    shown = np.array(source.convert("RGB"))
    ours = picture.pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()
    assert np.array_equal(ours, shown)
    assert (picture.format, picture.frames, picture.alpha, picture.keep) == ("gif", 1, None, None)


def test_frames_are_counted(image: Image.Image) -> None:
    data = save(image, save_all=True, append_images=[image.rotate(90), image.rotate(180)])
    with Image.open(io.BytesIO(data)) as shown:
        assert probe(data).frames == read_picture(data).frames == shown.n_frames == 3  # type: ignore[attr-defined]


def test_what_it_says_beside_the_pixels(image: Image.Image) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"word " * 100 + b"</x:xmpmeta>"
    magic = bytes([1, *range(255, -1, -1), 0])
    data = save(image, comment=b"hello")
    profile = bytes(range(256)) * 3
    data = with_blocks(data, b"\x21\xff\x0bXMP DataXMP" + xmp + magic, extension(b"ICCRGBG1012", profile))
    data = data[:12] + bytes([49]) + data[13:]
    with Image.open(io.BytesIO(data)) as shown:
        assert shown.info["comment"] == b"hello"
        shown.seek(0)
    found = read_picture(data).metadata
    assert found.segments == ((0xFE, b"hello"),)
    assert (found.xmp, found.icc) == (xmp, profile)
    assert found.density == (64, 64, 0)


def test_transparency_and_a_frame_smaller_than_the_canvas(image: Image.Image) -> None:
    picture = read_picture(save(image, transparency=3))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha.numpy() == 0, np.array(image) == 3)
    data = bytearray(save(image))
    data[6:10] = struct.pack("<HH", 80, 70)
    picture = read_picture(bytes(data))
    assert (picture.width, picture.height) == (80, 70)
    assert picture.keep is not None and picture.keep[0] is Reason.ALPHA


def test_damage(image: Image.Image) -> None:
    data = save(image)
    assert read_picture(data[:-1]).height == 57  # the trailer alone is missing in many files
    for damaged in (
        data[:10],
        data[: len(data) // 2],
        data[: len(data) // 2] + b"\0;",
        data[:-2] + b"\x07;",
        data[:13] + b";",
    ):
        with pytest.raises(PictureError) as caught:
            read_picture(damaged)
        assert caught.value.reason is Reason.DECODE_ERROR
    assert read_gif(data).frames == ((0, 0, 65, 57),)
