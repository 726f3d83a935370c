"""What travels beside the pixels of a PNG file."""

import math
import re
import zlib
from collections.abc import Iterable

from imgcompress.image.color_space import cicp_is_there
from imgcompress.image.exif import orientation_of
from imgcompress.image.jpeg_markers import XMP_NAME
from imgcompress.image.metadata import bare_exif, comment_segments, density_per_meter, photoshop_segment
from imgcompress.image.picture import Metadata

TEXT_CHUNKS = frozenset({b"iTXt", b"zTXt", b"tEXt"})
XMP_KEYWORD = b"XML:com.adobe.xmp"
RAW_PROFILE = b"Raw profile type "

_MOST_INFLATED = 64 << 20
"""Bytes that compressed metadata may unfold to; more is a bomb and is left behind."""


def from_png(chunks: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata of a PNG file: eXIf, iCCP, XMP in iTXt, ImageMagick's raw profiles, pHYs, texts.

    Texts become comments: that of the keyword "Comment" as it is, others as "Keyword: text". A profile
    that is overruled by code points is left behind.

    Args:
        chunks: (type, data) in the file's order.

    Source: PNG, third edition (W3C), 11.3.
    """
    exif = icc = xmp = resources = iptc = None
    density = None
    comments: list[str] = []
    chunks = list(chunks)
    for kind, data in chunks:
        if kind == b"eXIf":
            exif = data
        elif kind == b"iCCP":
            icc = _inflate(data.partition(b"\0")[2][1:])
        elif kind == b"pHYs" and len(data) == 9:
            density = _density(data)
        elif kind in TEXT_CHUNKS:
            keyword, text = _text(kind, data)
            profile = _raw_profile(text) if keyword.startswith(RAW_PROFILE) else None
            if keyword == XMP_KEYWORD:
                xmp = text or xmp
            elif profile is None:
                comments.append(_comment(kind, keyword, text))
            elif profile.startswith(XMP_NAME):
                xmp = xmp or profile[len(XMP_NAME) :]
            elif keyword == RAW_PROFILE + b"xmp":
                xmp = xmp or profile
            elif keyword in (RAW_PROFILE + b"exif", RAW_PROFILE + b"APP1"):
                exif = exif or profile
            elif keyword in (RAW_PROFILE + b"iptc", RAW_PROFILE + b"8bim"):
                profile = profile.removeprefix(b"Photoshop 3.0\0")
                is_resources = profile.startswith(b"8BIM")
                resources, iptc = (profile, iptc) if is_resources else (resources, profile)
            else:
                comments.append(_comment(kind, keyword, text))
    exif = bare_exif(exif)
    icc = None if cicp_is_there(chunks) else icc
    segments = (*photoshop_segment(resources, iptc), *comment_segments(comments))
    return Metadata(exif, icc, xmp, orientation_of(exif), density, segments)


def _inflate(data: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        result = inflater.decompress(data, _MOST_INFLATED)
    except zlib.error:
        return None
    return result if inflater.eof and result else None


def _text(kind: bytes, data: bytes) -> tuple[bytes, bytes | None]:
    keyword, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, _inflate(rest[1:])
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return keyword, _inflate(text) if rest[:1] == b"\1" else text


def _comment(kind: bytes, keyword: bytes, text: bytes | None) -> str:
    """Only iTXt is in UTF-8."""
    words = (text or b"").decode("utf-8" if kind == b"iTXt" else "latin-1", errors="replace")
    name = keyword.decode("latin-1")
    return words if name == "Comment" or not words else f"{name}: {words}"


def _raw_profile(text: bytes | None) -> bytes | None:
    """What ImageMagick writes: a name, a length in decimal, then hexadecimal digits over many lines."""
    match = re.match(rb"\s*[^\n]*\n\s*(\d{1,9})\s*\n([0-9a-fA-F\s]*)\s*$", text or b"")
    if match is None:
        return None
    digits = re.sub(rb"\s+", b"", match[2]).decode("ascii")
    return bytes.fromhex(digits[: len(digits) // 2 * 2])[: int(match[1])] or None


def _density(data: bytes) -> tuple[int, int, int] | None:
    x, y = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if data[8] == 1:
        return density_per_meter(x, y)
    common = math.gcd(x, y) or 1
    x, y = x // common, y // common
    return (x, y, 0) if 1 <= x <= 65535 and 1 <= y <= 65535 else None
