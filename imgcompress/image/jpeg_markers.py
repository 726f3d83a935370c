"""Marker segments of JPEG files (ITU-T T.81, annex B): their codes, and one as bytes."""

import struct

from imgcompress.errors import PictureError, Reason

# Second bytes of markers (T.81, table B.1).
TEM, SOF0, SOF1, SOF2, DHT, JPG, DAC = 0x01, 0xC0, 0xC1, 0xC2, 0xC4, 0xC8, 0xCC
RST0, RST7, SOI, EOI, SOS, DQT, DRI, DHP = 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xDE
APP0, APP1, APP2, APP10, APP13, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEA, 0xED, 0xEE, 0xEF, 0xFE

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
