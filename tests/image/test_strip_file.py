"""Stripped files, seen by Pillow and exifread; pixels and colors must be as before."""

import io
import struct
import zlib

import exifread
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from imgcompress.image.containers import png_chunks, webp_chunks
from imgcompress.image.strip_file import strip_file

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,30N" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="kept words"/></rdf:RDF></x:xmpmeta>'
)


def exif(*, thumbnail: bool = False) -> bytes:
    block = Image.Exif()
    block[0x010F], block[0x0112] = "A maker", 6
    block.get_ifd(0x8825)[1], block.get_ifd(0x8825)[2] = "N", (52.0, 30.0, 12.0)
    data = block.tobytes()
    assert data.startswith(b"Exif\0\0")
    return data


def make(form: str, **options: object) -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 32, 4), dtype=np.uint8))
    buffer = io.BytesIO()
    if form == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "a comment")
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        info.add(b"prVt", b"a private chunk")
        image.save(buffer, "PNG", pnginfo=info, exif=exif(), icc_profile=SRGB, dpi=(300, 300))
    else:
        image.save(buffer, "WEBP", lossless=True, xmp=XMP, exif=exif(), icc_profile=SRGB, **options)
    return buffer.getvalue()


def tags(data: bytes) -> dict[str, object]:
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif().tobytes()
    jpeg = io.BytesIO()
    Image.new("L", (8, 8)).save(jpeg, "JPEG", exif=found)
    return exifread.process_file(io.BytesIO(jpeg.getvalue()))


def shown(data: bytes) -> tuple[np.ndarray, object, object]:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image), image.info.get("icc_profile"), image.info.get("dpi")


@pytest.mark.parametrize("form", ["png", "webp"])
@pytest.mark.parametrize("mode", ["gps", "all", "thumbnail"])
def test_what_goes_and_what_stays(form: str, mode: str) -> None:
    data = make(form)
    assert "GPS GPSLatitude" in tags(data) and b"52,30N" in data
    result = strip_file(data, form, mode)  # type: ignore[arg-type]
    for before, after in zip(shown(data), shown(result), strict=True):
        assert np.array_equal(before, after)  # type: ignore[arg-type]
    found = tags(result)
    assert found["Image Orientation"].values == [6]  # type: ignore[attr-defined]
    if mode == "thumbnail":
        assert result == data
        return
    assert not [name for name in found if "GPS" in name] and b"52,30N" not in result
    assert ("Image Make" in found) == (b"kept words" in result) == (mode == "gps")
    assert b"a private chunk" not in result
    if form == "png":
        assert (b"a comment" in result) == (mode == "gps")
    assert strip_file(result, form, mode) == result  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["png", "webp"])
def test_nothing_to_strip_changes_no_byte(form: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(buffer, form)
    for mode in ("gps", "all", "thumbnail"):
        assert strip_file(buffer.getvalue(), form, mode) == buffer.getvalue()  # type: ignore[arg-type]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_raw_profiles_of_a_png() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(buffer, "PNG")
    data = buffer.getvalue()
    for name, profile in (("exif", exif()), ("iptc", b"8BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x5a\0\x05Delft")):
        text = b"\n%s\n%8d\n%s\n" % (name.encode(), len(profile), profile.hex().encode())
        data = data[:33] + chunk(b"tEXt", f"Raw profile type {name}\0".encode() + text) + data[33:]
    bare = strip_file(data, "png", "gps")
    assert [kind for kind, _ in png_chunks(bare)] == [b"IHDR", b"IDAT", b"eXIf", b"IEND"]
    assert {name for name in tags(bare) if name.startswith(("Image", "GPS"))} == {
        "Image Make",
        "Image Orientation",
    }


def test_an_animated_webp_keeps_its_frames() -> None:
    other = Image.new("RGBA", (32, 24), (9, 200, 30, 255))
    data = make("webp", save_all=True, append_images=[other])
    bare = strip_file(data, "webp", "all")
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(bare)) as after:
        assert before.n_frames == after.n_frames == 2  # type: ignore[attr-defined]
    kinds = [kind for kind, _ in webp_chunks(bare)]
    assert b"XMP " not in kinds and kinds.count(b"ANMF") == 2


def test_bytes_behind_the_end_of_a_png_go() -> None:
    assert strip_file(make("png") + b"an older picture", "png", "gps").endswith(b"IEND\xaeB`\x82")
