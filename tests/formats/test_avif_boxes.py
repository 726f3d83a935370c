"""The plugin writes the same boxes when it is given the same metadata."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import imgcompress.image.read  # noqa: F401
from imgcompress.errors import PictureError, Reason
from imgcompress.formats.avif_boxes import with_metadata
from imgcompress.image.containers import avif_properties, boxes
from imgcompress.image.picture import Metadata

INSIDE = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4}


@pytest.fixture
def image(photo) -> Image.Image:
    alpha = photo[0, :40, :50]
    return Image.fromarray(np.dstack([photo[:, :40, :50].permute(1, 2, 0).numpy(), alpha.numpy()]))


def saved(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", speed=10, max_threads=1, **options)
    return buffer.getvalue()


def plain(image: Image.Image, depth: int) -> bytes:
    if depth == 8:
        return saved(image)
    samples = np.asarray(image).astype(np.uint16) * 4
    return bytes(imagecodecs.avif_encode(samples, level=60, bitspersample=depth, numthreads=1))


def found(data: bytes, wanted: bytes) -> list[bytes]:
    pending, result = [(0, len(data))], []
    while pending:
        for kind, start, stop in boxes(data, *pending.pop(0)):
            result += [data[start:stop]] if kind == wanted else []
            pending += [(start + INSIDE[kind], stop)] if kind in INSIDE else []
    return result


def properties(data: bytes) -> dict[int, list[tuple[bytes, bytes, bool]]]:
    """Kind, content and whether it is essential of each item's properties, in order."""
    (ipco,), (ipma,) = found(data, b"ipco"), found(data, b"ipma")
    known = [(kind, ipco[start:stop]) for kind, start, stop in boxes(ipco, 0, len(ipco))]
    result, at = {}, 8
    while at < len(ipma):
        number, count = struct.unpack(">HB", ipma[at : at + 3])
        indices = ipma[at + 3 : at + 3 + count]
        result[number] = [(*known[(index & 0x7F) - 1], index >= 0x80) for index in indices]
        at += 3 + count
    return result


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_and_what_they_belong_to_are_the_plugins_own(orientation, image):
    exif = Image.Exif()
    exif[0x0112] = orientation
    theirs = saved(image, exif=exif.tobytes())
    ours = with_metadata(saved(image), Metadata(orientation=orientation), None)
    assert properties(ours) == properties(theirs)
    assert len(properties(ours)) == 2


@pytest.mark.parametrize("depth", [8, 10])
def test_readers_find_the_metadata_and_the_same_pixels(depth, image, metadata: Metadata):
    before = plain(image, depth)
    after = with_metadata(before, metadata, b"1 abc")
    with Image.open(io.BytesIO(after)) as again, Image.open(io.BytesIO(before)) as bare:
        assert again.info["exif"] == metadata.exif
        assert again.info["icc_profile"] == metadata.icc
        assert again.info["xmp"] == metadata.xmp
        np.testing.assert_array_equal(np.array(again), np.array(bare))
    np.testing.assert_array_equal(
        imagecodecs.avif_decode(after, numthreads=1), imagecodecs.avif_decode(before, numthreads=1)
    )
    assert avif_properties(after).bit_depth == depth


def test_pillows_own_reader_agrees(image, metadata: Metadata):
    from PIL import AvifImagePlugin

    data = with_metadata(plain(image, 10), metadata, b"1 abc")
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as again:
        assert again.size == (50, 40)
        assert again.info["icc_profile"] == metadata.icc
        assert again.info["xmp"] == metadata.xmp
        assert again.getexif()[0x0112] == metadata.orientation
        again.load()


def test_entries_references_and_items_are_as_the_plugin_writes_them(image):
    exif = Image.Exif()
    exif[0x010F] = "us"
    theirs = saved(image, exif=exif.tobytes(), xmp=b"<x/>")
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    ours = with_metadata(saved(image), Metadata(exif=tiff, xmp=b"<x/>"), None)
    for kind in (b"infe", b"iref", b"pitm", b"ftyp", b"hdlr"):
        assert found(ours, kind) == found(theirs, kind)


def test_code_points_stay_without_a_profile_and_go_with_one(image):
    before = saved(image)
    bare = with_metadata(before, Metadata(), None)
    assert bare == before
    profile = with_metadata(before, Metadata(icc=b"p" * 130), None)
    (old,) = found(before, b"colr")
    new, added = found(profile, b"colr")
    assert struct.unpack(">4sHHHB", old) == (b"nclx", 1, 13, 6, 0x80)
    assert struct.unpack(">4sHHHB", new) == (b"nclx", 2, 2, 6, 0x80)
    assert added == b"prof" + b"p" * 130


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x10ftypavif\0\0\0\0", "moved", "extents"])
def test_a_file_laid_out_otherwise_is_refused(data, image):
    if data == "moved":
        data = saved(image) + b"\0\0\0\x09free\0"
    elif data == "extents":
        data = saved(image).replace(b"iloc\0\0\0\0\x44", b"iloc\1\0\0\0\x44")
    with pytest.raises(PictureError) as caught:
        with_metadata(data, Metadata(), None)
    assert caught.value.reason is Reason.UNSUPPORTED
