"""What the payloads of a JPEG file's marker segments say (ITU-T T.81, annex B.2), one function each."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from imgcompress.errors import PictureError, Reason
from imgcompress.image.zigzag import ZIGZAG

_TO_NATURAL = itemgetter(*(ZIGZAG.index(natural) for natural in range(64)))


@dataclass(frozen=True)
class QuantizationTable:
    """One definition of a quantization table (T.81, B.2.4.1).

    Attributes:
        number: its slot, 0 to 3.
        bits: 8 or 16 a step.
        steps: 64 steps, natural order. They may be 0, which no decoder can use.
    """

    number: int
    bits: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Component:
    """One component of the frame (T.81, B.2.2).

    Attributes:
        identifier: the number that scans call it by.
        horizontal: horizontal sampling factor, 1 to 4.
        vertical: vertical sampling factor, 1 to 4.
        table: which quantization table, 0 to 3.
    """

    identifier: int
    horizontal: int
    vertical: int
    table: int

    @property
    def possible(self) -> bool:
        """Whether its numbers are in the ranges that the standard allows."""
        return 1 <= self.horizontal <= 4 and 1 <= self.vertical <= 4 and self.table <= 3


@dataclass(frozen=True)
class FrameHeader:
    """A frame header as it is written, in range or not (T.81, B.2.2).

    Attributes:
        marker: which SOF it is.
        precision: bits a sample.
        height: pixels.
        width: pixels.
        components: in order.
    """

    marker: int
    precision: int
    height: int
    width: int
    components: tuple[Component, ...]


@dataclass(frozen=True)
class ScanHeader:
    """A scan header as it is written (T.81, B.2.3).

    Attributes:
        identifiers: of the components, in the scan's order.
        first: first zigzag index of the band.
        last: last zigzag index of the band.
        high: bit position of the previous scan of this band (0 if there was none).
        low: bit position of this scan.
    """

    identifiers: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


def read_quantization(payload: bytes) -> Iterator[QuantizationTable]:
    """The tables of a DQT segment, one after the other.

    Raises:
        PictureError: DECODE_ERROR where the next one is damaged; those before it have been given.
    """
    at = 0
    while at < len(payload):
        wide, number = payload[at] >> 4, payload[at] & 15
        size = 64 * (1 + wide)
        raw = payload[at + 1 : at + 1 + size]
        if wide > 1 or number > 3 or len(raw) < size:
            raise _damaged("a quantization table is damaged")
        zigzag: Sequence[int] = struct.unpack(">64H", raw) if wide else raw
        yield QuantizationTable(number, 8 * (1 + wide), _TO_NATURAL(zigzag))
        at += 1 + size


def read_frame(marker: int, payload: bytes) -> FrameHeader:
    """A frame header, its numbers unchecked.

    Raises:
        PictureError: DECODE_ERROR, its length is not what its number of components asks for.
    """
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5] or payload[5] == 0:
        raise _damaged("the frame header has a wrong length")
    components = tuple(
        Component(payload[i], payload[i + 1] >> 4, payload[i + 1] & 15, payload[i + 2])
        for i in range(6, len(payload), 3)
    )
    precision, height, width = struct.unpack(">BHH", payload[:5])
    return FrameHeader(marker, precision, height, width, components)


def read_scan(payload: bytes) -> ScanHeader:
    """A scan header, its numbers unchecked.

    Raises:
        PictureError: DECODE_ERROR, it is too short, or names none or more than four components.
    """
    if not payload or not 1 <= payload[0] <= 4 or len(payload) < 4 + 2 * payload[0]:
        raise _damaged("a scan header has a wrong length")
    count = payload[0]
    first, last, bits = payload[1 + 2 * count : 4 + 2 * count]
    return ScanHeader(tuple(payload[1 : 1 + 2 * count : 2]), first, last, bits >> 4, bits & 15)


def is_rgb(components: Sequence[Component], *, jfif: bool, adobe_transform: int | None) -> bool:
    """Whether three components hold R, G, B themselves, by the rules that libjpeg guesses with."""
    if len(components) != 3 or jfif:
        return False
    if adobe_transform is not None:
        return adobe_transform == 0
    return bytes(component.identifier for component in components) == b"RGB"


def subsampling_name(components: Sequence[Component], *, rgb: bool) -> str:
    """The sampling's name: "444", "422", "440", "420", "gray", or "other"."""
    if len(components) == 1:
        return "gray"
    if len(components) != 3 or rgb:
        return "other"
    luma, blue, red = ((c.horizontal, c.vertical) for c in components)
    names = {(1, 1): "444", (2, 1): "422", (1, 2): "440", (2, 2): "420"}
    if blue != red or 0 in blue or luma[0] % blue[0] or luma[1] % blue[1]:
        return "other"
    return names.get((luma[0] // blue[0], luma[1] // blue[1]), "other")
