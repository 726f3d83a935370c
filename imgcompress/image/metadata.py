"""What travels beside the pixels: taken from each format, and dropped on request."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal
from xml.dom import Node, minidom
from xml.parsers import expat

from imgcompress.image import exif as exif_edit
from imgcompress.image.bmp_file import BmpHeader
from imgcompress.image.exif import ExifError, Ifd, TiffStructure, orientation_of, orientation_only
from imgcompress.image.gif_file import GifFile
from imgcompress.image.icc_profile import is_srgb
from imgcompress.image.jpeg_file import JpegHeader, is_our_segment
from imgcompress.image.jpeg_markers import (
    APP0,
    APP1,
    APP2,
    APP13,
    APP14,
    APP15,
    COM,
    EXIF_NAME,
    ICC_NAME,
    XMP_NAME,
)
from imgcompress.image.picture import Metadata, Segment

StripMode = Literal["none", "thumbnail", "gps", "all"]

_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"

# IPTC-IIM 4.2, record 2: city, sublocation, province or state, country code, country.
_IPTC_PLACE = frozenset({90, 92, 95, 100, 101})
_IPTC_RESOURCE = 0x0404
_THUMBNAIL_RESOURCES = frozenset({0x0409, 0x040C})
_EXIF_AND_XMP_RESOURCES = frozenset({0x0422, 0x0423, 0x0424})

_NS_EXIF = "http://ns.adobe.com/exif/1.0/"
_NS_XAP = "http://ns.adobe.com/xap/1.0/"
_NS_NOTE = "http://ns.adobe.com/xmp/note/"
_XMP_PLACES = frozenset(
    {("http://ns.adobe.com/photoshop/1.0/", name) for name in ("City", "State", "Country")}
    | {("http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", name) for name in ("Location", "CountryCode")}
    | {("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", n) for n in ("LocationCreated", "LocationShown")}
)


# Taking it from files


def from_jpeg(header: JpegHeader, trailer: bytes = b"") -> Metadata:
    """The metadata of a JPEG file.

    The first Exif, the first XMP and the ICC profile are taken out of their segments; the others are carried
    as they are, but for JFIF, JFXX, Adobe and MPF segments (which describe the old coding) and our own.
    An ICC profile of which a chunk is missing, repeated or miscounted cannot be used and is left behind.

    Args:
        header: the file's header.
        trailer: what stands behind its end.
    """
    exif = xmp = None
    density = None
    chunks: list[tuple[int, int, bytes]] = []
    carried: list[Segment] = []
    for marker, payload in header.segments:
        if (
            marker == APP1
            and payload.startswith(EXIF_NAME)
            and exif is None
            and len(payload) > len(EXIF_NAME)
        ):
            exif = payload[len(EXIF_NAME) :]
        elif marker == APP1 and payload.startswith(XMP_NAME) and xmp is None:
            xmp = payload[len(XMP_NAME) :]
        elif marker == APP2 and payload.startswith(ICC_NAME) and len(payload) >= len(ICC_NAME) + 2:
            number, count = payload[len(ICC_NAME) : len(ICC_NAME) + 2]
            chunks.append((number, count, payload[len(ICC_NAME) + 2 :]))
        elif marker == APP0 and payload.startswith(b"JFIF\0"):
            density = density or _jfif_density(payload)
        elif _is_carried(marker, payload):
            carried.append((marker, payload))
    # Zeros are padding: some cameras fill their files up with them.
    trailer = trailer if trailer.strip(b"\0") else b""
    icc = join_icc(chunks)
    return Metadata(exif, icc, xmp, orientation_of(exif), density, tuple(carried), trailer)


def _is_carried(marker: int, payload: bytes) -> bool:
    if marker == COM:
        return True
    if not APP0 <= marker <= APP15 or is_our_segment((marker, payload)):
        return False
    return not (
        (marker == APP0 and payload.startswith((b"JFIF\0", b"JFXX\0")))
        or (marker == APP14 and payload.startswith(b"Adobe"))
        or (marker == APP2 and payload.startswith((b"MPF\0", ICC_NAME)))
        or (marker == APP1 and payload in (EXIF_NAME, EXIF_NAME[:-1]))
    )


def _jfif_density(payload: bytes) -> tuple[int, int, int] | None:
    if len(payload) < 12:
        return None
    unit = payload[7]
    x, y = int.from_bytes(payload[8:10], "big"), int.from_bytes(payload[10:12], "big")
    return (x, y, unit) if unit <= 2 and x and y else None


def join_icc(chunks: list[tuple[int, int, bytes]]) -> bytes | None:
    """The ICC profile of chunks (number, count, data); None where one is missing, repeated or miscounted."""
    in_order = sorted(chunks, key=lambda chunk: chunk[0])
    numbers = [number for number, _, _ in in_order]
    if not chunks or numbers != list(range(1, len(chunks) + 1)) or {c for _, c, _ in chunks} != {len(chunks)}:
        return None
    return b"".join(data for _, _, data in in_order) or None


def bare_exif(exif: bytes | None) -> bytes | None:
    """EXIF data without the prefix of JPEG's segment; None for none."""
    return (exif or b"").removeprefix(EXIF_NAME) or None


def photoshop_segment(resources: bytes | None, iptc: bytes | None = None) -> tuple[Segment, ...]:
    """Photoshop's resources, and IPTC data where they are not among those, as the segment of a JPEG.

    Args:
        resources: a sequence of ``8BIM`` blocks, or None.
        iptc: IPTC-IIM data sets, or None.
    """
    named = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big")
    blocks = resources or b""
    if iptc is not None and named not in blocks:
        blocks += named + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    return ((APP13, _PHOTOSHOP + blocks),) if blocks else ()


def comment_segments(comments: Iterable[str | bytes]) -> tuple[Segment, ...]:
    """Comments as those of a JPEG, text in UTF-8."""
    encoded = (text if isinstance(text, bytes) else text.encode("utf-8") for text in comments)
    return tuple((COM, text) for text in encoded if text)


def density_per_meter(x: int, y: int) -> tuple[int, int, int] | None:
    """JFIF's density, in pixels an inch, of one in pixels a meter; None if it has no place there."""
    x, y = round(x * 0.0254), round(y * 0.0254)
    return (x, y, 1) if 1 <= x <= 65535 and 1 <= y <= 65535 else None


def from_webp(chunks: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata of a WebP file: its EXIF, ICCP and XMP chunks.

    Args:
        chunks: (type, data) in the file's order.
    """
    first: dict[bytes, bytes] = {}
    for kind, data in chunks:
        first.setdefault(kind, data)
    exif = bare_exif(first.get(b"EXIF"))
    return Metadata(exif, first.get(b"ICCP") or None, first.get(b"XMP ") or None, orientation_of(exif))


def from_gif(file: GifFile) -> Metadata:
    """The metadata of a GIF file: comments, XMP, ICC, the pixels' aspect ratio."""
    # JFIF has densities: pixels that are wider than high lie less densely across (GIF89a, 18; T.871, 10.1).
    density = (64, file.aspect + 15, 0) if file.aspect else None
    return Metadata(None, file.icc, file.xmp, 1, density, comment_segments(file.comments))


def from_bmp(header: BmpHeader) -> Metadata:
    """The metadata of a BMP file: ICC and density."""
    return Metadata(icc=header.icc, density=density_per_meter(*header.pixels_per_meter))


def from_blobs(exif: bytes | None, icc: bytes | None, xmp: bytes | None) -> Metadata:
    """The metadata that a library hands over in its parts, EXIF with or without its JPEG prefix."""
    exif = bare_exif(exif)
    return Metadata(exif, icc or None, xmp or None, orientation_of(exif))


# Fields of a TIFF file that make sense as EXIF; the others describe how the TIFF file is built.
_TIFF_FIELDS = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432)
_TIFF_ICC = 34675
_RATIONAL = 5
_EXIF_POINTER, _GPS_POINTER = 0x8769, 0x8825


def from_tiff(data: bytes) -> Metadata:
    """The metadata of a TIFF file's first page.

    Its descriptive fields, EXIF and GPS directories become EXIF, rebuilt by Pillow, as the old offsets point
    into the TIFF file. XMP and ICC are taken out; Photoshop or IPTC data become an APP13 segment.
    """
    tiff = TiffStructure(data)
    main = tiff.ifd(tiff.first_at)

    def raw(tag: int) -> bytes | None:
        entry = main.find(tag)
        return tiff.raw(entry) if entry is not None else None

    segments = photoshop_segment(raw(exif_edit.PHOTOSHOP), raw(exif_edit.IPTC))
    exif = _exif_of_tiff(data, {entry.tag for entry in main.entries})
    density = _tiff_density(tiff, main)
    return Metadata(exif, raw(_TIFF_ICC), raw(exif_edit.XMP), orientation_of(exif), density, segments)


def _tiff_density(tiff: TiffStructure, main: Ifd) -> tuple[int, int, int] | None:
    """Whole pixels an inch or a centimeter, as JFIF has them; EXIF keeps the fractions."""
    values = []
    for tag in (282, 283):
        entry = main.find(tag)
        if entry is None or entry.kind != _RATIONAL or entry.size != 8:
            return None
        over, under = tiff.number(entry.value_at, 4), tiff.number(entry.value_at + 4, 4)
        values.append(round(over / under) if under else 0)
    unit = main.find(296)
    number = tiff.integers(unit)[0] if unit is not None and unit.kind == 3 and unit.size else 2
    x, y = values
    return (x, y, number - 1) if 1 <= number <= 3 and 1 <= x <= 65535 and 1 <= y <= 65535 else None


def _exif_of_tiff(data: bytes, tags: set[int]) -> bytes | None:
    from PIL import Image

    source, result = Image.Exif(), Image.Exif()
    try:
        source.load(data)
        for tag in _TIFF_FIELDS:
            if tag in tags:
                result[tag] = source[tag]
        for pointer in (_EXIF_POINTER, _GPS_POINTER):
            if pointer in tags and (fields := source.get_ifd(pointer)):
                result[pointer] = fields
        return bare_exif(result.tobytes()) if len(result) else None
    except Exception:  # what a damaged directory raises in there is not documented
        return None


# Dropping it


def drop_thumbnail(exif: bytes) -> bytes:
    """EXIF data without the thumbnail, which would show the picture as it was.

    See ``imgcompress.image.exif.drop_thumbnail``; data that cannot be read are returned as they are.
    """
    try:
        return exif_edit.drop_thumbnail(exif)
    except ExifError:
        return exif


def drop_gps(exif: bytes) -> bytes | None:
    """EXIF data without a position; None where they cannot be read, as they may hold one."""
    try:
        return exif_edit.drop_gps(exif)
    except ExifError:
        return None


def drop_gps_from_xmp(xmp: bytes) -> bytes | None:
    """An XMP packet without position and place names; None where it cannot be read or has an entity.

    Args:
        xmp: the packet.
    """

    def private(namespace: str | None, name: str) -> bool:
        is_extended = (namespace, name) == (_NS_NOTE, "HasExtendedXMP")
        return (
            (namespace == _NS_EXIF and name.startswith("GPS"))
            or (namespace, name) in _XMP_PLACES
            or is_extended
        )

    return _edit_xmp(xmp, private)


def _drop_thumbnail_from_xmp(xmp: bytes) -> bytes | None:
    return _edit_xmp(xmp, lambda namespace, name: (namespace, name) == (_NS_XAP, "Thumbnails"))


class _DocumentTypeError(ValueError):
    pass


def _edit_xmp(xmp: bytes, unwanted: Callable[[str | None, str], bool]) -> bytes | None:
    def refuse(*_: object) -> None:
        raise _DocumentTypeError

    packet = xmp.rstrip(b"\0 \t\r\n")
    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse  # entities are declared in it; XMP has none
    try:
        guard.Parse(packet, True)
        document = minidom.parseString(packet)
    except (expat.ExpatError, _DocumentTypeError, ValueError, LookupError, RecursionError):
        return None
    changed = False
    pending: list[Any] = [document]
    while pending:
        node = pending.pop()
        for child in list(node.childNodes):
            if child.nodeType == Node.ELEMENT_NODE and unwanted(child.namespaceURI, child.localName or ""):
                node.removeChild(child)
                changed = True
            else:
                pending.append(child)
        if isinstance(node, minidom.Element):
            for attribute in list(node.attributes.values()):
                if unwanted(attribute.namespaceURI, attribute.localName or ""):
                    node.removeAttributeNode(attribute)
                    changed = True
    if not changed:
        return xmp
    return "".join(child.toxml() for child in document.childNodes).encode("utf-8")


def strip(metadata: Metadata, mode: StripMode) -> Metadata:
    """Drop metadata on request.

    Args:
        metadata: what a file had.
        mode: "none" keeps everything but the EXIF thumbnail, which would be stale. "thumbnail" also drops
            those in Photoshop's resources and in XMP. "gps" drops positions and place names: EXIF, XMP (the
            extended packets whole) and IPTC; data that may hold one but cannot be read go whole. "all" leaves
            the orientation, and the ICC profile unless it is sRGB. What stands behind a JPEG's end goes whole
            with "gps" and "all".
    """
    if mode == "all":
        exif = orientation_only(metadata.orientation) if metadata.orientation != 1 else None
        icc = None if metadata.icc is None or is_srgb(metadata.icc) else metadata.icc
        return Metadata(exif=exif, icc=icc, orientation=metadata.orientation, density=metadata.density)
    exif = None if metadata.exif is None else drop_thumbnail(metadata.exif)
    if mode == "none":
        return replace(metadata, exif=exif)
    if mode == "thumbnail":
        xmp = metadata.xmp
        if xmp is not None and b"Thumbnails" in xmp:
            xmp = _drop_thumbnail_from_xmp(xmp)
        segments = _edit_segments(metadata.segments, gps=False)
        return replace(metadata, exif=exif, xmp=xmp, segments=segments, complete=True)
    exif = None if exif is None else drop_gps(exif)
    if exif is None and metadata.orientation != 1:
        exif = orientation_only(metadata.orientation)
    xmp = None if metadata.xmp is None else drop_gps_from_xmp(metadata.xmp)
    segments = _edit_segments(metadata.segments, gps=True)
    return replace(metadata, exif=exif, xmp=xmp, segments=segments, trailer=b"", complete=True)


def _edit_segments(segments: Iterable[Segment], *, gps: bool) -> tuple[Segment, ...]:
    result: list[Segment] = []
    for marker, payload in segments:
        second_copy = marker == APP1 and payload.startswith((EXIF_NAME, XMP_NAME, _EXTENDED_XMP))
        if second_copy and (gps or payload.startswith(EXIF_NAME)):
            continue
        if marker == APP13 and payload.startswith(_PHOTOSHOP):
            edited = _edit_photoshop(payload[len(_PHOTOSHOP) :], gps=gps)
            if edited:
                result.append((marker, _PHOTOSHOP + edited))
            elif edited is None and not gps:
                result.append((marker, payload))
            continue
        result.append((marker, payload))
    return tuple(result)


def _edit_photoshop(resources: bytes, *, gps: bool) -> bytes | None:
    """Photoshop's image resources without thumbnails or without places; None if they cannot be read."""
    unwanted = _EXIF_AND_XMP_RESOURCES if gps else _THUMBNAIL_RESOURCES
    result, at = b"", 0
    while at < len(resources):
        name_length = resources[at + 6] if at + 6 < len(resources) else 0
        size_at = at + 6 + (name_length + 2) // 2 * 2
        size = int.from_bytes(resources[size_at : size_at + 4], "big")
        end = size_at + 4 + size
        if (
            resources[at : at + 4] not in (b"8BIM", b"MeSa")
            or size_at + 4 > len(resources)
            or end > len(resources)
        ):
            return None
        number, value = int.from_bytes(resources[at + 4 : at + 6], "big"), resources[size_at + 4 : end]
        if gps and number == _IPTC_RESOURCE:
            edited = _drop_iptc_places(value)
            if edited is None:
                return None
            value = edited
        if number not in unwanted:
            result += resources[at:size_at] + len(value).to_bytes(4, "big") + value + bytes(len(value) % 2)
        at = end + size % 2
    return result


def _drop_iptc_places(data: bytes) -> bytes | None:
    result, at = b"", 0
    while at < len(data):
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] == 0 and not data[at:].strip(b"\0"):
            break  # padding
        if data[at] != 0x1C or at + 5 + size > len(data) or size & 0x8000:
            return None
        if not (data[at + 1] == 2 and data[at + 2] in _IPTC_PLACE):
            result += data[at : at + 5 + size]
        at += 5 + size
    return result
