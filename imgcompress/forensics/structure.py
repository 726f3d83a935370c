"""What the segments of a JPEG file hold."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from imgcompress.forensics.exif_fields import ExifFields, read_exif_fields
from imgcompress.forensics.finding import Finding
from imgcompress.forensics.huffman_tables import HuffmanTable
from imgcompress.image.jpeg_markers import ARITHMETIC, SOF2
from imgcompress.image.jpeg_payloads import (
    FrameHeader,
    QuantizationTable,
    ScanHeader,
    is_rgb,
    subsampling_name,
)
from imgcompress.shapes import Int


@dataclass(frozen=True)
class Jfif:
    """The JFIF segment (JFIF 1.02): version, unit of density (0 none, 1 inch, 2 cm), density."""

    version: tuple[int, int]
    unit: int
    density: tuple[int, int]


@dataclass(frozen=True)
class Structure:
    """What the segments of a JPEG file hold.

    Attributes:
        whole: whether the file was walked to its end; else up to its first scan.
        wants: of a head that ends before the first scan, how many bytes of the file are needed at least to
            get further; 0 where nothing is missing.
        size: bytes of the file (of a head: of what was given).
        layout: the segments up to the first scan in their order, but for APPn and comments: ``DQT:0,1`` holds
            tables 0 and 1, ``DHT:dc0,ac0`` Huffman tables, ``SOF2``, ``DRI``, ``DAC``, ``SOS``.
        apps: the APPn segments before the end by name, in order, without repeats that follow each other.
        comments: of COM segments.
        quantization: every definition of a table in order, redefinitions included.
        latched: the table in force at each component's first scan (or the last one defined, where there is
            no scan); None where it is missing.
        frame: the frame header as it is written, or None.
        huffman: every definition of a Huffman table in order.
        restart_interval: the last one defined, in MCUs (0: none).
        scans: the scan headers in order; empty unless the file was walked to its end.
        jfif: of the first JFIF segment.
        adobe_transform: of an Adobe segment, or None.
        marked: whether imgcompress's own note is there.
        exif: a TIFF structure as in APP1, or None.
        xmp: an XMP packet, or None.
        icc: an ICC profile, or None; None too where chunks of it are missing.
        pictures: as many as the multi-picture index says, 1 without one.
        trailer: bytes behind the end.
        damage: what is wrong with it.
    """

    whole: bool
    wants: int
    size: int
    layout: tuple[str, ...]
    apps: tuple[str, ...]
    comments: tuple[bytes, ...]
    quantization: tuple[QuantizationTable, ...]
    latched: tuple[QuantizationTable | None, ...]
    frame: FrameHeader | None
    huffman: tuple[HuffmanTable, ...]
    restart_interval: int
    scans: tuple[ScanHeader, ...]
    jfif: Jfif | None
    adobe_transform: int | None
    marked: bool
    exif: bytes | None
    xmp: bytes | None
    icc: bytes | None
    pictures: int
    trailer: int
    damage: tuple[Finding, ...]

    @property
    def progressive(self) -> bool:
        """Whether the frame is coded in progressive scans."""
        return self.frame is not None and self.frame.marker in (SOF2, 0xC6, 0xCA, 0xCE)

    @property
    def is_arithmetic(self) -> bool:
        """Whether the frame is coded arithmetically."""
        return self.frame is not None and self.frame.marker in ARITHMETIC

    @property
    def subsampling(self) -> str:
        """The sampling's name: "444", "422", "440", "420", "gray", or "other"."""
        if self.frame is None:
            return "other"
        components = self.frame.components
        rgb = is_rgb(components, jfif=self.jfif is not None, adobe_transform=self.adobe_transform)
        return subsampling_name(components, rgb=rgb)

    @property
    def standard_huffman(self) -> bool | None:
        """Whether all Huffman tables are the standard's examples; None where there are none."""
        return all(table.example for table in self.huffman) if self.huffman else None

    @property
    def component_tables(self) -> tuple[QuantizationTable, ...]:
        """The usable tables of the components in order; without a usable frame those of the slots."""
        found = self.latched or tuple(self.slots[number] for number in sorted(self.slots))
        return tuple(table for table in found if table is not None and 0 not in table.steps)

    @property
    def tables(self) -> Int[Tensor, "components 8 8"] | None:
        """The steps of ``component_tables``, natural order; None where there are none."""
        found = [table.steps for table in self.component_tables]
        return torch.tensor(found, dtype=torch.int64).view(-1, 8, 8) if found else None

    @property
    def slots(self) -> dict[int, QuantizationTable]:
        """The last definition of each table by its number."""
        return {table.number: table for table in self.quantization}

    @property
    def scan_script(self) -> tuple[str, ...]:
        """The scans as ``components:first-last:high/low``, with components by their place in the frame."""
        components = self.frame.components if self.frame else ()
        places = {component.identifier: str(place) for place, component in enumerate(components)}
        return tuple(
            f"{','.join(places.get(each, '?') for each in scan.identifiers)}"
            f":{scan.first}-{scan.last}:{scan.high}/{scan.low}"
            for scan in self.scans
        )

    @cached_property
    def exif_fields(self) -> ExifFields | None:
        """What the EXIF data say, parsed when it is asked for; None without them."""
        return None if self.exif is None else read_exif_fields(self.exif)
