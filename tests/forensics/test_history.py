import io
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgcompress.forensics.history import History, read_history
from imgcompress.forensics.read_structure import read_structure
from imgcompress.forensics.signatures import load_signatures
from imgcompress.image.jpeg_markers import EXIF_NAME, segment


def save(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def told(data: bytes) -> History:
    return read_history(read_structure(data), load_signatures())


def texts(history: History, about: str) -> str:
    return " | ".join(finding.text for finding in history.findings if finding.about == about)


@pytest.fixture(scope="module")
def image(photo: torch.Tensor) -> Image.Image:
    return Image.fromarray(photo.permute(1, 2, 0).contiguous().numpy())


def camera_exif(software: str = "", size: tuple[int, int] = (600, 400), notes: bool = True) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 7"
    if software:
        exif[0x0131] = software
    detail = exif.get_ifd(0x8769)
    detail[0xA002], detail[0xA003] = size
    if notes:
        detail[0x927C] = bytes(500)
    exif[0x8769] = detail
    return exif


def without_jfif(data: bytes) -> bytes:
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def test_quality_and_encoder_are_told(image: Image.Image) -> None:
    history = told(save(image, quality=75))
    assert texts(history, "quality") == "The quantization tables are libjpeg's of quality 75."
    assert "Pillow" in texts(history, "encoder")
    assert texts(history, "damage") == ""
    assert history.families[0].family == "libjpeg"
    assert 0 <= history.unknown < 0.2


def test_other_tables_are_told_with_their_distance(image: Image.Image) -> None:
    table = [16 + i // 2 for i in range(64)]
    history = told(save(image, qtables=[table, table]))
    assert "differ by" in texts(history, "quality")
    assert history.quality is not None
    assert not history.quality.exact


def test_damage_is_among_the_findings(image: Image.Image) -> None:
    assert "truncated" in texts(told(save(image)[:3000]), "damage")


def test_a_cameras_file_is_believed(image: Image.Image) -> None:
    # Tables of its own, as cameras have them.
    table = [2 + i // 8 for i in range(64)]
    data = without_jfif(save(image, qtables=[table, table], subsampling=1, exif=camera_exif()))
    found = texts(told(data), "origin")
    assert "Maker Model 7" in found
    assert "looks as cameras write them" in found


def test_a_cameras_file_that_was_saved_again_is_not(image: Image.Image) -> None:
    exif = camera_exif("Adobe Lightroom 6.0", (6000, 4000), notes=False)
    found = texts(told(save(image, quality=70, progressive=True, exif=exif)), "origin")
    assert "saved again since" in found
    assert "6000x4000 in EXIF, but 600x400" in found
    assert "'Adobe Lightroom 6.0', which edits pictures" in found


def test_a_picture_that_was_turned_has_the_cameras_size(image: Image.Image) -> None:
    data = save(image.transpose(Image.Transpose.ROTATE_90), quality=95, exif=camera_exif())
    assert "in EXIF, but" not in texts(told(data), "origin")


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    at = 14 + 2 + 24 + 4
    second = struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(thumbnail), 0)
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">HI", 0, 14) + second + thumbnail
    return data[:2] + segment(0xE1, EXIF_NAME + exif) + data[2:]


def test_a_thumbnails_tables_are_compared(image: Image.Image) -> None:
    small = image.resize((60, 40))
    finer = told(with_thumbnail(save(image, quality=50), save(small, quality=80)))
    assert "finer (about quality 80) than the picture's (about 50)" in texts(finer, "thumbnail")
    coarser = told(with_thumbnail(save(image, quality=90), save(small, quality=80)))
    assert "no finer" in texts(coarser, "thumbnail")
    assert "2.5 times" not in texts(finer, "earlier_compression")
    scaled = told(with_thumbnail(save(image, quality=60), save(small, quality=80)))
    assert "2.0 times the thumbnail's" in texts(scaled, "earlier_compression")


@pytest.mark.parametrize("side", [1280, 1600, 2048])
def test_an_imitated_messenger_shows_with_little_confidence(image: Image.Image, side: int) -> None:
    first = Image.open(io.BytesIO(save(image.resize((side * 3 // 2, side)), quality=93, exif=camera_exif())))
    sent = save(first.convert("RGB").resize((side, side * 2 // 3)), quality=70, progressive=True)
    (finding,) = (f for f in told(sent).findings if f.about == "earlier_compression")
    assert f"a longest side of {side}" in finding.text
    assert "imitated files, not from real ones" in finding.text
    assert finding.confidence <= 0.5


def test_a_plain_file_is_not_taken_for_a_messengers(image: Image.Image) -> None:
    for options in ({"quality": 75}, {"quality": 95, "progressive": True}, {"exif": camera_exif()}):
        assert texts(told(save(image, **options)), "earlier_compression") == ""


def test_photoshop_is_told_by_rule(image: Image.Image) -> None:
    data = without_jfif(save(image, qtables=[[12 + i // 9 for i in range(64)]] * 2))
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    made = data[:2] + segment(0xED, b"Photoshop 3.0\0008BIM") + adobe + data[2:]
    found = texts(told(made), "encoder")
    assert "By rule, not by samples: Adobe Photoshop" in found
    assert "Adobe Photoshop" not in texts(told(data), "encoder")


@given(data=st.data())
def test_no_damage_stops_it(data: st.DataObject) -> None:
    whole = save(Image.new("RGB", (24, 16), (90, 60, 30)), exif=camera_exif(), icc_profile=bytes(50))
    changed = bytearray(whole[: data.draw(st.integers(2, len(whole)))])
    for at in data.draw(st.lists(st.integers(2, max(2, len(changed) - 1)), max_size=6)):
        changed[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
    for finding in told(bytes(changed)).findings:
        assert finding.text


@pytest.mark.shared
def test_real_files_are_told(shared: Path) -> None:
    folder = shared / "formats" / "weird"
    photoshop = told((folder / "icc_P3-sRGB-color-ring.jpg").read_bytes())
    assert "Adobe Photoshop or a program of its kind" in texts(photoshop, "encoder")
    assert "edits pictures" in texts(photoshop, "origin")
    console = told((folder / "pil_frozenpond.mpo").read_bytes())
    assert "Nintendo" in texts(console, "origin")
    assert "looks as cameras write them" in texts(console, "origin")
    edited = told((folder / "pil_broken_exif_dpi.jpg").read_bytes())
    assert "saved again since" in texts(edited, "origin")


@pytest.mark.shared
def test_hostile_files_are_told(shared: Path) -> None:
    for kind in ("corrupt", "weird"):
        for path in sorted((shared / "formats" / kind).glob("*.j*")):
            data = path.read_bytes()
            if data.startswith(b"\xff\xd8"):
                assert told(data).findings, path.name
