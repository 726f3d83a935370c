"""Edits of EXIF data that move no byte: maker notes hold offsets that nobody else can correct."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION, XMP, IPTC, PHOTOSHOP = 0x0112, 0x02BC, 0x83BB, 0x8649
_EXIF_IFD, _GPS_IFD, _INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
_NUMBER_OF_IMAGES = 0xB001
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_MOST_ENTRIES = 4096
Range = tuple[int, int]


class ExifError(ValueError):
    """The TIFF structure is damaged."""


@dataclass(frozen=True)
class Entry:
    """One field of an IFD: its place, and where its value lies (size 0: outside, or of no known type)."""

    at: int
    tag: int
    kind: int
    count: int
    value_at: int
    size: int


@dataclass(frozen=True)
class Ifd:
    """An image file directory (TIFF 6.0, section 2)."""

    at: int
    entries: tuple[Entry, ...]
    next_at: int
    following: int

    def find(self, tag: int) -> Entry | None:
        """The first field with this tag."""
        return next((entry for entry in self.entries if entry.tag == tag), None)


class TiffStructure:
    """A TIFF file or EXIF block, read with every offset checked.

    Args:
        data: it begins with ``II`` or ``MM``. BigTIFF is read too.

    Raises:
        ExifError: it does not begin like a TIFF.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise ExifError("no TIFF structure")
        self.order = "<" if data[:1] == b"I" else ">"
        self.big = 43 in data[2:4]
        self.first_at = self.number(8, 8) if self.big else self.number(4, 4)

    def number(self, at: int, size: int) -> int:
        """The unsigned integer at an offset."""
        if at < 0 or at + size > len(self.data):
            raise ExifError("an offset points outside")
        return int.from_bytes(self.data[at : at + size], "little" if self.order == "<" else "big")

    def ifd(self, at: int) -> Ifd:
        """The directory at an offset, with the places of its values checked.

        Raises:
            ExifError: it does not lie within the data.
        """
        head, width, inline = (8, 20, 8) if self.big else (2, 12, 4)
        count = self.number(at, head)
        if at < 8 or count > _MOST_ENTRIES:
            raise ExifError("a directory is damaged")
        entries = []
        for entry_at in range(at + head, at + head + width * count, width):
            tag, kind = self.number(entry_at, 2), self.number(entry_at + 2, 2)
            values = self.number(entry_at + 4, inline)
            size = values * _SIZES.get(kind, 0)
            value_at = entry_at + width - inline
            if size > inline:
                value_at = self.number(value_at, inline)
                if value_at + size > len(self.data):
                    value_at, size = 0, 0  # one bad field spoils no other
            entries.append(Entry(entry_at, tag, kind, values, value_at, size))
        next_at = at + head + width * count
        return Ifd(at, tuple(entries), next_at, self.number(next_at, inline))

    def chain(self) -> Iterator[Ifd]:
        """The directories of the main chain, ending where it breaks or runs in a circle."""
        at, seen = self.first_at, set[int]()
        while at and at not in seen and len(seen) < _MOST_ENTRIES:
            seen.add(at)
            directory = self.ifd(at)
            yield directory
            at = directory.following

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """A field's values, which must be unsigned integers."""
        size = _SIZES.get(entry.kind, 0)
        if entry.kind not in (1, 3, 4, 13, 16, 18) or entry.size == 0:
            raise ExifError(f"tag {entry.tag} holds no integers")
        return tuple(self.number(entry.value_at + i * size, size) for i in range(entry.count))

    def raw(self, entry: Entry) -> bytes:
        """A field's value as it is stored."""
        return self.data[entry.value_at : entry.value_at + entry.size]

    def sub_ifd(self, directory: Ifd, tag: int) -> Ifd | None:
        """The directory that a pointer field leads to, if it can be read."""
        entry = directory.find(tag)
        try:
            return None if entry is None else self.ifd(self.integers(entry)[0])
        except ExifError:
            return None

    def ranges(self, directory: Ifd) -> list[Range]:
        """The bytes that a directory and its values take."""
        inline = 8 if self.big else 4
        end = directory.next_at + inline
        outside = [(e.value_at, e.value_at + e.size) for e in directory.entries if e.size > inline]
        return [(directory.at, end), *outside]


def _zero(data: bytearray, ranges: list[Range], protected: list[Range]) -> None:
    keep = [(start, end, bytes(data[start:end])) for start, end in protected]
    for start, end in ranges:
        data[start:end] = bytes(max(0, min(end, len(data)) - start))
    for start, end, value in keep:
        data[start:end] = value


def _main_ranges(tiff: TiffStructure, main: Ifd, *, with_gps: bool) -> list[Range]:
    ranges = [(0, 8), *tiff.ranges(main)]
    detail = tiff.sub_ifd(main, _EXIF_IFD)
    gps = tiff.sub_ifd(main, _GPS_IFD) if with_gps else None
    interoperability = tiff.sub_ifd(detail, _INTEROPERABILITY_IFD) if detail else None
    for directory in (detail, gps, interoperability):
        if directory is not None:
            ranges += tiff.ranges(directory)
    return ranges


def _cut(data: bytearray, ranges: list[Range], protected: list[Range]) -> bytes:
    end = len(data)
    kept = max(stop for _, stop in protected)
    for start, stop in sorted(ranges, key=lambda at: at[1], reverse=True):
        if stop >= end > start:
            end = max(start, kept)
    return bytes(data[:end])


def drop_thumbnail(exif: bytes) -> bytes:
    """Take the second directory (the thumbnail) out: unlinked, and cut off at the end or zeroed elsewhere.

    Args:
        exif: a TIFF structure.

    Raises:
        ExifError: it is damaged.

    Source: Exif 2.3 (CIPA DC-008), 4.5.2 and 4.6.
    """
    tiff = TiffStructure(exif)
    main = tiff.ifd(tiff.first_at)
    if main.following == 0:
        return exif
    data = bytearray(exif)
    inline = 8 if tiff.big else 4
    data[main.next_at : main.next_at + inline] = bytes(inline)
    try:
        second = tiff.ifd(main.following)
    except ExifError:
        return bytes(data)  # it is unlinked; where its data lie, nobody can tell
    ranges = tiff.ranges(second)
    for offsets_tag, lengths_tag in ((0x0201, 0x0202), (0x0111, 0x0117)):
        offsets, lengths = second.find(offsets_tag), second.find(lengths_tag)
        if offsets is not None and lengths is not None:
            starts, sizes = tiff.integers(offsets), tiff.integers(lengths)
            ranges += [(start, start + size) for start, size in zip(starts, sizes, strict=False)]
    protected = _main_ranges(tiff, main, with_gps=True)
    _zero(data, ranges, protected)
    return _cut(data, ranges, protected)


def drop_gps(exif: bytes) -> bytes:
    """Remove the GPS directory, and copies of XMP, IPTC and Photoshop data that may repeat it.

    Fields after a removed one move up within their directory; no value moves.

    Args:
        exif: a TIFF structure.

    Raises:
        ExifError: it is damaged.

    Source: Exif 2.3 (CIPA DC-008), 4.6.6.
    """
    data = exif
    private = (_GPS_IFD, XMP, IPTC, PHOTOSHOP)
    while True:
        tiff = TiffStructure(data)
        directories = list(tiff.chain())
        detail = tiff.sub_ifd(directories[0], _EXIF_IFD) if directories else None
        found = next(
            (
                (directory, entry)
                for directory in [*directories, *([detail] if detail else [])]
                for entry in directory.entries
                if entry.tag in private
            ),
            None,
        )
        if found is None:
            return data
        data = _without_entry(tiff, *found)


def _without_entry(tiff: TiffStructure, directory: Ifd, entry: Entry) -> bytes:
    data = bytearray(tiff.data)
    head, width, inline = (8, 20, 8) if tiff.big else (2, 12, 4)
    ranges = [(entry.value_at, entry.value_at + entry.size)] if entry.size > inline else []
    gps = tiff.sub_ifd(directory, _GPS_IFD) if entry.tag == _GPS_IFD else None
    if gps is not None:
        ranges += tiff.ranges(gps)
    main = tiff.ifd(tiff.first_at)
    protected = _main_ranges(tiff, main, with_gps=False)
    gone = (entry.value_at, entry.value_at + entry.size)
    _zero(data, ranges, [at for at in protected if at != gone])
    tail_end = directory.next_at + inline
    data[entry.at : tail_end] = data[entry.at + width : tail_end] + bytes(width)
    order = "little" if tiff.order == "<" else "big"
    data[directory.at : directory.at + head] = (len(directory.entries) - 1).to_bytes(head, order)  # type: ignore[arg-type]
    return bytes(data)


def orientation_of(exif: bytes | None) -> int:
    """The orientation that EXIF data tell, 1 (upright) where there is none or it cannot be read."""
    try:
        tiff = TiffStructure(exif or b"")
        entry = tiff.ifd(tiff.first_at).find(ORIENTATION)
        value = tiff.integers(entry)[0] if entry is not None else 1
    except ExifError:
        return 1
    return value if 1 <= value <= 8 else 1


def pictures_in_index(index: bytes) -> int:
    """How many pictures a multi-picture index counts, 1 where it cannot be read.

    Args:
        index: a TIFF structure, as in APP2 after ``MPF\\0``.

    Source: CIPA DC-007, 5.2.2.2.
    """
    try:
        tiff = TiffStructure(index)
        entry = tiff.ifd(tiff.first_at).find(_NUMBER_OF_IMAGES)
        return max(tiff.integers(entry)[0], 1) if entry is not None else 1
    except (ExifError, IndexError):
        return 1


def orientation_only(orientation: int) -> bytes:
    """The smallest EXIF data that tell an orientation."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)


def with_orientation(exif: bytes | None, orientation: int) -> bytes | None:
    """EXIF data that tell this orientation, with all else as it was; damaged data are replaced.

    Args:
        exif: a TIFF structure, or None.
        orientation: 1 to 8.
    """
    if orientation_of(exif) == orientation:
        return exif
    try:
        tiff = TiffStructure(exif or b"")
        main = tiff.ifd(tiff.first_at)
    except ExifError:
        return orientation_only(orientation)
    data = bytearray(tiff.data)
    entry = main.find(ORIENTATION)
    field = struct.pack(tiff.order + "HHIHH", ORIENTATION, 3, 1, orientation, 0)
    if entry is not None:
        data[entry.at : entry.at + 12] = field
        return bytes(data)
    fields = [*(bytes(data[e.at : e.at + 12]) for e in main.entries if e.tag < ORIENTATION), field]
    fields += [bytes(data[e.at : e.at + 12]) for e in main.entries if e.tag > ORIENTATION]
    data += bytes(len(data) % 2)  # a directory begins on a word boundary (TIFF 6.0, section 2)
    data[4:8] = struct.pack(tiff.order + "I", len(data))
    data += struct.pack(tiff.order + "H", len(fields)) + b"".join(fields)
    return bytes(data) + struct.pack(tiff.order + "I", main.following)
