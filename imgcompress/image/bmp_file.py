"""The header of a BMP file: its size, density and what its colors mean."""

import struct
from dataclasses import dataclass

from imgcompress.errors import PictureError, Reason

_FILE_HEADER, _CORE_HEADER = 14, 12
_V4, _V5 = 108, 124
_SRGB, _WINDOWS = b"BGRs", b" niW"
_EMBEDDED, _LINKED = b"DEBM", b"KNIL"


@dataclass(frozen=True)
class BmpHeader:
    """What the header says.

    Attributes:
        width, height: pixels.
        pixels_at: offset of the pixels.
        bits: a pixel's.
        compression: 0 none, 1 and 2 run lengths, 3 and 6 bit fields; others are a file within the file.
        pixels_per_meter: across and down; 0 where it is not said.
        icc: the profile that is embedded, or None.
        other_colors: whether the colors are neither sRGB nor those of ``icc``.
    """

    width: int
    height: int
    pixels_at: int
    bits: int
    compression: int
    pixels_per_meter: tuple[int, int]
    icc: bytes | None
    other_colors: bool


def read_bmp_header(data: bytes) -> BmpHeader:
    """Read the header of any version.

    Args:
        data: the file.

    Raises:
        PictureError: DECODE_ERROR.

    Source: BITMAPCOREHEADER to BITMAPV5HEADER of the Windows API.
    """
    size = int.from_bytes(data[14:18], "little")
    if size < _CORE_HEADER or len(data) < _FILE_HEADER + size:
        raise PictureError(Reason.DECODE_ERROR, "the BMP file is truncated")
    pixels_at = int.from_bytes(data[10:14], "little")
    head = data[_FILE_HEADER : _FILE_HEADER + size]
    if size < 40:
        across, down = struct.unpack_from("<HH" if size == _CORE_HEADER else "<ii", head, 4)
        bits = int.from_bytes(head[10:12] if size == _CORE_HEADER else head[14:16], "little")
        return BmpHeader(across, abs(down), pixels_at, bits, 0, (0, 0), None, False)
    across, down = struct.unpack_from("<ii", head, 4)
    bits = int.from_bytes(head[14:16], "little")
    compression = int.from_bytes(head[16:20], "little")
    x_density, y_density = struct.unpack_from("<ii", head, 24)
    icc, others = None, False
    if size >= _V4:
        kind = head[56:60]
        if size >= _V5 and kind == _EMBEDDED:
            at, length = struct.unpack_from("<II", head, 112)
            icc = data[_FILE_HEADER + at : _FILE_HEADER + at + length] or None
        calibrated = kind == bytes(4) and any(head[60:96])
        others = calibrated or kind == _LINKED or (kind == _EMBEDDED and icc is None)
    density = x_density, y_density
    return BmpHeader(max(across, 0), abs(down), pixels_at, bits, compression, density, icc, others)


def spare_bytes(data: bytes, header: BmpHeader) -> frozenset[int]:
    """Values of the fourth byte of 32-bit pixels: it means nothing, but some writers put alpha there."""
    if header.bits != 32 or header.compression != 0:
        return frozenset()
    return frozenset(data[header.pixels_at + 3 : header.pixels_at + 4 * header.width * header.height : 4])
