"""Metadata put into an AVIF file as libavif writes it without any: its index is written anew, data stay."""

import struct
from dataclasses import dataclass

from imgcompress.errors import PictureError, Reason
from imgcompress.image.containers import boxes
from imgcompress.image.mark import avif_mark
from imgcompress.image.picture import Metadata

# Rotation in quarter turns counterclockwise, then mirroring (0: top and bottom change places, 1: left and
# right), that show a picture of this EXIF orientation upright (ISO/IEC 23008-12, 6.5.10 and 6.5.12).
_TURNS: dict[int, tuple[int | None, int | None]] = {
    1: (None, None),
    2: (None, 1),
    3: (2, None),
    4: (None, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}
_ESSENTIAL = 0x80
_UNSPECIFIED = 2
_NO_TIFF_PREFIX = bytes(4)


def with_metadata(data: bytes, metadata: Metadata, mark: bytes | None) -> bytes:
    """The file with orientation, EXIF, XMP and ICC profile, byte by byte as they are, and with our mark.

    The orientation is told twice, by the EXIF data and by turns of the picture and its alpha, which agree.
    With a profile the code points of primaries and transfer become "unspecified"; the matrix stays.

    Args:
        data: what libavif wrote: ``ftyp``, ``meta`` and ``mdat``, with one extent an item.
        metadata: density, JPEG segments and trailer have no place in AVIF and are left out.
        mark: our note, or None.

    Raises:
        PictureError: UNSUPPORTED, the file is laid out otherwise.

    Source: ISO/IEC 14496-12, 8.11 (meta, iloc, iinf, iref, iprp); ISO/IEC 23008-12, 9.3 and annex A; MIAF,
        ISO/IEC 23000-22, 7.3.6.
    """
    places = {kind: (body, stop) for kind, body, stop in boxes(data, 0, len(data))}
    if list(places) != [b"ftyp", b"meta", b"mdat"]:
        raise _other_layout()
    try:
        return _rebuilt(data, places, metadata) + (avif_mark(mark) if mark is not None else b"")
    except (KeyError, ValueError, struct.error) as error:
        raise _other_layout() from error


def _other_layout() -> PictureError:
    return PictureError(Reason.UNSUPPORTED, "the AVIF encoder's file is laid out in an unknown way")


@dataclass(frozen=True)
class _Item:
    """A piece of metadata: what ``infe`` says after its number, and the bytes."""

    entry: bytes
    content: bytes


def _rebuilt(data: bytes, outer: dict[bytes, tuple[int, int]], metadata: Metadata) -> bytes:
    new: list[_Item] = []
    if metadata.exif is not None:
        new.append(_Item(b"\0\0ExifExif\0", _NO_TIFF_PREFIX + metadata.exif))
    if metadata.xmp is not None:
        new.append(_Item(b"\0\0mimeXMP\0application/rdf+xml\0", metadata.xmp))
    start, stop = outer[b"meta"]
    meta = {kind: data[body:end] for kind, body, end in boxes(data, start + 4, stop)}
    items = _items(meta[b"iloc"])
    (primary,) = struct.unpack(">H", meta[b"pitm"][4:])
    numbers = range(max(number for number, _, _ in items) + 1, 1 << 16)[: len(new)]
    meta[b"iinf"] = _with_entries(meta[b"iinf"], dict(zip(numbers, new, strict=True)))
    meta[b"iref"] = _with_references(meta.get(b"iref", bytes(4)), numbers, primary)
    meta[b"iprp"] = _with_properties(meta[b"iprp"], metadata, primary)
    if meta[b"iref"] == bytes(4):
        del meta[b"iref"]
    old_at, old_end = outer[b"mdat"]
    body = data[old_at:old_end] + b"".join(item.content for item in new)
    head = _box(b"ftyp", data[slice(*outer[b"ftyp"])])
    meta[b"iloc"] = _iloc([*items, *((number, 0, 0) for number in numbers)])  # its length counts already
    at = len(head) + len(_meta(meta)) + 8
    moved = [(number, offset - old_at + at, length) for number, offset, length in items]
    at += old_end - old_at
    for number, item in zip(numbers, new, strict=True):
        moved.append((number, at, len(item.content)))
        at += len(item.content)
    meta[b"iloc"] = _iloc(moved)
    return head + _meta(meta) + _box(b"mdat", body)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _meta(inside: dict[bytes, bytes]) -> bytes:
    order = (b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp")
    return _box(b"meta", bytes(4) + b"".join(_box(kind, inside[kind]) for kind in order if kind in inside))


def _items(iloc: bytes) -> list[tuple[int, int, int]]:
    """Number, offset and length of each item."""
    version, sizes, count = struct.unpack(">IHH", iloc[:8])
    if (version, sizes) != (0, 0x4400) or len(iloc) != 8 + 14 * count:
        raise _other_layout()
    items = []
    for at in range(8, len(iloc), 14):
        number, reference, extents, offset, length = struct.unpack(">HHHII", iloc[at : at + 14])
        if (reference, extents) != (0, 1):
            raise _other_layout()
        items.append((number, offset, length))
    return items


def _iloc(items: list[tuple[int, int, int]]) -> bytes:
    entries = (struct.pack(">HHHII", number, 0, 1, offset, length) for number, offset, length in items)
    return struct.pack(">IHH", 0, 0x4400, len(items)) + b"".join(entries)


def _with_entries(iinf: bytes, new: dict[int, _Item]) -> bytes:
    version, count = struct.unpack(">IH", iinf[:6])
    added = (_box(b"infe", struct.pack(">IH", 2 << 24, number) + item.entry) for number, item in new.items())
    return struct.pack(">IH", version, count + len(new)) + iinf[6:] + b"".join(added)


def _with_references(iref: bytes, numbers: range, primary: int) -> bytes:
    return iref + b"".join(_box(b"cdsc", struct.pack(">HHH", number, 1, primary)) for number in numbers)


def _with_properties(iprp: bytes, metadata: Metadata, primary: int) -> bytes:
    (_, start, stop), (_, ipma_at, ipma_end) = boxes(iprp, 0, len(iprp))
    properties = [(kind, iprp[body:end]) for kind, body, end in boxes(iprp, start, stop)]
    if metadata.icc is not None:
        properties = [
            (kind, _without_code_points(content) if content[:4] == b"nclx" else content)
            for kind, content in properties
        ]
        properties.append((b"colr", b"prof" + metadata.icc))
    profile = len(properties) if metadata.icc is not None else None
    turns, mirror = _TURNS[metadata.orientation]
    turned = []
    for kind, value in ((b"irot", turns), (b"imir", mirror)):
        if value is not None:
            properties.append((kind, bytes([value])))
            turned.append(_ESSENTIAL | len(properties))
    ipco = _box(b"ipco", b"".join(_box(kind, content) for kind, content in properties))
    return ipco + _box(b"ipma", _with_associations(iprp[ipma_at:ipma_end], primary, profile, turned))


def _without_code_points(colr: bytes) -> bytes:
    return colr[:4] + struct.pack(">HH", _UNSPECIFIED, _UNSPECIFIED) + colr[8:]


def _with_associations(ipma: bytes, primary: int, profile: int | None, turned: list[int]) -> bytes:
    """Every picture is turned, alpha like colors; turns come after what describes (23008-12, 6.5.1)."""
    head, count = struct.unpack(">II", ipma[:8])
    if head != 0:
        raise _other_layout()
    result, at = ipma[:8], 8
    for _ in range(count):
        number, length = struct.unpack(">HB", ipma[at : at + 3])
        indices = list(ipma[at + 3 : at + 3 + length])
        indices += [profile] if profile is not None and number == primary else []
        indices += turned
        result += struct.pack(">HB", number, len(indices)) + bytes(indices)
        at += 3 + length
    return result
