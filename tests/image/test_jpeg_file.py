import io
import struct

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.jpeg_file import bare_jpeg, made_by_us, mark_segment, parse_jpeg, read_coefficients
from imgcompress.image.jpeg_markers import segment
from imgcompress.image.zigzag import ZIGZAG


def encode(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def crop(photo: torch.Tensor, height: int, width: int) -> np.ndarray:
    return photo[:, :height, :width].permute(1, 2, 0).numpy().copy()


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + segment(marker, payload) + data[2:]


def frame(data: bytes) -> int:
    return next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))


def with_factors(data: bytes, *factors: int) -> bytes:
    changed, at = bytearray(data), frame(data)
    for index, factor in enumerate(factors):
        changed[at + 11 + 3 * index] = factor
    return bytes(changed)


def test_zigzag_is_the_standards() -> None:
    # T.81, figure A.6, first two and last rows, by zigzag index at each natural position.
    index_at = [ZIGZAG.index(position) for position in range(64)]
    assert index_at[:16] == [0, 1, 5, 6, 14, 15, 27, 28, 2, 4, 7, 13, 16, 26, 29, 42]
    assert index_at[56:] == [35, 36, 48, 49, 57, 58, 62, 63]


@pytest.mark.parametrize("quality", [10, 75, 95])
def test_tables_are_those_that_pillow_reads(photo: torch.Tensor, quality: int) -> None:
    data = encode(crop(photo, 40, 50), quality=quality)
    with Image.open(io.BytesIO(data)) as image:
        luma, chroma = image.quantization[0], image.quantization[1]
    tables = parse_jpeg(data).tables
    assert tables.shape == (3, 8, 8)
    assert tables[0].flatten().tolist() == list(luma)
    assert tables[1].tolist() == tables[2].tolist() == torch.tensor(chroma).view(8, 8).tolist()


def test_a_sixteen_bit_table_and_two_tables_in_one_segment(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 16, 16), quality=90)
    header = parse_jpeg(data)
    first = b"".join(struct.pack(">H", 300 + i) for i in range(64))
    both = b"\x10" + first + b"\x01" + bytes(range(1, 65))
    others = [s for s in header.segments if s[0] not in (0xDB, 0xDA)]
    scan = next(s for s in header.segments if s[0] == 0xDA)
    coded = data[header.scans[0].start :]
    parts = [segment(0xDB, both), *(segment(*s) for s in others), segment(*scan)]
    tables = parse_jpeg(data[:2] + b"".join(parts) + coded).tables
    assert [tables[0].flatten()[position].item() for position in ZIGZAG] == list(range(300, 364))
    assert [tables[2].flatten()[position].item() for position in ZIGZAG] == list(range(1, 65))


@pytest.mark.parametrize(("name", "option"), [("444", 0), ("422", 1), ("420", 2)])
@pytest.mark.parametrize("progressive", [False, True])
def test_subsampling_and_frame(photo: torch.Tensor, name: str, option: int, progressive: bool) -> None:
    header = parse_jpeg(encode(crop(photo, 33, 47), subsampling=option, progressive=progressive))
    assert (header.subsampling, header.progressive) == (name, progressive)
    assert (header.height, header.width, header.precision) == (33, 47, 8)
    assert len(header.scans) == (10 if progressive else 1)
    assert header.jfif and header.adobe_transform is None and not header.is_rgb


@pytest.mark.parametrize(
    ("factors", "name"),
    [
        ((0x22, 0x22, 0x22), "444"),
        ((0x12, 0x12, 0x12), "444"),
        ((0x12, 0x11, 0x11), "440"),
        ((0x22, 0x12, 0x12), "422"),
        ((0x22, 0x21, 0x12), "other"),
        ((0x41, 0x11, 0x11), "other"),
        ((0x11, 0x22, 0x22), "other"),
        ((0x31, 0x21, 0x21), "other"),
    ],
)
def test_subsampling_is_a_ratio(photo: torch.Tensor, factors: tuple[int, ...], name: str) -> None:
    assert parse_jpeg(with_factors(encode(crop(photo, 16, 16)), *factors)).subsampling == name


def test_one_component_is_gray_whatever_its_factors(photo: torch.Tensor) -> None:
    data = with_factors(encode(crop(photo, 20, 20)[..., 0]), 0x22)
    header = parse_jpeg(data)
    assert header.subsampling == "gray"
    assert header.block_grid(0) == (3, 3)


def test_restart_interval_and_its_markers_are_within_the_scan(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 64, 64), restart_marker_blocks=2)
    header = parse_jpeg(data)
    assert header.restart_interval == 2
    (scan,) = header.scans
    assert b"\xff\xd0" in data[scan.start : scan.end]
    assert data[scan.end :] == b"\xff\xd9"


def test_rgb_jpeg_by_adobe_or_by_names(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 16, 16), keep_rgb=True)
    assert parse_jpeg(data).is_rgb
    assert parse_jpeg(data).subsampling == "other"
    plain = bare_jpeg(data, parse_jpeg(data), keep_color=False)
    assert parse_jpeg(plain).is_rgb  # its components are called R, G, B


def test_fill_bytes_and_stray_bytes_are_skipped(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 24, 24))
    at = frame(data)
    padded = (
        data[:2] + b"\xff\xff\xff" + data[2:at] + b"\x00\x12stray" + data[at:-2] + b"\xff\xff\xff\xd9tail"
    )
    was, now = parse_jpeg(data), parse_jpeg(padded)
    assert now.segments == was.segments
    assert torch.equal(now.tables, was.tables)
    assert bare_jpeg(padded, now) == bare_jpeg(data, was)


def test_every_truncation_is_refused(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 16, 16), quality=20, progressive=True)
    for length in range(len(data)):
        with pytest.raises(PictureError) as caught:
            parse_jpeg(data[:length])
        assert caught.value.reason is Reason.DECODE_ERROR


@pytest.mark.parametrize("length", [0, 1, 65535])
def test_a_lying_length_is_refused(photo: torch.Tensor, length: int) -> None:
    data = bytearray(encode(crop(photo, 16, 16)))
    data[4:6] = length.to_bytes(2, "big")
    with pytest.raises(PictureError) as caught:
        parse_jpeg(bytes(data))
    assert caught.value.reason is Reason.DECODE_ERROR


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    good = encode(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8), quality=30)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(2, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = parse_jpeg(bytes(damaged))
    except PictureError as error:
        assert error.reason in (Reason.DECODE_ERROR, Reason.UNSUPPORTED, Reason.UNCHECKED)
    else:
        assert header.tables.shape == (len(header.components), 8, 8)
        assert all(0 <= scan.start <= scan.end <= len(good) for scan in header.scans)


def test_our_mark(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 16, 16))
    assert not made_by_us(parse_jpeg(data))
    marker, payload = mark_segment("1.2.3", "abcdef")
    assert payload == b"imgcompress\x001.2.3 abcdef"
    marked = with_segment(data, marker, payload)
    assert made_by_us(parse_jpeg(marked))
    with Image.open(io.BytesIO(marked)) as image:
        image.load()  # other decoders skip it


def test_too_large_segment() -> None:
    with pytest.raises(PictureError) as caught:
        segment(0xFE, bytes(65534))
    assert caught.value.reason is Reason.METADATA_TOO_LARGE


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (257, 265)])
@pytest.mark.parametrize("progressive", [False, True])
def test_coefficients_give_the_decoders_planes(
    photo: torch.Tensor, size: tuple[int, int], progressive: bool
) -> None:
    data = encode(crop(photo, *size), subsampling=0, quality=80, progressive=progressive)
    header = parse_jpeg(data)
    coefficients = read_coefficients(data, header)
    assert coefficients is not None
    with Image.open(io.BytesIO(data)) as image:
        image.draft("YCbCr", None)  # without color conversion
        planes = np.array(image).transpose(2, 0, 1)
    for index, blocks in enumerate(coefficients):
        assert blocks.dtype == torch.int16
        assert tuple(blocks.shape[:2]) == header.block_grid(index)
        spectrum = blocks.numpy().astype(np.float64) * header.tables[index].numpy()
        samples = scipy.fft.idctn(spectrum, axes=(2, 3), norm="ortho") + 128
        down, across = blocks.shape[:2]
        plane = samples.transpose(0, 2, 1, 3).reshape(8 * down, 8 * across)[: size[0], : size[1]]
        error = np.abs(np.clip(plane, 0, 255) - planes[index])
        assert error.max() <= 1.5  # libjpeg's integer transform is within one level of the exact one


@pytest.mark.parametrize("option", [1, 2])
def test_coefficients_of_subsampled_files(photo: torch.Tensor, option: int) -> None:
    data = encode(crop(photo, 51, 35), subsampling=option)
    header = parse_jpeg(data)
    coefficients = read_coefficients(data, header)
    assert coefficients is not None
    expected = [(7, 5), (7, 3) if option == 1 else (4, 3), (7, 3) if option == 1 else (4, 3)]
    assert [tuple(blocks.shape[:2]) for blocks in coefficients] == expected


def test_no_coefficients_of_rgb(photo: torch.Tensor) -> None:
    data = encode(crop(photo, 16, 16), keep_rgb=True)
    assert read_coefficients(data, parse_jpeg(data)) is None


@pytest.mark.shared
def test_all_shared_jpegs_parse_or_raise_our_error(shared) -> None:
    parsed = 0
    for path in sorted((shared / "formats").glob("*/*.jp*g")):
        try:
            parse_jpeg(path.read_bytes())
            parsed += 1
        except PictureError:
            assert path.parent.name == "corrupt", path.name
    assert parsed >= 45


def test_runs_of_fill_bytes_take_linear_time(photo: torch.Tensor) -> None:
    # Quadratic in the length of a run, this would take years.
    data = encode(crop(photo, 16, 16))
    fill = b"\xff" * 20_000_000
    with pytest.raises(PictureError, match="no end-of-image marker"):
        parse_jpeg(data[:2] + fill + b"\0")
    filled = parse_jpeg(data[:-2] + fill + data[-2:])
    assert filled.scans == parse_jpeg(data).scans
