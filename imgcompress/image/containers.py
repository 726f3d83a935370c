"""The chunks and boxes of PNG, WebP and AVIF files, and the formats by their first bytes."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from imgcompress.errors import PictureError, Reason

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

READ = frozenset({"jpeg", "png", "webp", "avif", "tiff", "gif", "bmp"})
"""Formats that are decoded; pictures in others are kept."""

_MAGIC = (
    (b"\xff\xd8", "jpeg"),
    (PNG_MAGIC, "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"8BPS", "psd"),
    (b"v/1\x01", "exr"),
    (b"qoif", "qoi"),
    (b"II\xbc", "jxr"),
    (b"\0\0\1\0", "ico"),
    (b"P5", "ppm"),
    (b"P6", "ppm"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_GAIN_MAP_BRAND = b"tmap"


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


def format_of(data: bytes) -> str:
    """The format by content.

    Returns:
        One of ``READ``, or "jxl", "heic", "jp2", "jxr", "psd", "exr", "qoi", "ico", "ppm".

    Raises:
        PictureError: DECODE_ERROR, none that is known.
    """
    if not data:
        raise _damaged("the file is empty")
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heic"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for magic, form in _MAGIC:
        if data.startswith(magic):
            return form
    raise _damaged("this is no picture in a known format")


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 512)]
    return {box[:4], *(box[i : i + 4] for i in range(8, len(box) - 3, 4))}


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a PNG file up to IEND, with its checksum checked.

    Raises:
        PictureError: DECODE_ERROR.

    Source: PNG, third edition (W3C), 5.3.
    """
    chunks, at = [], len(PNG_MAGIC)
    while True:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise _damaged("the PNG file is truncated")
        if not kind.isalpha():
            raise _damaged("the PNG file has a damaged chunk")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise _damaged(f"the checksum of a {kind.decode('ascii')} chunk is wrong")
        chunks.append((kind, data[at + 8 : end]))
        if kind == b"IEND":
            return chunks
        at = end + 4


def png_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of these chunks."""
    return PNG_MAGIC + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


def webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a WebP file.

    Raises:
        PictureError: DECODE_ERROR, something is cut off.

    Source: WebP container specification.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:  # the last byte of padding is often left out
        raise _damaged("the WebP file is truncated")
    chunks, at = [], 12
    while at + 8 <= min(end, len(data)):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            raise _damaged("the WebP file is truncated within a chunk")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return chunks


def webp_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A WebP file of these chunks."""
    body = b"".join(
        kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def webp_size(chunks: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Width and height, by the canvas or the only frame.

    Raises:
        PictureError: DECODE_ERROR.

    Source: WebP container specification; RFC 6386, 9.1; WebP lossless bitstream specification, 3.
    """
    for kind, body in chunks:
        if kind == b"VP8X" and len(body) >= 10:
            return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", body, 6)
            return width & 0x3FFF, height & 0x3FFF
        if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
            bits = int.from_bytes(body[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise _damaged("the WebP file has no picture")


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a range: kind, and where the content begins and ends (ISO/IEC 14496-12, 4.2)."""
    at = start
    while at + 8 <= end:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = end if size == 0 else at + size
        if stop < at + head or stop > end:
            return
        yield kind, at + head, stop
        at = stop


@dataclass(frozen=True)
class AvifProperties:
    """What an AVIF file says about its pictures, thumbnails, alpha and gain maps taken together.

    Attributes:
        bit_depth: bits a channel by the first AV1 configuration: 8, 10 or 12.
        code_points: color primaries and transfer (ITU-T H.273) wherever they are told.
        is_cropped: whether a clean aperture is to be cut out.
        has_gain_map: whether a second rendition, for brighter displays, comes with a picture.
    """

    bit_depth: int
    code_points: tuple[tuple[int, int], ...]
    is_cropped: bool
    has_gain_map: bool


def avif_properties(data: bytes) -> AvifProperties:
    """Read the properties.

    Source: AV1 Codec ISO Media File Format Binding, 2.3.3; ISO/IEC 14496-12, 12.1.5 (colr); ISO/IEC 23008-12.
    """
    inside = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
    inside |= {b"stsd": 8, b"av01": 78}
    pending, depths, code_points, is_cropped = [(0, len(data))], list[int](), list[tuple[int, int]](), False
    while pending:
        start, end = pending.pop(0)
        for kind, body, stop in boxes(data, start, end):
            if kind == b"av1C" and stop - body >= 4:
                flags = data[body + 2]
                depths.append(8 if not flags & 0x40 else 12 if flags & 0x20 else 10)
            elif kind == b"colr" and data[body : body + 4] == b"nclx" and stop - body >= 8:
                code_points.append(struct.unpack_from(">HH", data, body + 4))
            elif kind == b"clap":
                is_cropped = True
            if kind in inside:
                pending.append((body + inside[kind], stop))
    has_gain_map = _GAIN_MAP_BRAND in _brands(data)
    return AvifProperties(depths[0] if depths else 8, tuple(code_points), is_cropped, has_gain_map)
