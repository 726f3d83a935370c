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
        compression: 0 none, 1 and 2 run lengths, 3 and 6 bit fields; others are a file within the file.
        pixels_per_meter: across and down; 0 where it is not said.
        icc: the profile that is embedded, or None.
        other_colors: whether the colors are neither sRGB nor those of ``icc``.
    """

    width: int
    height: int
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
    head = data[_FILE_HEADER : _FILE_HEADER + size]
    if size < 40:
        across, down = struct.unpack_from("<HH" if size == _CORE_HEADER else "<ii", head, 4)
        return BmpHeader(across, abs(down), 0, (0, 0), None, False)
    across, down = struct.unpack_from("<ii", head, 4)
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
    return BmpHeader(max(across, 0), abs(down), compression, (x_density, y_density), icc, others)
