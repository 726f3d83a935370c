"""PNG and WebP files without unwanted metadata: chunks are left out, the coded pixels are not touched."""

from imgcompress.image import metadata as meta
from imgcompress.image.containers import png_chunks, png_file, webp_chunks, webp_file
from imgcompress.image.mark import PNG_MARK, WEBP_MARK
from imgcompress.image.metadata import StripMode
from imgcompress.image.png_metadata import RAW_PROFILE, TEXT_CHUNKS, XMP_KEYWORD, from_png

STRIPPABLE = frozenset({"png", "webp"})

# What shows a picture as it is meant (colors, transparency, density, animation), and our own mark.
_PNG_SHOWN = frozenset(
    {
        b"tRNS",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"iCCP",
        b"cICP",
        b"mDCV",
        b"cLLI",
        b"sBIT",
        b"bKGD",
        b"hIST",
        b"pHYs",
    }
    | {b"sPLT", b"acTL", b"fcTL", b"fdAT", PNG_MARK}
)
_TAKEN_APART = frozenset({RAW_PROFILE + b"exif", RAW_PROFILE + b"APP1", RAW_PROFILE + b"xmp"})
_WEBP_SHOWN = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", WEBP_MARK})
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04


def strip_file(data: bytes, form: str, mode: StripMode) -> bytes:
    """The file without what is to be dropped; the same bytes where there is nothing.

    EXIF and XMP in raw profiles come again in the chunks that are for them. Other raw profiles and chunks of
    no known kind go with "gps" and "all". An ICC profile stays whatever it is.

    Args:
        data: a file that has been read.
        form: one of ``STRIPPABLE``.
        mode: as in ``imgcompress.image.metadata.strip``.
    """
    return _strip_png(data, mode) if form == "png" else _strip_webp(data, mode)


def _strip_png(data: bytes, mode: StripMode) -> bytes:
    chunks = png_chunks(data)
    before = from_png(chunks)
    after = meta.strip(before, mode)
    result: list[tuple[bytes, bytes]] = []
    blobs = {b"eXIf": after.exif, b"iTXt": after.xmp and XMP_KEYWORD + bytes(5) + after.xmp}
    for kind, body in chunks:
        keyword = body.partition(b"\0")[0] if kind in TEXT_CHUNKS else b""
        if keyword in _TAKEN_APART:
            continue
        if kind == b"eXIf":
            blob = blobs.pop(kind, None)
            result += [(kind, blob)] if blob else []
        elif keyword == XMP_KEYWORD:
            blob = blobs.pop(b"iTXt", None)
            unchanged = after.xmp == before.xmp
            result += [(kind, body if unchanged else blob)] if blob else []
        elif kind == b"IEND":
            result += [(name, blob) for name, blob in blobs.items() if blob]
            result.append((kind, body))
        elif (
            kind[:1].isupper()
            or kind in _PNG_SHOWN
            or mode == "thumbnail"
            or (mode == "gps" and kind in TEXT_CHUNKS and not keyword.startswith(RAW_PROFILE))
        ):
            result.append((kind, body))
    return png_file(result)


def _strip_webp(data: bytes, mode: StripMode) -> bytes:
    chunks = webp_chunks(data)
    before = meta.from_webp(chunks)
    after = meta.strip(before, mode)
    blobs = {b"EXIF": (before.exif, after.exif), b"XMP ": (before.xmp, after.xmp)}
    flags = (_WEBP_EXIF if after.exif else 0) | (_WEBP_XMP if after.xmp else 0)
    result: list[tuple[bytes, bytes]] = []
    for kind, body in chunks:
        if kind in (b"EXIF", b"XMP "):
            old, new = blobs.pop(kind, (None, None))
            result += [(kind, body if new == old else new)] if new else []
        elif kind == b"VP8X" and body:
            result.append((kind, bytes([body[0] & ~(_WEBP_EXIF | _WEBP_XMP) | flags]) + body[1:]))
        elif kind in _WEBP_SHOWN or mode == "thumbnail":
            result.append((kind, body))
    return webp_file(result)
