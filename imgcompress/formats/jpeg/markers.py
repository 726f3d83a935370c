"""The marker segments of a JPEG file as bytes.

Source: ITU-T T.81, B; ITU-T T.871 (JFIF); CIPA DC-008 (Exif in APP1); XMP specification part 3, 1.1.3;
ICC.1, B.4 (APP2).
"""

import struct
from collections.abc import Iterable, Sequence

from imgcompress.errors import PictureError, Reason
from imgcompress.image.jpeg_markers import (
    APP0,
    APP1,
    APP2,
    APP15,
    COM,
    DHT,
    DQT,
    EXIF_NAME,
    ICC_NAME,
    LONGEST_PAYLOAD,
    SOF0,
    SOF1,
    SOS,
    XMP_NAME,
    segment,
)
from imgcompress.image.picture import Metadata, Segment
from imgcompress.image.sampling import Sampling
from imgcompress.image.zigzag import ZIGZAG

SOI = b"\xff\xd8"
EOI = b"\xff\xd9"

LONGEST_SIDE = 65500
"""libjpeg refuses longer sides (JPEG_MAX_DIMENSION), though the format has room for 65535."""

_ICC_CHUNK = LONGEST_PAYLOAD - len(ICC_NAME) - 2


def jfif(density: tuple[int, int, int] | None) -> bytes:
    """The JFIF APP0 segment, version 1.02, without a thumbnail.

    Args:
        density: pixels per unit (x, y) and the unit (0 aspect ratio, 1 inch, 2 cm). None, and a density that
            the segment cannot hold (other formats have 32 bits for it), become square pixels.
    """
    x, y, unit = density or (1, 1, 0)
    if not (1 <= x <= 65535 and 1 <= y <= 65535 and 0 <= unit <= 2):
        x, y, unit = 1, 1, 0
    return segment(APP0, b"JFIF\x00" + struct.pack(">HBHHBB", 0x0102, unit, x, y, 0, 0))


def icc_segments(profile: bytes) -> bytes:
    """An ICC profile in APP2 segments of at most 65519 bytes of it each.

    Raises:
        PictureError: METADATA_TOO_LARGE, it needs more than 255 segments.
    """
    chunks = [profile[start : start + _ICC_CHUNK] for start in range(0, len(profile), _ICC_CHUNK)]
    if len(chunks) > 255:
        raise PictureError(Reason.METADATA_TOO_LARGE, f"the ICC profile has {len(profile)} bytes")
    return b"".join(
        segment(APP2, ICC_NAME + bytes((number, len(chunks))) + chunk)
        for number, chunk in enumerate(chunks, start=1)
    )


def metadata_segments(metadata: Metadata, extra: Iterable[Segment] = ()) -> bytes:
    """The picture's metadata as segments, to stand behind SOI and JFIF.

    Args:
        metadata: what travels with the picture; its orientation is in `exif` already.
        extra: further APPn or COM segments, after those that the picture carries.

    Returns:
        Exif, XMP, ICC, the carried segments, the extra ones.

    Raises:
        PictureError: METADATA_TOO_LARGE, something does not fit.
        ValueError: a carried segment is neither APPn nor COM.
    """
    parts = []
    if metadata.exif is not None:
        parts.append(segment(APP1, EXIF_NAME + metadata.exif))
    if metadata.xmp is not None:
        parts.append(segment(APP1, XMP_NAME + metadata.xmp))
    if metadata.icc is not None:
        parts.append(icc_segments(metadata.icc))
    for marker, payload in (*metadata.segments, *extra):
        if not (APP0 <= marker <= APP15 or marker == COM):
            raise ValueError(f"marker 0x{marker:02X} is neither APPn nor COM")
        parts.append(segment(marker, payload))
    return b"".join(parts)


def needs_extended_frame(tables: Sequence[Sequence[int]]) -> bool:
    """Whether a step over 255 asks for 16-bit tables, which baseline frames do not have (T.81, table B.4)."""
    return any(max(table) > 255 for table in tables)


def quantization_tables(tables: Sequence[Sequence[int]]) -> bytes:
    """The DQT segment: 8 bits a step, or 16 in a table with a step over 255.

    Args:
        tables: 1 to 4 tables of 64 steps, natural order, 1 to 65535.

    Raises:
        ValueError: a step is out of range.

    Source: T.81, B.2.4.1. It gives 16-bit steps to 12-bit samples only; libjpeg writes and reads them with
    8-bit samples too, in an SOF1 frame.
    """
    payload = b""
    for number, table in enumerate(tables):
        if min(table) < 1 or max(table) > 65535:
            raise ValueError(f"quantization steps from {min(table)} to {max(table)} are not in 1..65535")
        steps = [table[index] for index in ZIGZAG]
        wide = max(table) > 255
        payload += bytes((wide << 4 | number,)) + struct.pack(">64H" if wide else ">64B", *steps)
    return segment(DQT, payload)


def frame_header(
    height: int, width: int, sampling: Sampling, table_of_component: Sequence[int], *, extended: bool
) -> bytes:
    """The SOF0 (baseline) or SOF1 (extended sequential) segment, 8 bits a sample, components 1, 2, 3.

    Args:
        height: rows, in pixels.
        width: columns, in pixels.
        sampling: the sampling factors.
        table_of_component: the number of each component's quantization table.
        extended: whether it is SOF1.

    Raises:
        PictureError: UNSUPPORTED, a side is not in 1..65500, the sizes that libjpeg reads.
    """
    if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
        raise PictureError(Reason.UNSUPPORTED, f"{width} x {height} pixels are more than JPEG decoders read")
    payload = struct.pack(">BHHB", 8, height, width, sampling.components)
    for component in range(sampling.components):
        horizontal, vertical = sampling.factors(component)
        payload += bytes((component + 1, horizontal << 4 | vertical, table_of_component[component]))
    return segment(SOF1 if extended else SOF0, payload)


def huffman_tables(tables: Sequence[tuple[Sequence[int], Sequence[int]]]) -> bytes:
    """The DHT segment.

    Args:
        tables: (BITS, HUFFVAL) of the DC and AC table of each pair in turn; values past the sum of BITS are
            left out.
    """
    payload = b""
    for number, (bits, values) in enumerate(tables):
        payload += bytes((number % 2 << 4 | number // 2, *bits, *values[: sum(bits)]))
    return segment(DHT, payload)


def scan_header(components: int) -> bytes:
    """The SOS segment of one scan of all components: the first with Huffman pair 0, the others with 1."""
    payload = bytes((components,))
    for component in range(components):
        payload += bytes((component + 1, 0x11 if component else 0x00))
    return segment(SOS, payload + bytes((0, 63, 0)))
