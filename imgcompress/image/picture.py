"""A decoded picture with everything its file said about it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from imgcompress.errors import Reason
from imgcompress.shapes import Int, Shaped

Segment = tuple[int, bytes]
"""A JPEG marker segment: the marker's second byte (0xE1 for APP1) and the payload without the length."""


@dataclass(frozen=True)
class Metadata:
    """What travels beside the pixels. Pixels are never rotated: the EXIF orientation is kept instead.

    Attributes:
        exif: a TIFF structure as in APP1 after ``Exif\\0\\0``, or None.
        icc: an ICC profile, or None (then sRGB is meant).
        xmp: an XMP packet, or None.
        orientation: the EXIF orientation, 1 to 8.
        density: pixels per unit (x, y) and the unit of JFIF (0 aspect ratio, 1 inch, 2 cm), or None.
        segments: a source JPEG's other segments, in order, to be carried along as they are
            (IPTC, comments, extended XMP, unknown APPn); other formats' comments and IPTC as such segments.
        trailer: what stands behind a source JPEG's end (a motion photo's film, a camera's own data).
        complete: whether this is all that the file says; else a copy of it may hold anything.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    density: tuple[int, int, int] | None = None
    segments: tuple[Segment, ...] = ()
    trailer: bytes = b""
    complete: bool = True


@dataclass(frozen=True)
class JpegSource:
    """What a source JPEG's own headers say: how it was made, and what may not be made finer.

    Attributes:
        subsampling: "444", "422", "440", "420", "gray", or "other" for layouts we do not write.
        tables: one quantization table per component, natural (row-major) order, integer steps.
        progressive: whether the frame is progressive.
        coefficients: the stored quantized coefficients, natural order, one int16 tensor
            ``[down, across, 8, 8]`` per component, without padding blocks; None where they cannot be read.
    """

    subsampling: str
    tables: Int[Tensor, "components 8 8"]
    progressive: bool
    coefficients: tuple[Tensor, ...] | None = None


class Decoded(NamedTuple):
    """What a result looks like: pixels and alpha as :class:`Picture` has them."""

    pixels: Shaped[Tensor, "channels height width"]
    alpha: Shaped[Tensor, "height width"] | None = None


@dataclass(frozen=True)
class Picture:
    """Decoded pixels on the CPU, as stored (EXIF orientation not applied).

    Attributes:
        pixels: uint8 or uint16; one channel (gray) or three (RGB, encoded as the ICC profile says).
        alpha: same dtype and size as the pixels, straight (not premultiplied), or None if all opaque.
        bit_depth: bits a channel that carry information: 8, 10, 12 or 16. Deep values are scaled to 0..65535.
        format: of ``imgcompress.image.containers.format_of``, by content rather than by suffix.
        metadata: what travels beside the pixels.
        jpeg: how the source was coded if it is a JPEG, else None.
        frames: how many pictures the file holds; the pixels are the first one's.
        marked: whether this tool wrote the file before.
        keep: why the file is to stay as it is although nothing is wrong with it, and that as a sentence; None
            where it may be coded anew. Pixels that are not read are stood in for by a single black one.
    """

    pixels: Shaped[Tensor, "channels height width"]
    format: str
    bit_depth: int = 8
    alpha: Shaped[Tensor, "height width"] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    jpeg: JpegSource | None = None
    frames: int = 1
    marked: bool = False
    keep: tuple[Reason, str] | None = None

    @property
    def decoded(self) -> Decoded:
        """What it looks like, without what the file said beside that."""
        return Decoded(self.pixels, self.alpha)

    @property
    def height(self) -> int:
        """Rows, as stored."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns, as stored."""
        return int(self.pixels.shape[2])

    @property
    def is_gray(self) -> bool:
        """Whether there is one channel."""
        return int(self.pixels.shape[0]) == 1
