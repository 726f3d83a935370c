import io
import struct
import zlib
from pathlib import Path

import exifread
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from imgcompress.image.exif import (
    ExifError,
    TiffStructure,
    orientation_of,
    orientation_only,
    with_orientation,
)
from imgcompress.image.exif import drop_thumbnail as drop_thumbnail_strictly
from imgcompress.image.jpeg_file import mark_segment
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.metadata import drop_gps, drop_gps_from_xmp, drop_thumbnail, strip
from imgcompress.image.picture import Metadata
from imgcompress.image.read import read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
PLACE = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    b' exif:GPSLatitude="52,5.5N" exif:FNumber="28/10" photoshop:City="Delft" dc:creator="me">'
    b"<exif:GPSLongitude>4,3E</exif:GPSLongitude><dc:title>kept</dc:title>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    b'<?xpacket end="w"?>'
)


def block(order: str) -> tuple[bytes, bytes]:
    """EXIF data with a maker note in the middle, a position, and a thumbnail at the end; and that note."""
    note = b"MAKER\0" + bytes(range(58))
    thumbnail = b"\xff\xd8thumbnail\xff\xd9"
    main_at, detail_at, note_at, gps_at = 8, 62, 100, 164
    latitude_at, second_at = gps_at + 30, gps_at + 30 + 24
    second_end = second_at + 2 + 24 + 4

    def field(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + packed

    main = struct.pack(order + "H", 4) + field(0x0112, 3, 1, 6) + field(0x8769, 4, 1, detail_at)
    main += field(0x8825, 4, 1, gps_at) + field(0xA301, 3, 1, 7) + struct.pack(order + "I", second_at)
    detail = struct.pack(order + "H", 2) + field(0x927C, 7, len(note), note_at) + field(0xA002, 4, 1, 600)
    gps = struct.pack(order + "H", 2) + field(0x0001, 2, 2, 0) + field(0x0002, 5, 3, latitude_at) + bytes(4)
    gps = gps.replace(
        struct.pack(order + "HHI", 1, 2, 2) + bytes(4), struct.pack(order + "HHI", 1, 2, 2) + b"N\0\0\0"
    )
    latitude = struct.pack(order + "6I", 52, 1, 5, 1, 30, 1)
    second = struct.pack(order + "H", 2) + field(0x0201, 4, 1, second_end)
    second += field(0x0202, 4, 1, len(thumbnail)) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", main_at)
    data = (head + main).ljust(detail_at, b"\0") + detail
    data = data.ljust(note_at, b"\0") + note + gps + latitude + second + thumbnail
    return data, note


def tags(exif: bytes) -> dict[str, object]:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    data = jpeg[:2] + segment(0xE1, b"Exif\0\0" + exif) + jpeg[2:]
    return exifread.process_file(io.BytesIO(data), details=True)


def jpeg(*segments: tuple[int, bytes], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 60)).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    return data[:2] + b"".join(segment(*each) for each in segments) + data[2:]


# EXIF edits


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_goes_and_nothing_moves(order: str) -> None:
    data, note = block(order)
    assert "JPEGThumbnail" in tags(data)
    bare = drop_thumbnail(data)
    assert bare == data[: len(bare)].replace(data[58:62], bytes(4), 1)
    assert len(bare) < len(data) and b"thumbnail" not in bare
    found = tags(bare)
    assert "JPEGThumbnail" not in found and not any(name.startswith("Thumbnail") for name in found)
    assert found["Image Orientation"].values == [6]
    assert [r.num for r in found["GPS GPSLatitude"].values] == [52, 5, 30]
    assert bare[100:164] == note
    assert drop_thumbnail(bare) == bare


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_thumbnail_in_the_middle_is_zeroed(order: str) -> None:
    data, _ = block(order)
    bare = drop_thumbnail(data + b"something else")
    assert len(bare) == len(data) + 14
    assert b"thumbnail" not in bare and bare.endswith(b"something else")


def test_a_thumbnail_that_claims_other_data_takes_none_of_it() -> None:
    data, note = block("<")
    second_at = TiffStructure(data).ifd(8).following
    lying = bytearray(data)
    lying[second_at + 2 + 8 : second_at + 2 + 12] = struct.pack("<I", 90)  # it begins before the maker note
    lying[second_at + 14 + 8 : second_at + 14 + 12] = struct.pack("<I", 120)
    bare = drop_thumbnail(bytes(lying))
    assert bare[100:164] == note
    assert [r.num for r in tags(bare)["GPS GPSLatitude"].values] == [52, 5, 30]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_position_goes_and_nothing_moves(order: str) -> None:
    data, note = block(order)
    bare = drop_gps(data)
    assert bare is not None and len(bare) == len(data)
    found = tags(bare)
    assert not any("GPS" in name for name in found)
    assert found["Image Orientation"].values == [6]
    assert found["EXIF ExifImageWidth"].values == [600]
    assert "JPEGThumbnail" in found
    assert struct.pack(order + "6I", 52, 1, 5, 1, 30, 1) not in bare
    assert bare[100:164] == note
    assert drop_gps(bare) == bare


def test_broken_exif() -> None:
    for broken in (b"", b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"junk" * 20):
        assert drop_thumbnail(broken) == broken
        assert drop_gps(broken) is None
        assert orientation_of(broken) == 1
    kept = Metadata(exif=b"junk" * 20, orientation=1)
    assert strip(kept, "none").exif == b"junk" * 20
    assert strip(kept, "gps").exif is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_exif_never_raises(data: st.DataObject) -> None:
    damaged = bytearray(block(data.draw(st.sampled_from("<>")))[0])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    exif = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    assert len(drop_thumbnail(exif)) <= len(exif)
    without = drop_gps(exif)
    assert without is None or len(without) == len(exif)
    assert orientation_of(with_orientation(exif, 3)) == 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_alone(orientation: int) -> None:
    exif = orientation_only(orientation)
    assert orientation_of(exif) == orientation
    assert tags(exif)["Image Orientation"].values == [orientation]


def test_an_orientation_is_put_in_without_moving_the_rest() -> None:
    data, note = block("<")
    assert with_orientation(data, 6) == data
    changed = with_orientation(data, 3)
    assert changed is not None and orientation_of(changed) == 3 and len(changed) == len(data)
    bare = bytearray(data)
    bare[10:12] = struct.pack("<H", 0x0111)  # the field becomes another one
    changed = with_orientation(bytes(bare), 8)
    assert changed is not None
    assert changed[100:164] == note and tags(changed)["Image Orientation"].values == [8]
    assert "JPEGThumbnail" in tags(changed)
    assert with_orientation(None, 5) == orientation_only(5)
    with pytest.raises(ExifError):
        drop_thumbnail_strictly(b"none")


# XMP


def test_places_leave_an_xmp_packet() -> None:
    bare = drop_gps_from_xmp(PLACE)
    assert bare is not None
    for word in (b"GPS", b"52,5.5", b"4,3E", b"Delft"):
        assert word not in bare
    for word in (b'exif:FNumber="28/10"', b'dc:creator="me"', b"<dc:title>kept</dc:title>", b"<?xpacket end"):
        assert word in bare
    assert drop_gps_from_xmp(bare) == bare


def test_places_are_found_by_namespace_not_by_prefix() -> None:
    renamed = PLACE.replace(b"exif:", b"e:").replace(b"xmlns:exif", b"xmlns:e")
    bare = drop_gps_from_xmp(renamed)
    assert bare is not None and b"GPS" not in bare


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_and_damage_drop_the_packet(encoding: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
    assert drop_gps_from_xmp(bomb.encode(encoding)) is None
    assert drop_gps_from_xmp("<a><b></a>".encode(encoding)) is None


# From files


def test_jpeg_segments_are_taken_and_carried() -> None:
    exif, _ = block("<")
    carried = [(0xFE, b"a comment"), (0xED, b"Photoshop 3.0\0x"), (0xE5, b"unknown"), (0xE2, b"FPXR\0")]
    ours = mark_segment("1", "2")
    multi_picture = (0xE2, b"MPF\0junk")
    data = jpeg(
        (0xE1, b"Exif\0\0" + exif), (0xE1, XMP_HEAD + PLACE), multi_picture, ours, *carried, dpi=(300, 150)
    )
    picture = read_picture(data)
    found = picture.metadata
    assert (found.exif, found.xmp, found.orientation) == (exif, PLACE, 6)
    assert found.density == (300, 150, 1)
    assert list(found.segments) == carried
    assert picture.marked


def test_icc_in_several_chunks_in_any_order() -> None:
    profile = bytes(range(256)) * 10

    def piece(number: int, count: int) -> tuple[int, bytes]:
        return 0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + profile[(number - 1) * 1000 : number * 1000]

    assert read_picture(jpeg(piece(1, 3), piece(2, 3), piece(3, 3))).metadata.icc == profile
    assert read_picture(jpeg(piece(3, 3), piece(1, 3), piece(2, 3))).metadata.icc == profile
    for chunks in ([(1, 3), (3, 3)], [(1, 3), (1, 3), (3, 3)], [(1, 2), (2, 3), (3, 3)]):
        metadata = read_picture(jpeg(*(piece(*chunk) for chunk in chunks))).metadata
        assert metadata.icc is None and metadata.segments == ()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG"])
def test_exif_icc_and_xmp_of_each_format(form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    buffer = io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", PLACE.decode("ascii"), zip=True)
    xmp = {"pnginfo": text} if form == "PNG" else {"xmp": PLACE}
    Image.new("RGB", (16, 24)).save(buffer, form, exif=exif, icc_profile=SRGB, **xmp)
    picture = read_picture(buffer.getvalue())
    found = picture.metadata
    assert (found.icc, found.xmp, found.orientation) == (SRGB, PLACE, 6)
    assert picture.pixels.shape == (3, 24, 16)  # as stored
    assert found.exif is not None
    read = tags(found.exif)
    assert read["Image Make"].values == "A maker"
    assert str(read["EXIF DateTimeOriginal"]) == "2026:01:02 03:04:05"
    assert read["Image Orientation"].values == [6]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_the_displayed_orientation_survives(photo: torch.Tensor, form: str, orientation: int) -> None:
    image = Image.fromarray(photo[:, :60, :90].permute(1, 2, 0).numpy().copy())
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "JPEG": {"quality": 95}}.get(form, {})
    buffer = io.BytesIO()
    image.save(buffer, form, exif=exif, **options)
    metadata = read_picture(buffer.getvalue()).metadata
    again = io.BytesIO()
    pixels = read_picture(buffer.getvalue()).pixels.permute(1, 2, 0).numpy().copy()
    Image.fromarray(pixels).save(
        again, "JPEG", quality=95, exif=b"Exif\0\0" + (metadata.exif or orientation_only(1))
    )
    with Image.open(io.BytesIO(buffer.getvalue())) as one, Image.open(again) as other:
        shown, ours = np.array(ImageOps.exif_transpose(one)), np.array(ImageOps.exif_transpose(other))
    assert shown.shape == ours.shape
    assert np.abs(shown.astype(int) - ours).mean() < 4
    assert metadata.orientation == orientation


def test_png_text_profiles_density_and_bombs() -> None:
    exif, _ = block(">")
    raw = b"\nexif\n%8d\n" % (len(exif) + 6) + (b"Exif\0\0" + exif).hex().encode() + b"\n"
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", raw.decode("ascii"), zip=True)
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG", pnginfo=info, dpi=(300, 300))
    found = read_picture(buffer.getvalue()).metadata
    assert found.exif == exif
    assert found.density == (300, 300, 1)
    data = buffer.getvalue()
    body = b"x\0\0" + zlib.compress(bytes(100_000_000), 9)
    bomb = struct.pack(">I", len(body)) + b"iCCP" + body + struct.pack(">I", zlib.crc32(b"iCCP" + body))
    assert read_picture(data[:33] + bomb + data[33:]).metadata.icc is None


def test_tiff_fields_become_exif() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x8298], exif[0x0112] = "A maker", "mine", 8
    exif.get_ifd(0x8825)[1] = "N"
    iptc = b"\x1c\x02\x5a\0\x05Delft"
    extra = {700: PLACE, 33723: iptc}
    image = Image.new("RGB", (16, 24))
    image.save(buffer, "TIFF", exif=exif, icc_profile=SRGB, tiffinfo={**exif, **extra})
    found = read_picture(buffer.getvalue()).metadata
    assert (found.icc, found.xmp, found.orientation) == (SRGB, PLACE, 8)
    assert found.segments == ((0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a" + iptc),)
    assert found.exif is not None
    read = tags(found.exif)
    assert read["Image Make"].values == "A maker" and read["Image Copyright"].values == "mine"
    assert not {"Image StripOffsets", "Image ImageWidth", "Image Compression"} & read.keys()


@pytest.mark.parametrize(("unit", "density"), [(2, (300, 150, 1)), (3, (300, 150, 2)), (1, (300, 150, 0))])
def test_tiff_density(unit: int, density: tuple[int, int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 24)).save(buffer, "TIFF", tiffinfo={282: 300.4, 283: 150.0, 296: unit})
    found = read_picture(buffer.getvalue()).metadata
    assert found.density == density
    assert found.exif is not None
    [value] = tags(found.exif)["Image XResolution"].values  # type: ignore[attr-defined]
    assert value.num / value.den == pytest.approx(300.4)


def test_tiff_iptc_beside_photoshop_data() -> None:
    fields, other = iptc(2, 120, b"Caption"), resource(1005, b"resolution")
    for resources, expected in (
        (other, other + resource(0x0404, fields)),
        (resource(0x0404, fields) + other, resource(0x0404, fields) + other),
    ):
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, "TIFF", tiffinfo={33723: fields, 34377: resources})
        found = read_picture(buffer.getvalue()).metadata
        assert found.segments == ((0xED, b"Photoshop 3.0\0" + expected),)


def test_a_page_of_many_is_not_all(photo: torch.Tensor) -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(photo[0, :16, :16].numpy().copy())
    image.save(buffer, "TIFF", save_all=True, append_images=[image])
    found = read_picture(buffer.getvalue()).metadata
    assert not found.complete
    assert strip(found, "gps") != found and strip(found, "none") == found


# Stripping


def resource(number: int, value: bytes) -> bytes:
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + b"\0\0"
        + struct.pack(">I", len(value))
        + value
        + bytes(len(value) % 2)
    )


def iptc(record: int, dataset: int, value: bytes) -> bytes:
    return bytes([0x1C, record, dataset]) + struct.pack(">H", len(value)) + value


def full() -> Metadata:
    exif, _ = block("<")
    fields = iptc(2, 90, b"Delft") + iptc(2, 80, b"author") + iptc(2, 101, b"Netherlands")
    resources = (
        resource(0x0404, fields)
        + resource(0x0409, b"small")
        + resource(0x040C, b"tiny")
        + resource(7, b"other")
    )
    segments = (
        (0xED, b"Photoshop 3.0\0" + resources),
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"packet"),
        (0xFE, b"comment"),
    )
    return Metadata(exif, SRGB, PLACE, 6, (72, 72, 1), segments)


def test_strip_none_drops_the_stale_thumbnail_only() -> None:
    source = full()
    kept = strip(source, "none")
    assert kept.exif == drop_thumbnail(source.exif or b"") != source.exif
    assert (kept.icc, kept.xmp, kept.segments) == (source.icc, source.xmp, source.segments)
    assert (kept.orientation, kept.density) == (6, (72, 72, 1))


def test_strip_thumbnail() -> None:
    kept = strip(full(), "thumbnail")
    resources = kept.segments[0][1]
    assert b"small" not in resources and b"tiny" not in resources
    assert b"Delft" in resources and b"other" in resources
    assert len(kept.segments) == 3 and kept.xmp == PLACE
    xmp = PLACE.replace(
        b"<dc:title>", b'<p:Thumbnails xmlns:p="http://ns.adobe.com/xap/1.0/">x</p:Thumbnails><dc:title>'
    )
    bare = strip(Metadata(xmp=xmp), "thumbnail").xmp
    assert bare is not None and b"Thumbnails>" not in bare and b"<dc:title>kept</dc:title>" in bare


def test_strip_gps() -> None:
    kept = strip(full(), "gps")
    assert kept.exif is not None and not any("GPS" in name for name in tags(kept.exif))
    assert kept.xmp is not None and b"GPS" not in kept.xmp
    assert [marker for marker, _ in kept.segments] == [0xED, 0xFE]
    resources = kept.segments[0][1]
    assert b"Delft" not in resources and b"Netherlands" not in resources
    assert resources == b"Photoshop 3.0\0" + resource(0x0404, iptc(2, 80, b"author")) + resource(
        0x0409, b"small"
    ) + resource(0x040C, b"tiny") + resource(7, b"other")
    unreadable = Metadata(segments=((0xED, b"Photoshop 3.0\0junk"),))
    assert strip(unreadable, "gps").segments == ()
    assert strip(unreadable, "thumbnail").segments == unreadable.segments


def test_strip_all_keeps_orientation_and_colors() -> None:
    kept = strip(full(), "all")
    assert kept == Metadata(exif=orientation_only(6), orientation=6, density=(72, 72, 1))
    film = Metadata(trailer=b"film")
    assert strip(film, "all") == strip(film, "gps") == Metadata()
    assert strip(film, "none") == strip(film, "thumbnail") == film
    upright = strip(Metadata(exif=b"x", xmp=b"y"), "all")
    assert upright == Metadata()


def wide_gamut() -> bytes:
    """An sRGB profile with its red and green primaries exchanged."""
    red, green = SRGB.index(b"rXYZ"), SRGB.index(b"gXYZ")
    changed = bytearray(SRGB)
    changed[red : red + 4], changed[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(changed)


def test_strip_all_keeps_a_profile_that_changes_colors() -> None:
    profile = wide_gamut()
    assert strip(Metadata(icc=profile), "all").icc == profile
    assert strip(Metadata(icc=SRGB), "all").icc is None
    assert strip(Metadata(icc=b"no profile"), "all").icc is None


# Real files


@pytest.mark.shared
@pytest.mark.parametrize(
    "pattern", ["exif_*.jpg", "icc_*.jpg", "*xmp*.jpg", "pil_exif_typeerror.jpg", "imagers_*.jpg"]
)
def test_real_metadata_agree_with_other_readers(shared: Path, pattern: str) -> None:
    paths = sorted((shared / "formats" / "weird").glob(pattern))
    assert paths
    for path in paths:
        found = read_picture(path.read_bytes()).metadata
        with Image.open(path) as image:
            assert found.icc == image.info.get("icc_profile")
            assert found.xmp == image.info.get("xmp")
            assert found.orientation == image.getexif().get(0x0112, 1)
        with path.open("rb") as file:
            expected = exifread.process_file(file, details=False)
        if found.exif is None:
            assert not expected
            continue
        kept = tags(strip(found, "none").exif or b"")
        missing = {
            name
            for name, value in expected.items()
            if not name.startswith(("Thumbnail", "JPEGThumbnail", "TIFFThumbnail"))
            and str(kept.get(name)) != str(value)
        }
        assert not missing, path.name
        if found.icc is not None:
            ImageCms.ImageCmsProfile(io.BytesIO(found.icc))
