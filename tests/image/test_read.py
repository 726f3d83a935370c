import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image import jpeg_check
from imgcompress.image.containers import avif_properties
from imgcompress.image.jpeg_file import parse_jpeg
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.read import probe, read_picture


def save(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def crop(photo: torch.Tensor, height: int = 90, width: int = 121) -> Image.Image:
    return Image.fromarray(photo[:, :height, :width].permute(1, 2, 0).numpy().copy())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(head: bytes, rows: bytes, *between: bytes) -> bytes:
    parts = [chunk(b"IHDR", head), *between, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def hwc(picture_pixels: torch.Tensor) -> np.ndarray:
    array = picture_pixels.permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def refused(data: bytes) -> Reason:
    with pytest.raises(PictureError) as caught:
        read_picture(data)
    return caught.value.reason


# What is read


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (257, 265)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("JPEG", {"restart_marker_blocks": 3}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_pixels_are_pillows(
    photo: torch.Tensor, size: tuple[int, int], mode: str, form: str, options: dict[str, object]
) -> None:
    data = save(crop(photo, *size).convert(mode), form, **options)
    picture = read_picture(data)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.array(image)
    assert np.array_equal(hwc(picture.pixels), expected)
    assert picture.pixels.dtype == torch.uint8
    assert (picture.format, picture.bit_depth, picture.frames) == (form.lower(), 8, 1)
    assert picture.alpha is None
    assert (picture.jpeg is not None) == (form == "JPEG")


def test_avif_is_read(photo: torch.Tensor) -> None:
    data = save(crop(photo), "AVIF", quality=90)
    picture = read_picture(data)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(hwc(picture.pixels), np.array(image))
    assert (picture.format, picture.bit_depth) == ("avif", 8)


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_avif(photo: torch.Tensor, depth: int) -> None:
    meant = (np.asarray(crop(photo)).astype(np.uint16) << (depth - 8)) + 1
    data = imagecodecs.avif_encode(meant, level=100, bitspersample=depth, pixelformat="444")
    assert avif_properties(data).bit_depth == depth
    picture = read_picture(data)
    assert picture.pixels.dtype == torch.uint16
    assert picture.bit_depth == depth
    error = hwc(picture.pixels).astype(np.float64) / 65535 - meant / ((1 << depth) - 1)
    assert np.abs(error).max() <= 2.5 / (1 << depth)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_every_bit(channels: int) -> None:
    meant = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    picture = read_picture(imagecodecs.png_encode(meant if channels > 1 else meant[..., 0]))
    colors = meant[..., :-1] if channels in (2, 4) else meant
    assert picture.bit_depth == 16 and picture.pixels.dtype == torch.uint16
    assert np.array_equal(picture.pixels.permute(1, 2, 0).numpy(), colors)
    if channels in (2, 4):
        assert picture.alpha is not None and np.array_equal(picture.alpha.numpy(), meant[..., -1])
    else:
        assert picture.alpha is None


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], *strips: bytes) -> bytes:
    """A little-endian TIFF, written by hand; values longer than four bytes follow the directory."""
    tags = {**tags, 273: (4, (0,) * len(strips)), 279: (4, tuple(map(len, strips)))}
    codes = {3: "H", 4: "I", 1: "B"}
    at = 8 + 2 + 12 * len(tags) + 4
    fields, outside = b"", b""
    bodies = {}
    for tag, (kind, values) in sorted(tags.items()):
        bodies[tag] = struct.pack(f"<{len(values)}{codes[kind]}", *values)
    strip_at = at + sum(len(body) for body in bodies.values() if len(body) > 4)
    starts = [strip_at + sum(map(len, strips[:index])) for index in range(len(strips))]
    bodies[273] = struct.pack(f"<{len(strips)}I", *starts)
    for tag, body in sorted(bodies.items()):
        kind, values = tags[tag]
        fields += struct.pack("<HHI", tag, kind, len(values))
        if len(body) > 4:
            fields += struct.pack("<I", at + len(outside))
            outside += body
        else:
            fields += body.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + fields + bytes(4) + outside + b"".join(strips)


def simple_tiff(pixels: np.ndarray, photometric: int, extra: tuple[int, ...] = (), **more: int) -> bytes:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = 8 * pixels.dtype.itemsize
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (pixels.shape[1],)),
        257: (4, (pixels.shape[0],)),
        258: (3, (bits,) * channels),
        259: (3, (1,)),
        262: (3, (photometric,)),
        277: (3, (channels,)),
        278: (4, (pixels.shape[0],)),
    }
    if extra:
        tags[338] = (3, extra)
    tags |= {int(tag[3:]): (3, (value,)) for tag, value in more.items()}
    planes = pixels.transpose(2, 0, 1) if more.get("tag284") == 2 else pixels[None]
    return tiff(tags, *(plane.astype(pixels.dtype.newbyteorder("<")).tobytes() for plane in planes))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", [1, 2])
def test_tiff_rgb_of_both_depths_and_layouts(dtype: type, planar: int) -> None:
    meant = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (9, 7, 3)).astype(dtype)
    picture = read_picture(simple_tiff(meant, 2, tag284=planar))
    assert np.array_equal(hwc(picture.pixels), meant)
    assert picture.bit_depth == 8 * meant.dtype.itemsize


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_where_white_is_zero(dtype: type) -> None:
    meant = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (9, 7)).astype(dtype)
    assert np.array_equal(hwc(read_picture(simple_tiff(~meant, 0)).pixels), meant)


def test_tiff_alpha_straight_premultiplied_and_of_no_meaning() -> None:
    rng = np.random.default_rng(2)
    meant = rng.integers(0, 65536, (9, 7, 4)).astype(np.uint16)
    meant[..., 3] |= 0x8000
    straight = read_picture(simple_tiff(meant, 2, (2,)))
    assert np.array_equal(hwc(straight.pixels), meant[..., :3])
    assert straight.alpha is not None and np.array_equal(straight.alpha.numpy(), meant[..., 3])
    multiplied = meant.copy()
    share = meant[..., 3:].astype(np.float64) / 65535
    multiplied[..., :3] = np.rint(meant[..., :3] * share)
    back = read_picture(simple_tiff(multiplied, 2, (1,)))
    assert np.abs(hwc(back.pixels).astype(int) - meant[..., :3]).max() <= 1
    assert read_picture(simple_tiff(meant, 2, (0,))).alpha is None


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_palette_and_bilevel_are_expanded(photo: torch.Tensor, form: str) -> None:
    palette = crop(photo).quantize(200)
    picture = read_picture(save(palette, form))
    assert np.array_equal(hwc(picture.pixels), np.array(palette.convert("RGB")))
    bilevel = crop(photo).convert("1")
    picture = read_picture(save(bilevel, form))
    assert np.array_equal(hwc(picture.pixels), np.array(bilevel.convert("L")))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_alpha_is_kept_and_dropped_when_opaque(photo: torch.Tensor, form: str) -> None:
    options = {"WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 100}}.get(form, {})
    image = crop(photo).convert("RGBA")
    assert read_picture(save(image, form, **options)).alpha is None
    mask = Image.linear_gradient("L").resize(image.size)
    image.putalpha(mask)
    picture = read_picture(save(image, form, **options))
    assert picture.pixels.shape[0] == 3 and picture.alpha is not None
    assert np.abs(picture.alpha.numpy().astype(int) - np.array(mask)).max() <= (2 if form == "AVIF" else 0)


def test_png_transparent_palette_entry(photo: torch.Tensor) -> None:
    image = crop(photo).quantize(16)
    picture = read_picture(save(image, "PNG", transparency=3))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha.numpy() == 0, np.array(image) == 3)


def test_png_interlaced() -> None:
    rows = b""
    meant = np.arange(16 * 3, dtype=np.uint8).reshape(4, 4, 3)
    for left, top, dx, dy in (
        (0, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        for row in meant[top::dy, left::dx]:
            rows += b"\0" + row.tobytes()
    head = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 1)
    assert np.array_equal(hwc(read_picture(png(head, rows)).pixels), meant)
    assert refused(png(head, rows[:-13])) is Reason.DECODE_ERROR


def test_the_source_jpeg_is_described(photo: torch.Tensor) -> None:
    data = save(crop(photo), "JPEG", quality=60, subsampling=2, progressive=True)
    picture = read_picture(data)
    source = picture.jpeg
    assert source is not None
    assert (source.subsampling, source.progressive, picture.marked) == ("420", True, False)
    assert torch.equal(source.tables, parse_jpeg(data).tables)
    assert source.coefficients is not None and len(source.coefficients) == 3


def test_rgb_jpeg_has_the_right_colors(photo: torch.Tensor) -> None:
    picture = read_picture(save(crop(photo), "JPEG", keep_rgb=True, quality=98))
    assert picture.jpeg is not None and picture.jpeg.subsampling == "other"
    assert np.abs(hwc(picture.pixels).astype(int) - np.array(crop(photo))).mean() < 2


def test_several_pictures_are_counted(photo: torch.Tensor) -> None:
    first, second = crop(photo), crop(photo).rotate(180)
    for form, options in (
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {}),
        ("MPO", {"quality": 90}),
    ):
        data = save(first, form, save_all=True, append_images=[second], **options)
        picture = read_picture(data)
        assert picture.frames == probe(data).frames == 2, form
        assert np.abs(hwc(picture.pixels).astype(int) - np.array(first)).mean() < 6, form


def test_probe_agrees(photo: torch.Tensor) -> None:
    for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        found = probe(save(crop(photo, 13, 21), form))
        assert (found.format, found.width, found.height, found.frames) == (form.lower(), 21, 13, 1)
    assert probe(save(crop(photo, 13, 21), "WEBP", lossless=True)).width == 21


def test_many_threads(photo: torch.Tensor) -> None:
    files = [save(crop(photo), form) for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")] * 6
    expected = [read_picture(data).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        found = [picture.pixels for picture in pool.map(read_picture, files)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# What is refused


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8", b"hello world", b"II*\0", b"RIFF\0\0\0\0WEBP"])
def test_nothing_to_read(data: bytes) -> None:
    assert refused(data) is Reason.DECODE_ERROR


def test_kinds_of_tiff_that_are_kept(photo: torch.Tensor) -> None:
    numbers = np.zeros((4, 4), dtype=np.uint16)
    five = np.zeros((4, 4, 5), dtype=np.uint8)
    for data, reason, word in (
        (save(crop(photo).convert("CMYK"), "TIFF"), "color_space", "CMYK"),
        (save(crop(photo).convert("LAB"), "TIFF"), "color_space", "Lab"),
        (save(crop(photo).convert("F"), "TIFF"), "deep_color", "floating"),
        (simple_tiff(numbers, 1, tag339=2), "deep_color", "signed"),
        (simple_tiff(five, 2), "unsupported", "5 samples"),
        (simple_tiff(numbers, 2, tag254=1), "unchecked", "raw"),
        (simple_tiff(numbers, 1, tag259=12345), "unchecked", "no decoder"),
    ):
        keep = read_picture(data).keep
        assert keep is not None and keep[0] == reason and word in keep[1]
        if reason != "unchecked":
            assert refused(data[: len(data) // 2]) is Reason.DECODE_ERROR


def test_layers_and_pictures_below_a_tiff_page_count(photo: torch.Tensor) -> None:
    layers = b"Adobe Photoshop Document Data Block\08BIMLayr" + bytes(8)
    data = save(crop(photo), "TIFF", tiffinfo={37724: layers})
    assert read_picture(data).frames == 2
    assert read_picture(save(crop(photo), "TIFF", tiffinfo={37724: layers[:40]})).frames == 1
    small = {256: (4, (2,)), 257: (4, (2,)), 258: (3, (8,)), 262: (3, (1,)), 277: (3, (1,)), 278: (4, (2,))}
    for kind, pictures in ((0, 2), (1, 1)):
        below = struct.pack("<H", 1) + struct.pack("<HHII", 254, 4, 1, kind) + bytes(4)
        # The directory below comes last, behind the strip; its offset is known once the file is built.
        first = tiff({**small, 330: (4, (0,))}, bytes(4))
        assert read_picture(tiff({**small, 330: (4, (len(first),))}, bytes(4)) + below).frames == pictures


def test_the_limit_holds_before_decoding(photo: torch.Tensor) -> None:
    image = crop(photo, 100, 101)
    for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        data = save(image, form)
        assert read_picture(data, 0.0101).height == 100
        with pytest.raises(PictureError, match="101 x 100") as caught:
            read_picture(data, 0.01)
        assert caught.value.reason is Reason.TOO_LARGE
    bomb = png(struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0), b"\0" * 1000)
    assert refused(bomb) is Reason.TOO_LARGE
    assert refused(png(struct.pack(">IIBBBBB", 70000, 1, 8, 0, 0, 0, 0), bytes(70001))) is Reason.TOO_LARGE


def test_a_header_that_lies_about_the_size_costs_nothing(
    photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(save(crop(photo, 32, 32), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 13000, 13000)

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(jpeg_check, "_decode", decode)
    monkeypatch.setattr(jpeg_check, "_libjxl_reads", decode)
    assert refused(bytes(data)) is Reason.DECODE_ERROR


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": 0},
        {"progressive": True},
        {"progressive": True, "subsampling": 0},
        {"restart_marker_rows": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_truncated_jpegs(photo: torch.Tensor, percent: int, options: dict[str, object], mode: str) -> None:
    data = save(crop(photo, 200, 300).convert(mode), "JPEG", quality=85, **options)
    cut = data[: len(data) * percent // 100]
    assert refused(cut) is Reason.DECODE_ERROR
    assert refused(cut + b"\xff\xd9") is Reason.DECODE_ERROR


@pytest.mark.parametrize("missing", [1, 3, 20])
def test_the_last_bytes_are_missed(photo: torch.Tensor, missing: int) -> None:
    data = save(crop(photo, 200, 300), "JPEG", quality=85)
    assert refused(data[: -2 - missing] + b"\xff\xd9") is Reason.DECODE_ERROR


def test_a_missing_last_scan_is_missed(photo: torch.Tensor) -> None:
    data = save(crop(photo), "JPEG", progressive=True)
    end = parse_jpeg(data).scans[-2].end
    assert refused(data[:end] + b"\xff\xd9") is Reason.DECODE_ERROR


def test_a_hole_in_the_data(photo: torch.Tensor) -> None:
    data = save(crop(photo, 200, 300), "JPEG", quality=85)
    middle = len(data) // 2
    assert refused(data[:middle] + data[middle + 2000 :]) is Reason.DECODE_ERROR


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_harmless_extra_bytes_after_a_scan_pass(photo: torch.Tensor, options: dict[str, object]) -> None:
    data = save(crop(photo), "JPEG", **options)
    end = parse_jpeg(data).scans[0].end
    extra = data[:end] + b"\x12\x34" + data[end:-2] + bytes(5) + data[-2:]
    assert torch.equal(read_picture(extra).pixels, read_picture(data).pixels)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}], ids=str)
def test_the_second_witness_sees_missing_data_too(
    photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    def never(*_: object, **__: object) -> bool:
        raise AssertionError("the first witness was asked")

    monkeypatch.setattr(jpeg_check, "_LARGEST_FULL_CHECK", 1)
    monkeypatch.setattr(jpeg_check, "_libjxl_reads", never)
    data = save(crop(photo, 200, 300), "JPEG", quality=85, subsampling=0, **options)
    assert read_picture(data).height == 200
    for percent in (50, 90, 99):
        assert refused(data[: len(data) * percent // 100] + b"\xff\xd9") is Reason.DECODE_ERROR


def test_sampling_factors_that_the_first_witness_cannot_take(photo: torch.Tensor) -> None:
    encoded = imagecodecs.jpeg8_encode(np.array(crop(photo)), level=90, subsampling="411")
    assert parse_jpeg(encoded).components[0].horizontal == 4
    picture = read_picture(encoded)
    assert picture.jpeg is not None and picture.jpeg.subsampling == "other"
    assert refused(encoded[: len(encoded) * 9 // 10] + b"\xff\xd9") is Reason.DECODE_ERROR


def test_a_file_of_endless_scans_is_refused_at_once(photo: torch.Tensor) -> None:
    data = save(crop(photo), "JPEG", progressive=True)
    scan = segment(0xDA, bytes([1, 1, 0, 1, 5, 0])) + b"\x7f"
    assert refused(data[:-2] + scan * 5000 + data[-2:]) is Reason.DECODE_ERROR


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
    ],
    ids=str,
)
def test_other_formats_truncated(
    photo: torch.Tensor, percent: int, form: str, options: dict[str, object]
) -> None:
    data = save(crop(photo), form, **options)
    assert refused(data[: len(data) * percent // 100]) is Reason.DECODE_ERROR


def test_damaged_png(photo: torch.Tensor) -> None:
    data = bytearray(save(crop(photo), "PNG"))
    data[len(data) // 2] ^= 0x55
    assert refused(bytes(data)) is Reason.DECODE_ERROR  # the checksum
    head = struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0)
    assert refused(png(head, bytes(31 * 19))) is Reason.DECODE_ERROR  # a row too few, all checksums right
    assert read_picture(png(head, bytes(31 * 20))).height == 20


@pytest.mark.parametrize("compression", ["tiff_deflate", "jpeg"])
def test_damaged_tiff(photo: torch.Tensor, compression: str) -> None:
    data = bytearray(save(crop(photo, 200, 300), "TIFF", compression=compression))
    assert read_picture(bytes(data)).height == 200
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(1500)
    assert refused(bytes(data)) is Reason.DECODE_ERROR


def test_a_tiff_tile_larger_than_the_limit() -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 60000, 323: 60000, 324: 8, 325: 256}
    data = tiff({tag: (4, (value,)) for tag, value in tags.items()}, bytes(256))
    assert refused(data) is Reason.TOO_LARGE


# Real and hostile files


GAMMA_PNGS = ("basi2c08", "basn3p04", "basn6a08", "ch2n3p08", "g25n2c08", "s40i3p04")
KEPT = {
    "imagers_hpredict_cmyk.tiff": "color_space",
    "imagers_rgb32f_color.tiff": "deep_color",
    "jd_jpg-cmyk-2.jpg": "color_space",
    "ljt_monkey12_12bit.jpg": "deep_color",
    "pil_hopper.Lab.tif": "color_space",
    "pil_lab.tif": "color_space",
    "pil_pil_sample_cmyk.jpg": "color_space",
    **dict.fromkeys((f"pngsuite_{name}.png" for name in GAMMA_PNGS), "color_space"),
    "zune_Kiara_limited_progressive_four_components.jpg": "color_space",
}
REALLY_DAMAGED = {"pil_hopper_bad_exif.jpg"}  # libjpeg finds 1214 stray bytes in it and shows stripes

CORRUPT_BUT_WHOLE = {
    # Their pictures are all there; what is damaged is metadata, or how some decoder took them.
    "afl_4x4.jpg",
    "imagers_Bad_rletopdown.bmp",
    "imagers_invalid_run_length.bmp",
    "jd_extraneous-bytes-after-sos.jpg",
    "jd_its_d22db5be7594c17a18a047ca9264ea0a.jpg",
    "pil_chunk_no_actl.png",
    "pil_icc-after-SOF.jpg",
    "pil_truncated_app14.jpg",
    "pil_truncated_exif_dpi.jpg",
    "zune_sos_news.jpg",
}


def outcome(path: Path) -> str:
    try:
        picture = read_picture(path.read_bytes())
    except PictureError as error:
        assert str(error)
        return str(error.reason)
    assert picture.pixels.numel() > 0
    return "read" if picture.keep is None else str(picture.keep[0])


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("LICENSE"))


@pytest.mark.shared
def test_weird_files_are_read_or_kept(shared: Path) -> None:
    for path in pictures(shared / "formats" / "weird"):
        expected = KEPT.get(path.name, "read")
        if path.name in REALLY_DAMAGED:
            expected = "decode_error"
        assert outcome(path) == expected, path.name


@pytest.mark.shared
def test_corrupt_files_raise_our_error(shared: Path) -> None:
    for path in pictures(shared / "formats" / "corrupt"):
        if path.name in CORRUPT_BUT_WHOLE:
            assert outcome(path) == "read", path.name
        else:
            assert outcome(path) in ("decode_error", "too_large"), path.name


@pytest.mark.shared
def test_deep_files_are_deep(shared: Path) -> None:
    for path in pictures(shared / "formats" / "deep"):
        picture = read_picture(path.read_bytes())
        assert picture.pixels.dtype == torch.uint16 and picture.bit_depth == 16, path.name


@pytest.mark.shared
def test_truncated_camera_pictures_are_refused(shared: Path) -> None:
    for path in pictures(shared / "photos" / "camera")[1:3]:
        data = path.read_bytes()
        assert refused(data[: len(data) * 99 // 100] + b"\xff\xd9") is Reason.DECODE_ERROR, path.name
