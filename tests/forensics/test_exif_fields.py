import io
import struct
from pathlib import Path

import exifread
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcompress.forensics.exif_fields import read_exif_fields
from imgcompress.forensics.read_structure import read_structure


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif_with(thumbnail: bytes = b"", offset: int | None = None) -> bytes:
    """Make in the main directory, then a thumbnail's directory."""
    main = struct.pack(">HHHI4sI", 1, 0x010F, 2, 4, b"Abc\0", 26)
    at = 26 + 2 + 24 + 4 if offset is None else offset
    second = struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(thumbnail), 0)
    return b"MM\0*\0\0\0\x08" + main + second + thumbnail


def test_fields_are_those_that_pillow_writes() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131], exif[0x0132] = (
        "Make",
        "Model",
        "Program 1.0",
        "2026:01:02 03:04:05",
    )
    exif[0x0112] = 6
    detail = exif.get_ifd(0x8769)
    detail[0x9003], detail[0x927C], detail[0xA002], detail[0xA003] = (
        "2025:01:02 03:04:05",
        b"notes",
        4000,
        3000,
    )
    exif[0x8769] = detail
    found = read_exif_fields(exif.tobytes().removeprefix(b"Exif\0\0"))
    assert (found.make, found.model, found.software) == ("Make", "Model", "Program 1.0")
    assert (found.changed, found.taken) == ("2026:01:02 03:04:05", "2025:01:02 03:04:05")
    assert (found.orientation, found.maker_note, found.size) == (6, 5, (4000, 3000))
    assert found.damage == ()


def test_a_thumbnail_is_found() -> None:
    thumbnail = jpeg(quality=40)
    found = read_exif_fields(exif_with(thumbnail))
    assert (found.make, found.thumbnail, found.damage) == ("Abc", thumbnail, ())


def test_a_thumbnail_that_lies_outside_is_damage() -> None:
    found = read_exif_fields(exif_with(b"abc", offset=10_000))
    assert found.thumbnail is None
    assert [finding.text for finding in found.damage] == [
        "the EXIF thumbnail cannot be read: it lies outside"
    ]
    assert found.make == "Abc"


def test_overlapping_fields_take_no_memory() -> None:
    # Each of 4000 fields claims the same 40 kB; copying them would take 160 MB.
    count = 4000
    fields = b"".join(struct.pack(">HHII", 0x1000 + i, 7, 40_000, 8) for i in range(count))
    found = read_exif_fields(b"MM\0*\0\0\0\x08" + struct.pack(">H", count) + fields + bytes(4))
    assert found.damage == ()


@given(cut=st.integers(0, 200), at=st.integers(0, 100), value=st.integers(0, 255))
def test_no_damage_stops_it(cut: int, at: int, value: int) -> None:
    changed = bytearray(exif_with(b"\xff\xd8" + bytes(100)))[:cut]
    changed[at : at + 1] = bytes([value])
    assert 1 <= read_exif_fields(bytes(changed)).orientation <= 8


@pytest.mark.shared
def test_real_files_fields_are_those_that_another_library_reads(shared: Path) -> None:
    seen = 0
    for path in sorted((shared / "formats" / "weird").glob("*.jpg")):
        found = read_structure(path.read_bytes()).exif_fields
        if found is None or found.damage:
            continue
        with path.open("rb") as file:
            witness = exifread.process_file(file, details=False)
        for field, tag in (("make", "Image Make"), ("model", "Image Model"), ("software", "Image Software")):
            assert getattr(found, field) == str(witness.get(tag, "")).strip(), (path.name, tag)
            seen += tag in witness
        thumbnail = witness.get("JPEGThumbnail")
        assert (found.thumbnail or None) == thumbnail, path.name
    assert seen > 5
