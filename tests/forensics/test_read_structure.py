import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcompress.errors import PictureError
from imgcompress.forensics.read_structure import HEAD_BYTES, read_head, read_structure
from imgcompress.image.jpeg_file import mark_segment, parse_jpeg
from imgcompress.image.jpeg_markers import segment


def save(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels(photo: torch.Tensor) -> np.ndarray:
    return photo[:, :48, :64].permute(1, 2, 0).contiguous().numpy()


@pytest.fixture(scope="module")
def plain(pixels: np.ndarray) -> bytes:
    return save(pixels, quality=80)


def texts(data: bytes) -> list[str]:
    return [finding.text for finding in read_structure(data).damage]


def find(data: bytes, marker: int) -> int:
    return data.index(bytes([0xFF, marker]))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("subsampling", "name"), [(0, "444"), (1, "422"), (2, "420")])
def test_it_says_what_the_strict_parser_says(
    pixels: np.ndarray, progressive: bool, subsampling: int, name: str
) -> None:
    data = save(pixels, quality=60, progressive=progressive, subsampling=subsampling)
    found, strict = read_structure(data), parse_jpeg(data)
    assert found.damage == ()
    assert (found.subsampling, found.progressive) == (name, progressive)
    assert found.frame is not None
    assert found.frame.components == strict.components
    assert (found.frame.width, found.frame.height) == (64, 48)
    assert found.tables is not None
    assert torch.equal(found.tables, strict.tables)
    assert len(found.scans) == len(strict.scans)
    assert found.is_arithmetic is False
    assert found.standard_huffman is not progressive


def test_the_standards_huffman_tables_are_those_of_libjpeg(pixels: np.ndarray) -> None:
    found = read_structure(save(pixels))
    assert [table.example for table in found.huffman] == ["K.3", "K.5", "K.4", "K.6"]
    assert found.layout == (*("DQT:0", "DQT:1", "SOF0", "DHT:dc0", "DHT:ac0", "DHT:dc1", "DHT:ac1", "SOS"),)
    assert found.scan_script == ("0,1,2:0-63:0/0",)
    assert read_structure(save(pixels, optimize=True)).standard_huffman is False


def test_metadata_are_named_in_order(pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Maker", "Model 1", "Editor 2"
    data = save(pixels, exif=exif, dpi=(72, 72), comment=b"hello", icc_profile=bytes(70000))
    data = data[:2] + segment(*mark_segment("1.0", "abc")) + data[2:]
    found = read_structure(data)
    assert found.apps == ("APP10", "JFIF", "Exif", "ICC")
    assert found.jfif is not None
    assert (found.jfif.version, found.jfif.unit, found.jfif.density) == ((1, 1), 1, (72, 72))
    assert found.comments == (b"hello",)
    assert found.marked
    assert found.icc == bytes(70000)
    assert found.exif_fields is not None
    assert (found.exif_fields.make, found.exif_fields.model) == ("Maker", "Model 1")
    assert found.exif_fields.software == "Editor 2"
    assert found.damage == ()


def test_a_redefined_table_counts_from_its_components_first_scan(pixels: np.ndarray) -> None:
    data = save(pixels, quality=50, progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    changed = data[:second] + segment(0xDB, b"\0" + bytes([9] * 64)) + data[second:]
    found = read_structure(changed)
    assert found.tables is not None
    assert torch.equal(found.tables, parse_jpeg(data).tables)
    assert found.slots[0].steps == (9,) * 64
    assert len(found.quantization) == 3


def test_tables_of_16_bits(plain: bytes) -> None:
    at = find(plain, 0xC0)
    steps = [300 + i for i in range(64)]
    found = read_structure(plain[:at] + segment(0xDB, b"\x10" + struct.pack(">64H", *steps)) + plain[at:])
    assert found.slots[0].bits == 16
    assert found.slots[0].steps[:2] == (300, 301)
    assert found.slots[0].steps[8] == 302  # zigzag goes down to the left


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[:-2], "truncated"),
        (lambda d: d[: find(d, 0xC4) + 30], "truncated"),
        (lambda d: d[: find(d, 0xDB) + 30], "a quantization table is damaged"),
        (lambda d: d[: find(d, 0xDA)] + d[-2:], "no picture data"),
        (lambda d: d[:2] + b"rubbish" + d[2:], "bytes between segments"),
        (lambda d: d[:2] + d[:2] + d[2:], "second start-of-image"),
        (lambda d: d + b"film", "4 bytes follow the end"),
        (lambda d: d.replace(b"\xff\xc0\0\x11", b"\xff\xc0\0\x10", 1), "frame header has a wrong length"),
        (lambda d: d.replace(b"\xff\xc4\0\x1f", b"\xff\xc4\0\1", 1), "impossible length"),
        (lambda d: d.replace(b"\xff\xdb\0C", b"\xff\xdb\xff\xff", 1), "truncated"),
        (lambda d: d[: find(d, 0xC0)] + d[find(d, 0xC4) :], "no frame header"),
        (lambda d: d[: find(d, 0xDB)] + d[find(d, 0xC0) :], "a quantization table is missing"),
        (lambda d: d[:2] + segment(0xDB, b"\0" + bytes(64)) + d[2:], "a step of 0"),
        (lambda d: d[:2] + segment(0xC4, b"\0" + b"\xff" * 16) + d[2:], "a Huffman table is damaged"),
        (lambda d: d[:2] + segment(0xE2, b"ICC_PROFILE\0\1\2abc") + d[2:], "parts of the ICC profile"),
        (lambda d: d[:2] + segment(0xEE, b"Adobe\0") + d[2:], "Adobe segment is cut off"),
        (lambda d: d[:2] + segment(0xDD, b"\0") + d[2:], "restart interval"),
    ],
)
def test_damage_is_told(plain: bytes, change: object, said: str) -> None:
    assert callable(change)
    assert any(said in text for text in texts(change(plain)))
    assert texts(plain) == []


def test_zeros_behind_the_end_are_no_damage(plain: bytes) -> None:
    found = read_structure(plain + bytes(100))
    assert (found.trailer, found.damage) == (100, ())


def test_damage_is_counted_and_not_repeated(plain: bytes) -> None:
    assert texts(plain[:2] + (b"\xff\xdd\0\3\0") * 500 + plain[2:]) == [
        "the restart interval's segment has a wrong length (500 times)"
    ]


def test_what_begins_otherwise_is_no_jpeg_file() -> None:
    for data in (b"", b"\xff", b"\x89PNG"):
        with pytest.raises(PictureError, match="no JPEG file"):
            read_structure(data)


def test_a_head_says_what_the_file_says(pixels: np.ndarray) -> None:
    data = save(np.tile(pixels, (8, 8, 1)), quality=98, icc_profile=bytes(50000))
    assert len(data) > 5 * HEAD_BYTES
    whole, head = read_structure(data), read_head(io.BytesIO(data))
    assert not head.whole
    assert head.scans == ()
    assert (head.layout, head.apps, head.latched, head.jfif) == (
        whole.layout,
        whole.apps,
        whole.latched,
        whole.jfif,
    )
    assert head.wants == 0
    assert head.damage == ()
    assert head.size < len(data)


def test_a_head_that_is_too_short_says_how_much_it_wants(plain: bytes) -> None:
    start = find(plain, 0xDA)
    for size in range(2, start + 14):
        wants = read_structure(plain[:size], whole=False).wants
        assert size < wants <= start + 14
    assert read_structure(plain[: start + 14], whole=False).wants == 0


def test_a_file_that_ends_in_its_head_is_damaged(plain: bytes) -> None:
    found = read_head(io.BytesIO(plain[:100]))
    assert found.whole
    assert any("truncated" in finding.text for finding in found.damage)


@given(data=st.data())
def test_no_damage_stops_it(plain: bytes, data: st.DataObject) -> None:
    changed = bytearray(plain[: data.draw(st.integers(2, len(plain)))])
    places = st.integers(2, max(2, len(changed) - 1))
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        changed[at : at + 1] = bytes([value])
    for whole in (True, False):
        found = read_structure(bytes(changed), whole=whole)
        assert found.scan_script is not None
        assert found.subsampling
        assert found.exif_fields is None or found.exif_fields.orientation
        assert found.tables is None or int(found.tables.min()) > 0


@given(noise=st.binary(max_size=300), markers=st.lists(st.sampled_from([0xC0, 0xC4, 0xDA, 0xDB, 0xE1, 0xE2])))
def test_no_noise_stops_it(noise: bytes, markers: list[int]) -> None:
    parts = b"".join(segment(marker, noise[i : i + 80]) for i, marker in enumerate(markers))
    assert read_structure(b"\xff\xd8" + parts + noise).size == 2 + len(parts) + len(noise)


def test_long_hostile_files_take_linear_time() -> None:
    # Quadratic in the number of segments, scans or fill bytes, any of these would take hours.
    scan = segment(0xDA, b"\1\1\0\0\x3f\0")
    for part in (b"\xff\xd8", b"\xff", b"\xff\xdd\0\2", b"\xff\xc4\0\0", scan, b"a\xff\xd0"):
        found = read_structure(b"\xff\xd8" + part * (8_000_000 // len(part)))
        assert found.damage
        assert len(found.scans) <= 300


@pytest.mark.shared
def test_hostile_files_are_read(shared: Path) -> None:
    paths = [p for kind in ("corrupt", "weird") for p in sorted((shared / "formats" / kind).glob("*.j*"))]
    read = 0
    for path in paths:
        data = path.read_bytes()
        if not data.startswith(b"\xff\xd8"):
            continue
        read += 1
        found = read_structure(data)
        try:
            strict = parse_jpeg(data)
        except PictureError:
            continue
        # What the strict parser accepts lacks nothing that is needed for decoding.
        assert found.frame is not None
        assert len(found.scans) == len(strict.scans), path.name
        if strict.frame_marker != 0xC3:
            assert found.tables is not None
            assert torch.equal(found.tables, strict.tables), path.name
    assert read > 100


@pytest.mark.shared
def test_a_multi_picture_file_counts_its_pictures(shared: Path) -> None:
    found = read_structure((shared / "formats" / "weird" / "pil_frozenpond.mpo").read_bytes())
    assert found.pictures == 2
    assert found.trailer > 0
    assert found.damage == ()
