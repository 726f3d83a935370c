"""Marker segments of JPEG files (ITU-T T.81, annex B): their codes, and one as bytes."""

import re
import struct

from imgcompress.errors import PictureError, Reason

# Second bytes of markers (T.81, table B.1).
TEM, SOF0, SOF1, SOF2, DHT, JPG, DAC = 0x01, 0xC0, 0xC1, 0xC2, 0xC4, 0xC8, 0xCC
RST0, RST7, SOI, EOI, SOS, DQT, DRI, DHP = 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xDE
APP0, APP1, APP2, APP10, APP13, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEA, 0xED, 0xEE, 0xEF, 0xFE

FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, JPG, DAC}
ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
"""Which frames there are, and which of them are coded arithmetically (T.81, table B.1)."""
STANDALONE = frozenset(range(RST0, RST7 + 1)) | {TEM}
"""Markers without a segment, beside SOI and EOI."""
MOST_SCANS = 300
"""A decoder walks the whole picture once a scan, so a file of empty scans would stall it. A frame of three
components cut as finely as encoders do has some 20; libjpeg-turbo's own tests stop at 500."""

# No repeats: searching for \xff+ takes time quadratic in the length of a run of fill bytes.
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)

EXIF_NAME = b"Exif\0\0"
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
ICC_NAME = b"ICC_PROFILE\0"
"""What the payloads of metadata segments begin with (CIPA DC-008; XMP, part 3, 1.1.3; ICC.1, B.4)."""

LONGEST_PAYLOAD = 65535 - 2
"""Bytes in a segment beside the two of its length."""


def segment(marker: int, payload: bytes) -> bytes:
    """One marker segment.

    Args:
        marker: the marker's second byte.
        payload: what follows the length.

    Raises:
        PictureError: METADATA_TOO_LARGE, the payload has more than 65533 bytes.
    """
    if len(payload) > LONGEST_PAYLOAD:
        raise PictureError(
            Reason.METADATA_TOO_LARGE,
            f"{len(payload)} bytes do not fit in one JPEG segment (marker 0x{marker:02X})",
        )
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def next_marker(data: bytes, position: int) -> tuple[int, int] | None:
    """The next marker at or behind a position, and the offset behind it; fill and stray bytes are skipped."""
    match = _MARKER.search(data, position)
    return None if match is None else (match[1][0], match.end())


def end_of_scan(data: bytes, position: int) -> int | None:
    """Where the entropy-coded data that begin at a position end: at a marker that is no restart marker.

    Fill bytes before the marker are not part of the data (T.81, B.1.1.2).
    """
    match = _END_OF_SCAN.search(data, position)
    if match is None:
        return None
    end = match.start()
    while end > position and data[end - 1] == 0xFF:
        end -= 1
    return end
