import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from imgcompress.image.png_metadata import from_png

IPTC = b"\x1c\x02\x78\0\x07Caption"
RESOURCES = b"8BIM\x04\x04\0\0\0\0\0\x0c" + IPTC


def chunks_of(**texts: str) -> list[tuple[bytes, bytes]]:
    """Written by Pillow, taken apart here."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        if text.isascii():
            info.add_text(keyword, text, zip=len(text) > 50)
        else:
            info.add_itxt(keyword, text)
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG", pnginfo=info)
    data, at, chunks = buffer.getvalue(), 8, []
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def test_texts_become_comments() -> None:
    chunks = chunks_of(Comment="as it is", Title="A title", Author="Zoë 🐘", Description="long " * 30)
    latin = (b"tEXt", "Source\0Müller".encode("latin-1"))
    comments = [text for marker, text in from_png([*chunks, latin]).segments if marker == 0xFE]
    assert comments == [
        b"as it is",
        b"Title: A title",
        "Author: Zoë 🐘".encode(),
        b"Description: " + b"long " * 30,
        "Source: Müller".encode(),
    ]


@pytest.mark.parametrize(
    "profile",
    [RESOURCES, b"Photoshop 3.0\0" + RESOURCES, IPTC],
    ids=["resources", "as in a JPEG", "IPTC alone"],
)
def test_iptc_in_a_raw_profile(profile: bytes) -> None:
    text = b"\niptc\n%8d\n" % len(profile) + profile.hex().encode() + b"\n"
    chunk = (b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text))
    assert from_png([chunk]).segments == ((0xED, b"Photoshop 3.0\0" + RESOURCES),)


def test_a_raw_profile_that_is_not_known_stays_as_text() -> None:
    text = b"\nxyz\n       2\n4142\n"
    assert from_png([(b"tEXt", b"Raw profile type xyz\0" + text)]).segments == (
        (0xFE, b"Raw profile type xyz: " + text),
    )


@pytest.mark.parametrize(
    ("body", "density"),
    [
        (struct.pack(">IIB", 11811, 5906, 1), (300, 150, 1)),
        (struct.pack(">IIB", 200, 100, 0), (2, 1, 0)),
        (struct.pack(">IIB", 0, 0, 0), None),
        (struct.pack(">IIB", 2**32 - 1, 1, 1), None),
    ],
)
def test_density(body: bytes, density: tuple[int, int, int] | None) -> None:
    assert from_png([(b"pHYs", body)]).density == density
