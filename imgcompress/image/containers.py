"""The chunks and boxes of PNG, WebP and AVIF files, and the formats by their first bytes."""

import struct
import zlib
from collections.abc import Iterator

from imgcompress.errors import PictureError, Reason

_NAMED = (
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (b"8BPS", "PSD"),
    (b"v/1\x01", "OpenEXR"),
    (b"qoif", "QOI"),
    (b"II\xbc", "JPEG XR"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"P5", "PGM"),
    (b"P6", "PPM"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


def format_of(data: bytes) -> str:
    """The format by content.

    Returns:
        "jpeg", "png", "webp", "avif" or "tiff".

    Raises:
        PictureError: UNSUPPORTED, another known format; DECODE_ERROR, none that is known.
    """
    if not data:
        raise _damaged("the file is empty")
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    for magic, name in _NAMED:
        if data.startswith(magic):
            raise PictureError(Reason.UNSUPPORTED, f"{name} is not read yet")
    if brands & _HEIF_BRANDS:
        raise PictureError(Reason.UNSUPPORTED, "HEIC is not read yet")
    if data[:2] == b"\xff\xd8":
        return "jpeg"
    if data.startswith(PNG_MAGIC):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
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


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
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


def avif_bit_depth(data: bytes) -> int:
    """Bits a channel by the first AV1 configuration box: 8, 10 or 12.

    Source: AV1 Codec ISO Media File Format Binding, 2.3.3.
    """
    inside = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
    inside |= {b"stsd": 8, b"av01": 78}
    pending = [(0, len(data))]
    while pending:
        start, end = pending.pop(0)
        for kind, body, stop in _boxes(data, start, end):
            if kind == b"av1C" and stop - body >= 4:
                flags = data[body + 2]
                return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
            if kind in inside:
                pending.append((body + inside[kind], stop))
    return 8
