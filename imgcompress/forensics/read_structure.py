"""JPEG files read without ever giving up: what their segments hold, and what is wrong with them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from typing import TypeVar

from imgcompress.errors import PictureError, Reason
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.huffman_tables import HuffmanTable, read_huffman
from imgcompress.forensics.structure import Jfif, Structure
from imgcompress.image.exif import pictures_in_index
from imgcompress.image.jpeg_markers import (
    APP0,
    APP1,
    APP2,
    APP10,
    APP13,
    APP14,
    APP15,
    COM,
    DAC,
    DHT,
    DQT,
    DRI,
    EOI,
    EXIF_NAME,
    FRAMES,
    ICC_NAME,
    MOST_SCANS,
    SOI,
    SOS,
    STANDALONE,
    XMP_NAME,
    end_of_scan,
    next_marker,
)
from imgcompress.image.jpeg_payloads import (
    FrameHeader,
    QuantizationTable,
    ScanHeader,
    read_frame,
    read_quantization,
    read_scan,
)
from imgcompress.image.mark import is_mark
from imgcompress.image.metadata import join_icc

HEAD_BYTES = 16384
"""What is read of a file at first: the tables of files without a thumbnail or profile lie within."""
_MOST_SEGMENTS = 4096
"""A file of more is looked at no further: 250 MB of metadata in full segments."""

_NAMES = (
    (APP0, b"JFIF\0", "JFIF"),
    (APP0, b"JFXX\0", "JFXX"),
    (APP0, b"AVI1", "AVI1"),
    (APP1, EXIF_NAME, "Exif"),
    (APP1, XMP_NAME, "XMP"),
    (APP1, b"http://ns.adobe.com/xmp/extension/\0", "XMP extension"),
    (APP2, ICC_NAME, "ICC"),
    (APP2, b"MPF\0", "MPF"),
    (APP13, b"Photoshop 3.0\0", "Photoshop"),
    (APP14, b"Adobe", "Adobe"),
)
_Item = TypeVar("_Item")


class _Contents:
    """Collects what the segments hold, and what is wrong with them."""

    def __init__(self) -> None:
        self.damage: Counter[str] = Counter()
        self.layout: list[str] = []
        self.apps: list[str] = []
        self.comments: list[bytes] = []
        self.quantization: list[QuantizationTable] = []
        self.slots: dict[int, QuantizationTable] = {}
        self.latched: dict[int, QuantizationTable] = {}
        self.frame: FrameHeader | None = None
        self.huffman: list[HuffmanTable] = []
        self.restart_interval = 0
        self.scans: list[ScanHeader] = []
        self.jfif: Jfif | None = None
        self.adobe_transform: int | None = None
        self.marked = False
        self.exif: bytes | None = None
        self.xmp: bytes | None = None
        self.icc: list[tuple[int, int, bytes]] = []
        self.pictures = 1

    def take(self, marker: int, payload: bytes) -> None:
        if marker == COM:
            self.comments.append(payload)
        elif APP0 <= marker <= APP15:
            self.take_app(marker, payload)
        elif marker in FRAMES:
            self.note(f"SOF{marker - 0xC0}")
            self.take_frame(marker, payload)
        elif marker == DQT:
            tables = list(self.collect(read_quantization(payload)))
            self.note(f"DQT:{','.join(str(table.number) for table in tables)}")
            if any(0 in table.steps for table in tables):
                self.damage["a quantization table has a step of 0"] += 1
            self.quantization += tables
            self.slots |= {table.number: table for table in tables}
        elif marker == DHT:
            huffman = list(self.collect(read_huffman(payload)))
            self.note(f"DHT:{','.join(f'{table.kind}{table.number}' for table in huffman)}")
            self.huffman += huffman
        elif marker == DRI:
            self.note("DRI")
            if len(payload) != 2:
                self.damage["the restart interval's segment has a wrong length"] += 1
            self.restart_interval = int.from_bytes(payload[:2], "big")
        elif marker == DAC:
            self.note("DAC")
        elif marker == SOS:
            self.take_scan(payload)
        else:
            self.note(f"{marker:02X}")

    def note(self, word: str) -> None:
        if not self.scans:
            self.layout.append(word)

    def collect(self, items: Iterable[_Item]) -> Iterator[_Item]:
        try:
            yield from items
        except PictureError as error:
            self.damage[str(error)] += 1

    def take_app(self, marker: int, payload: bytes) -> None:
        name = next((n for m, start, n in _NAMES if m == marker and payload.startswith(start)), None)
        if name is None:
            name = f"APP{marker - APP0}"
        if self.apps[-1:] != [name]:
            self.apps.append(name)
        if name == "JFIF":
            self.take_jfif(payload)
        elif name == "Exif" and self.exif is None:
            self.exif = payload[len(EXIF_NAME) :]
        elif name == "XMP" and self.xmp is None:
            self.xmp = payload[len(XMP_NAME) :]
        elif name == "ICC":
            number, count = (*payload[len(ICC_NAME) : len(ICC_NAME) + 2], 0, 0)[:2]
            self.icc.append((number, count, payload[len(ICC_NAME) + 2 :]))
        elif name == "MPF":
            self.pictures = pictures_in_index(payload[4:])
        elif name == "Adobe":
            if len(payload) >= 12:
                self.adobe_transform = payload[11]
            else:
                self.damage["the Adobe segment is cut off"] += 1
        elif marker == APP10 and is_mark(payload):
            self.marked = True

    def take_jfif(self, payload: bytes) -> None:
        if len(payload) < 14:
            self.damage["the JFIF segment is cut off"] += 1
        elif self.jfif is None:
            x, y = int.from_bytes(payload[8:10], "big"), int.from_bytes(payload[10:12], "big")
            self.jfif = Jfif((payload[5], payload[6]), payload[7], (x, y))

    def take_frame(self, marker: int, payload: bytes) -> None:
        if self.frame is not None:
            self.damage["there are several frame headers"] += 1
            return
        try:
            frame = read_frame(marker, payload)
        except PictureError as error:
            self.damage[str(error)] += 1
            return
        self.frame = frame
        if frame.width == 0 or frame.height == 0:
            self.damage["the frame header gives no width or no height"] += 1
        if len(frame.components) > 4:
            self.damage[f"the frame has {len(frame.components)} components"] += 1
        if not all(component.possible for component in frame.components):
            self.damage["a component has an impossible sampling factor or table"] += 1
        if len({component.identifier for component in frame.components}) != len(frame.components):
            self.damage["two components have the same number"] += 1
        if frame.precision not in (8, 12) and marker not in (0xC3, 0xC7, 0xCB, 0xCF):
            self.damage[f"the frame has {frame.precision} bits a sample"] += 1

    def take_scan(self, payload: bytes) -> None:
        self.note("SOS")
        if self.frame is None:
            self.damage["a scan comes before the frame header"] += 1
        try:
            scan = read_scan(payload)
        except PictureError as error:
            self.damage[str(error)] += 1
            return
        if len(self.scans) == MOST_SCANS:
            self.damage[f"there are more than {MOST_SCANS} scans"] += 1
            return
        self.scans.append(scan)
        if scan.first > scan.last or scan.last > 63:
            self.damage["a scan names an impossible band of coefficients"] += 1
        components = self.frame.components if self.frame else ()
        found = {c.identifier: place for place, c in enumerate(components)}
        if any(identifier not in found for identifier in scan.identifiers):
            self.damage["a scan names a component that the frame does not have"] += 1
        for place in (found[identifier] for identifier in scan.identifiers if identifier in found):
            table = self.slots.get(components[place].table)
            # A table may be redefined between scans; decoders use the one of the component's first scan.
            if table is not None:
                self.latched.setdefault(place, table)

    def tables(self) -> tuple[QuantizationTable | None, ...]:
        components = self.frame.components if self.frame else ()
        return tuple(self.latched.get(i, self.slots.get(c.table)) for i, c in enumerate(components))

    def structure(self, *, whole: bool, wants: int, size: int, trailer: int) -> Structure:
        icc = join_icc(self.icc)
        if not wants:
            self.check(whole=whole, icc=icc)
        return Structure(
            whole,
            wants,
            size,
            tuple(self.layout),
            tuple(self.apps),
            tuple(self.comments),
            tuple(self.quantization),
            self.tables(),
            self.frame,
            tuple(self.huffman),
            self.restart_interval,
            tuple(self.scans) if whole else (),
            self.jfif,
            self.adobe_transform,
            self.marked,
            self.exif,
            self.xmp,
            icc,
            self.pictures,
            trailer,
            tuple(
                Finding("damage", f"{text} ({count} times)" if count > 1 else text)
                for text, count in self.damage.items()
            ),
        )

    def check(self, *, whole: bool, icc: bytes | None) -> None:
        lossless = self.frame is not None and self.frame.marker in (0xC3, 0xC7, 0xCB, 0xCF)
        if self.frame is None:
            self.damage["there is no frame header"] += 1
        elif None in self.tables() and not lossless:
            self.damage["a quantization table is missing"] += 1
        if self.icc and icc is None:
            self.damage["parts of the ICC profile are missing"] += 1
        if not whole:
            return
        if not self.scans:
            self.damage["there is no picture data"] += 1
        elif self.frame is not None:
            coded = {identifier for scan in self.scans for identifier in scan.identifiers}
            if any(component.identifier not in coded for component in self.frame.components):
                self.damage["picture data is missing: a component is in no scan"] += 1


def read_structure(data: bytes, *, whole: bool = True) -> Structure:
    """Walk over a JPEG file's segments, in time linear in its size, and collect what they hold.

    Whatever follows the start-of-image marker, an answer is given; what is wrong is in ``damage``.

    Args:
        data: the file, or the head of it.
        whole: walk to the end; else stop at the first scan, and take an end of the data before it for the end
            of what was read (see ``Structure.wants``).

    Raises:
        PictureError: DECODE_ERROR, it does not begin with a start-of-image marker.

    Source: ITU-T T.81, annex B.
    """
    if data[:2] != bytes([0xFF, SOI]):
        raise PictureError(
            Reason.DECODE_ERROR, "this is no JPEG file: it does not begin with a start-of-image marker"
        )
    contents = _Contents()
    end, wants = _walk(data, contents, whole=whole)
    if whole and wants:
        contents.damage["the file is truncated"] += 1
        wants = 0
    trailer = len(data) - end if whole else 0
    # Zeros are padding: some cameras fill their files up with them.
    if contents.pictures == 1 and data[end:].strip(b"\0") and trailer:
        contents.damage[f"{trailer} bytes follow the end of the picture, such as a film's"] += 1
    return contents.structure(whole=whole, wants=wants, size=len(data), trailer=trailer)


def _walk(data: bytes, contents: _Contents, *, whole: bool) -> tuple[int, int]:
    """Where it ended, and how many bytes it wanted that are not there (0: none)."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        found = next_marker(data, position)
        if found is None:
            return len(data), len(data) + 1
        marker, start = found
        if data[position : start - 1].strip(b"\xff"):
            contents.damage["there are bytes between segments that belong to nothing"] += 1
        position = start
        if marker == EOI:
            return position, 0
        if marker == SOI:
            contents.damage["there is a second start-of-image marker"] += 1
        if marker == SOI or marker in STANDALONE:
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + max(length, 2)
        if position > len(data) and not whole:
            return len(data), position
        if length < 2:
            contents.damage["a segment gives an impossible length"] += 1
            continue
        contents.take(marker, data[start + 2 : position])
        if position > len(data):
            return len(data), position
        if marker == SOS:
            if not whole:
                return position, 0
            end = end_of_scan(data, position)
            position = len(data) if end is None else end
    contents.damage[f"there are more than {_MOST_SEGMENTS} markers; the others are not read"] += 1
    return len(data), 0


def read_head(file: BufferedIOBase) -> Structure:
    """The structure of a file up to its first scan, reading no more of it than that takes.

    Args:
        file: at its beginning. A file that ends before its first scan is taken for whole.

    Raises:
        PictureError: DECODE_ERROR, it does not begin with a start-of-image marker.
    """
    data = file.read(HEAD_BYTES)
    while True:
        structure = read_structure(data, whole=False)
        if not structure.wants:
            return structure
        # It grows by half at least, so that all readings together take linear time.
        more = file.read(max(structure.wants - len(data) + HEAD_BYTES, len(data) // 2))
        if not more:
            return read_structure(data)
        data += more
