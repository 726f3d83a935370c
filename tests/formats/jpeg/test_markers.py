import io

import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.formats.jpeg import markers
from imgcompress.formats.jpeg.encoder import CoefficientBatch, encode_baseline
from imgcompress.image.jpeg_markers import COM, segment
from imgcompress.image.picture import Metadata
from imgcompress.image.sampling import SAMPLINGS


def open_with(header: bytes) -> Image.Image:
    """A gray picture of one block with this header, read by Pillow."""
    batch = CoefficientBatch(
        planes=(torch.zeros(1, 1, 1, 8, 8, dtype=torch.int32),),
        tables=torch.ones(1, 1, 8, 8, dtype=torch.int32),
        table_of_component=(0,),
        heights=(5,),
        widths=(6,),
        sampling=SAMPLINGS["gray"],
    )
    picture = Image.open(io.BytesIO(encode_baseline(batch, [header])[0]))
    picture.load()
    assert picture.size == (6, 5)
    return picture


def exif(**tags: str) -> bytes:
    made = Image.Exif()
    for tag, value in tags.items():
        made[{"maker": 0x010F, "model": 0x0110}[tag]] = value
    return made.tobytes().removeprefix(b"Exif\x00\x00")


def test_segment() -> None:
    assert segment(COM, b"abc") == b"\xff\xfe\x00\x05abc"
    assert len(segment(COM, bytes(65533))) == 65537


def test_jfif_bytes() -> None:
    assert markers.jfif((300, 72, 1)) == b"\xff\xe0\x00\x10JFIF\x00\x01\x02\x01\x01\x2c\x00\x48\x00\x00"
    assert markers.jfif(None) == b"\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"


@pytest.mark.parametrize("density", [(0, 1, 1), (1, 65536, 1), (1, 1, 3)])
def test_density_that_does_not_fit(density: tuple[int, int, int]) -> None:
    assert markers.jfif(density) == markers.jfif(None)


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_density(unit: int) -> None:
    info = open_with(markers.jfif((300, 150, unit))).info
    assert info["jfif_density"] == (300, 150)
    assert info["jfif_unit"] == unit


@pytest.mark.parametrize("size", [1, 65519, 65520, 200_000])
def test_pillow_finds_everything(size: int) -> None:
    profile = bytes(torch.arange(size).remainder(251).tolist())
    metadata = Metadata(
        exif=exif(maker="ours", model="theirs"),
        icc=profile,
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        segments=((0xED, b"Photoshop 3.0\x00"), (COM, b"first")),
    )
    picture = open_with(markers.jfif(None) + markers.metadata_segments(metadata, [(0xEB, b"last")]))
    assert dict(picture.getexif()) == {0x010F: "ours", 0x0110: "theirs"}
    assert picture.info["icc_profile"] == profile
    assert picture.info["xmp"] == metadata.xmp
    assert picture.info["comment"] == b"first"
    names = [name for name, _ in picture.applist]
    assert names == ["APP0", "APP1", "APP1", *["APP2"] * -(-size // 65519), "APP13", "COM", "APP11"]


def test_nothing_to_carry() -> None:
    assert markers.metadata_segments(Metadata()) == b""


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(exif=bytes(65533 - 6 + 1)),
        Metadata(xmp=bytes(65533 - 29 + 1)),
        Metadata(icc=bytes(255 * 65519 + 1)),
        Metadata(segments=((COM, bytes(65534)),)),
    ],
    ids=["exif", "xmp", "icc", "segment"],
)
def test_too_large(metadata: Metadata) -> None:
    with pytest.raises(PictureError) as caught:
        markers.metadata_segments(metadata)
    assert caught.value.reason is Reason.METADATA_TOO_LARGE


def test_the_largest_that_fit() -> None:
    header = markers.metadata_segments(Metadata(exif=bytes(65533 - 6), xmp=bytes(65533 - 29)))
    assert len(header) == 2 * 65537
    assert markers.icc_segments(bytes(255 * 65519)).count(b"ICC_PROFILE\x00") == 255


@pytest.mark.parametrize("marker", [0xDA, 0xD9, 0xC4, 0x00, 0xFF])
def test_only_appn_and_comments_are_carried(marker: int) -> None:
    with pytest.raises(ValueError, match=f"0x{marker:02X}"):
        markers.metadata_segments(Metadata(segments=((marker, b""),)))


def test_quantization_tables_choose_their_precision() -> None:
    fine, coarse = [255] * 64, [1] * 63 + [256]
    assert markers.quantization_tables([fine]) == b"\xff\xdb\x00\x43\x00" + b"\xff" * 64
    mixed = markers.quantization_tables([fine, coarse])
    assert mixed[4 + 65 :] == b"\x11" + b"\x00\x01" * 63 + b"\x01\x00"
    assert not markers.needs_extended_frame([fine])
    assert markers.needs_extended_frame([fine, coarse])


@pytest.mark.parametrize("step", [0, -1, 65536])
def test_steps_out_of_range(step: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.65535"):
        markers.quantization_tables([[1] * 63 + [step]])


def test_frame_header_bytes() -> None:
    header = markers.frame_header(258, 3, SAMPLINGS["422"], (0, 1, 2), extended=False)
    assert header == bytes.fromhex("ffc0 0011 08 0102 0003 03 012100 021101 031102")
    assert markers.frame_header(1, 1, SAMPLINGS["gray"], (0,), extended=True) == bytes.fromhex(
        "ffc1 000b 08 0001 0001 01 011100"
    )


@pytest.mark.parametrize(("height", "width"), [(65501, 1), (1, 65536), (0, 1)])
def test_sizes_that_do_not_fit(height: int, width: int) -> None:
    with pytest.raises(PictureError) as caught:
        markers.frame_header(height, width, SAMPLINGS["444"], (0, 1, 1), extended=False)
    assert caught.value.reason is Reason.UNSUPPORTED


def test_huffman_and_scan_bytes() -> None:
    bits = [0, 2, *[0] * 14]
    dht = markers.huffman_tables([(bits, [5, 6, 7]), (bits, [1, 2])])
    assert dht == b"\xff\xc4\x00\x28" + bytes((0x00, *bits, 5, 6, 0x10, *bits, 1, 2))
    assert markers.scan_header(1) == bytes.fromhex("ffda 0008 01 0100 003f00")
    assert markers.scan_header(3) == bytes.fromhex("ffda 000c 03 0100 0211 0311 003f00")
