"""The one parser of JPEG files: segments, tables, frame and scans (ITU-T T.81, annex B)."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.image.jpeg_markers import (
    APP0,
    APP10,
    APP14,
    ARITHMETIC,
    DAC,
    DHP,
    DHT,
    DQT,
    DRI,
    EOI,
    FRAMES,
    MOST_SCANS,
    SOF0,
    SOF1,
    SOF2,
    SOI,
    SOS,
    STANDALONE,
    end_of_scan,
    next_marker,
    segment,
)
from imgcompress.image.jpeg_payloads import (
    Component,
    FrameHeader,
    ScanHeader,
    is_rgb,
    read_frame,
    read_quantization,
    read_scan,
    subsampling_name,
)
from imgcompress.image.mark import is_mark, mark_payload
from imgcompress.image.picture import Segment
from imgcompress.shapes import Int

_OTHER_STANDARDS = {DHP: "hierarchical JPEG", 0xF7: "JPEG-LS"}
_DECODING = frozenset({SOF0, SOF1, SOF2, DHT, DAC, SOS, DQT, DRI})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})

_JPEGLIB = threading.Lock()


@dataclass(frozen=True)
class Scan:
    """One scan (T.81, B.2.3) and where its entropy-coded data lie in the file.

    Attributes:
        components: indices into the frame's components, in the scan's order.
        header: its band and bits.
        start: offset of the first entropy-coded byte.
        end: offset after the last one.
    """

    components: tuple[int, ...]
    header: ScanHeader
    start: int
    end: int


@dataclass(frozen=True)
class JpegHeader:
    """What the markers of a JPEG file say.

    Attributes:
        segments: every marker segment from SOI to EOI in order, SOS among them.
        frame_marker: which SOF it is (0xC0 baseline, 0xC1 extended, 0xC2 progressive, others).
        precision: bits a sample.
        height: pixels.
        width: pixels.
        components: the frame's components in order.
        tables: the quantization table in force at each component's first scan, natural order; zeros in a
            lossless file, which has none.
        scans: the scans in order, as many as there are SOS segments.
        adobe_transform: the transform byte of an Adobe APP14 segment, or None.
        jfif: whether a JFIF APP0 segment is there.
        restart_interval: the last one defined, in MCUs (0: none).
        end: offset behind the end-of-image marker.
    """

    segments: tuple[Segment, ...]
    frame_marker: int
    precision: int
    height: int
    width: int
    components: tuple[Component, ...]
    tables: Int[Tensor, "components 8 8"]
    scans: tuple[Scan, ...]
    adobe_transform: int | None
    jfif: bool
    restart_interval: int
    end: int

    @property
    def progressive(self) -> bool:
        """Whether the frame is coded in progressive scans."""
        return self.frame_marker == SOF2

    @property
    def is_arithmetic(self) -> bool:
        """Whether the frame is coded arithmetically (T.81, table B.1)."""
        return self.frame_marker in ARITHMETIC

    @property
    def is_rgb(self) -> bool:
        """Whether three components hold R, G, B themselves, by the rules that libjpeg guesses with."""
        return is_rgb(self.components, jfif=self.jfif, adobe_transform=self.adobe_transform)

    @property
    def subsampling(self) -> str:
        """The sampling's name: "444", "422", "440", "420", "gray", or "other"."""
        return subsampling_name(self.components, rgb=self.is_rgb)

    def block_grid(self, component: int) -> tuple[int, int]:
        """Blocks (down, across) that hold samples of a component (T.81, A.1.1 and A.2.4)."""
        most_h = max(c.horizontal for c in self.components)
        most_v = max(c.vertical for c in self.components)
        this = self.components[component]
        rows = -(-self.height * this.vertical // most_v)
        columns = -(-self.width * this.horizontal // most_h)
        return -(-rows // 8), -(-columns // 8)

    def scan_blocks(self, scan: Scan) -> int:
        """Blocks that a scan codes, the padding to whole MCUs included (T.81, A.2)."""
        if len(scan.components) == 1:
            down, across = self.block_grid(scan.components[0])
            return down * across
        most_h = max(c.horizontal for c in self.components)
        most_v = max(c.vertical for c in self.components)
        mcus = -(-self.height // (8 * most_v)) * -(-self.width // (8 * most_h))
        return mcus * sum(
            self.components[i].horizontal * self.components[i].vertical for i in scan.components
        )


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


class _Reader:
    """Collects what the segments say, in the order of the file."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.scans: list[Scan] = []
        self.frame: FrameHeader | None = None
        self.quantization: dict[int, tuple[int, ...]] = {}
        self.latched: dict[int, tuple[int, ...]] = {}
        self.adobe_transform: int | None = None
        self.jfif = False
        self.restart_interval = 0

    def take(self, marker: int, payload: bytes) -> None:
        self.segments.append((marker, payload))
        if marker == DQT:
            self.take_tables(payload)
        elif marker in FRAMES:
            self.take_frame(marker, payload)
        elif marker in _OTHER_STANDARDS and self.frame is None:
            raise PictureError(Reason.UNCHECKED, f"{_OTHER_STANDARDS[marker]} is not looked into")
        elif marker == DRI:
            if len(payload) != 2:
                raise _damaged("the restart interval's segment has a wrong length")
            self.restart_interval = int.from_bytes(payload, "big")
        elif marker == APP0 and payload[:5] == b"JFIF\0":
            self.jfif = True
        elif marker == APP14 and payload[:5] == b"Adobe" and len(payload) >= 12:
            self.adobe_transform = payload[11]

    def take_tables(self, payload: bytes) -> None:
        for table in read_quantization(payload):
            if 0 in table.steps:
                raise _damaged("a quantization table has a step of 0")
            self.quantization[table.number] = table.steps

    def take_frame(self, marker: int, payload: bytes) -> None:
        if self.frame is not None:
            raise _damaged("there are two frame headers")
        frame = read_frame(marker, payload)
        if frame.width == 0:
            raise _damaged("the frame header gives a width of 0")
        if frame.height == 0:
            raise PictureError(Reason.UNCHECKED, "a JPEG whose header gives no height is not looked into")
        if len(frame.components) > 4:
            raise _damaged(f"no decoder reads a JPEG of {len(frame.components)} components")
        if not all(component.possible for component in frame.components):
            raise _damaged("a component has an impossible sampling factor or table")
        if len({c.identifier for c in frame.components}) != len(frame.components):
            raise _damaged("two components have the same number")
        self.frame = frame

    def take_scan(self, payload: bytes, start: int, end: int) -> None:
        if self.frame is None:
            raise _damaged("a scan comes before the frame header")
        scan = read_scan(payload)
        if len(self.scans) == MOST_SCANS:
            raise _damaged(f"there are more than {MOST_SCANS} scans")
        by_identifier = {c.identifier: index for index, c in enumerate(self.frame.components)}
        if any(identifier not in by_identifier for identifier in scan.identifiers):
            raise _damaged("a scan names a component that the frame does not have")
        indices = tuple(by_identifier[identifier] for identifier in scan.identifiers)
        if len(set(indices)) != len(indices):
            raise _damaged("a scan names a component twice")
        for index in indices if self.frame.marker not in _LOSSLESS else ():
            table = self.frame.components[index].table
            if table not in self.quantization:
                raise _damaged(f"quantization table {table} is missing")
            # A table may be redefined between scans; decoders use the one of the component's first scan.
            self.latched.setdefault(index, self.quantization[table])
        self.segments.append((SOS, payload))
        self.scans.append(Scan(indices, scan, start, end))

    def header(self, end: int) -> JpegHeader:
        if self.frame is None:
            raise _damaged("there is no frame header")
        if not self.scans:
            raise _damaged("there is no picture data")
        components = self.frame.components
        if len({index for scan in self.scans for index in scan.components}) != len(components):
            raise _damaged("picture data is missing: a component is in no scan")
        none = (0,) * 64
        latched = [self.latched.get(i, none) for i in range(len(components))]
        return JpegHeader(
            tuple(self.segments),
            self.frame.marker,
            self.frame.precision,
            self.frame.height,
            self.frame.width,
            components,
            torch.tensor(latched, dtype=torch.int64).view(-1, 8, 8),
            tuple(self.scans),
            self.adobe_transform,
            self.jfif,
            self.restart_interval,
            end,
        )


def parse_jpeg(data: bytes) -> JpegHeader:
    """Read the structure of a JPEG file from SOI to EOI, in time linear in its size.

    Fill bytes and stray bytes between segments are skipped. What follows EOI is not looked at.

    Args:
        data: the file.

    Returns:
        The header. It may describe a process that is not decoded (see ``JpegHeader.frame_marker``).

    Raises:
        PictureError: DECODE_ERROR where the structure is damaged or cut off, or there are more than four
            components; UNCHECKED for JPEG-LS, hierarchical files, and a height that follows the first scan.

    Source: ITU-T T.81, annex B.
    """
    if data[:2] != bytes([0xFF, SOI]):
        raise _damaged("this is no JPEG file: it does not begin with a start-of-image marker")
    reader, position = _Reader(), 2
    while True:
        found = next_marker(data, position)
        if found is None:
            raise _damaged("the file is truncated: it has no end-of-image marker")
        marker, position = found
        if marker == EOI:
            return reader.header(position)
        if marker == SOI:
            raise _damaged("there is a second start-of-image marker")
        if marker in STANDALONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if position + max(length, 2) > len(data):
            raise _damaged("the file is truncated within a segment")
        if length < 2:
            raise _damaged("a segment gives an impossible length")
        payload = data[position + 2 : position + length]
        position += length
        if marker != SOS:
            reader.take(marker, payload)
            continue
        end = end_of_scan(data, position)
        if end is None:
            raise _damaged("the file is truncated within the picture data")
        reader.take_scan(payload, position, end)
        position = end


def bare_jpeg(data: bytes, header: JpegHeader, *extra: Segment, keep_color: bool = True) -> bytes:
    """The file with what decoding needs and nothing else: no metadata, stray bytes or trailer.

    Args:
        data: the file.
        header: its header.
        extra: segments to put after SOI.
        keep_color: whether JFIF and Adobe segments, which say how color is coded, stay.
    """
    kinds = _DECODING | ({APP0, APP14} if keep_color else frozenset()) | {header.frame_marker}
    parts = [bytes([0xFF, SOI]), *(segment(*each) for each in extra)]
    scans: Iterator[Scan] = iter(header.scans)
    for marker, payload in header.segments:
        if marker in kinds:
            parts.append(segment(marker, payload))
        if marker == SOS:
            scan = next(scans)
            parts.append(data[scan.start : scan.end])
    return b"".join([*parts, bytes([0xFF, EOI])])


def mark_segment(version: str, settings_digest: str) -> Segment:
    """The segment that marks a file as written by this tool, so that it is recognized and left alone.

    It is an APP10: few programs use that one, none shows it to people, and plain decoders skip it.

    Args:
        version: this package's version.
        settings_digest: what identifies the settings, ASCII without spaces.
    """
    return APP10, mark_payload(f"{version} {settings_digest}".encode("ascii"))


def is_our_segment(candidate: Segment) -> bool:
    """Whether ``mark_segment`` made this."""
    marker, payload = candidate
    return marker == APP10 and is_mark(payload)


def made_by_us(header: JpegHeader) -> bool:
    """Whether this tool wrote the file."""
    return any(is_our_segment(each) for each in header.segments)


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("jpeg")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "picture.jpg")
            path.write_bytes(data)
            yield str(path)


def read_coefficients(data: bytes, header: JpegHeader) -> tuple[Int[Tensor, "_ _ 8 8"], ...] | None:
    """The quantized DCT coefficients as the file stores them.

    Only for files that ``read_picture`` has accepted: the library behind this ends the process on some
    damaged files.

    Args:
        data: the file.
        header: its header.

    Returns:
        One int16 tensor (down, across, 8, 8) per component in natural order, over ``header.block_grid``.
        None where jpeglib cannot be imported or does not read the layout (only gray and YCbCr, Huffman-coded,
        8 bit are tried); the caller then rounds the DCT of the decoded planes.
    """
    if header.frame_marker not in (SOF0, SOF1, SOF2) or header.precision != 8 or header.is_rgb:
        return None
    if len(header.components) not in (1, 3):
        return None
    try:
        import jpeglib
    except (ImportError, OSError):
        return None
    # jpeglib collects metadata segments in variables of the process: threads that read at once crash it.
    with _JPEGLIB, _as_file(bare_jpeg(data, header, keep_color=False)) as path:
        try:
            image = jpeglib.read_dct(path)
            image.load()
            arrays = [image.Y, image.Cb, image.Cr][: len(header.components)]
        except Exception:
            return None
    grids = [(*header.block_grid(i), 8, 8) for i in range(len(header.components))]
    if any(array is None or tuple(array.shape) != grid for array, grid in zip(arrays, grids, strict=True)):
        return None
    return tuple(torch.from_numpy(array.astype("int16")) for array in arrays)
