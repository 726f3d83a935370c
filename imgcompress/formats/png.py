"""PNG files: every pixel and every bit of it."""

import math

import torch
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.image.containers import png_chunks, png_file
from imgcompress.image.jpeg_markers import COM
from imgcompress.image.mark import PNG_MARK, mark_payload
from imgcompress.image.picture import Decoded, Metadata, Picture
from imgcompress.image.png_metadata import XMP_KEYWORD
from imgcompress.image.read import read_picture

_EFFORT = 9
_UNITS_IN_A_METER = {1: 1 / 0.0254, 2: 100.0}


class PngCodec:
    """Writes PNG files of 8 or 16 bits, gray or RGB, with alpha or without.

    Of the metadata, EXIF, ICC, XMP, density and comments in UTF-8 go in; a JPEG's other segments and trailer
    do not.
    """

    format = "png"
    samplings: tuple[str, ...] = ("444",)
    has_quality = False
    heeds_orientation = True
    is_lossless = True

    def refuse(self, picture: Picture) -> None:
        """See :class:`imgcompress.formats.codec.Codec`. PNG holds them all."""

    def quality_of_score(self, nominal: float) -> float:
        """See :class:`imgcompress.formats.codec.Codec`. There is one quality only."""
        return nominal

    def encode(self, picture: Picture, quality: float, subsampling: str, mark: bytes | None) -> bytes:  # noqa: ARG002
        """See :class:`imgcompress.formats.codec.Codec`. Quality and subsampling mean nothing.

        What is gray but has a profile for RGB is coded, and decodes, as RGB.
        """
        import imagecodecs

        planes: Tensor = picture.pixels
        icc = picture.metadata.icc
        if icc is not None and icc[16:20] == b"RGB ":
            planes = planes.expand(3, -1, -1)  # beside gray samples readers pass the profile over
        if picture.alpha is not None:
            planes = torch.cat([planes, picture.alpha[None]])
        # By way of one dimension, as libpng's wrapper looks at the strides even of a single pixel.
        samples = planes.permute(1, 2, 0).flatten().numpy().reshape(picture.height, picture.width, -1)
        try:
            data = imagecodecs.png_encode(
                samples[..., 0] if samples.shape[2] == 1 else samples, level=_EFFORT
            )
        except (ValueError, RuntimeError) as error:
            raise PictureError(Reason.UNSUPPORTED, f"libpng refuses the picture: {error}") from error
        coded = [chunk for chunk in png_chunks(bytes(data)) if chunk[0] in (b"IHDR", b"IDAT", b"IEND")]
        return png_file([coded[0], *_chunks(picture.metadata, mark), *coded[1:]])

    def decode(self, data: bytes) -> Decoded:
        """See :class:`imgcompress.formats.codec.Codec`."""
        try:
            return read_picture(data, math.inf).decoded
        except PictureError as error:
            raise PictureError(Reason.VERIFY_REFUSED, f"the result does not decode: {error}") from error


def _chunks(metadata: Metadata, mark: bytes | None) -> list[tuple[bytes, bytes]]:
    """Ancillary chunks in an order that the standard allows (PNG, third edition, 5.6 and 11.3)."""
    import zlib

    chunks = [(b"sRGB", b"\0")]
    if metadata.icc is not None:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc, 9))]
    if metadata.density is not None:
        *sides, unit = metadata.density
        x, y = (round(side * _UNITS_IN_A_METER.get(unit, 1)) for side in sides)
        chunks.append((b"pHYs", x.to_bytes(4, "big") + y.to_bytes(4, "big") + bytes([unit != 0])))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        chunks.append((b"iTXt", XMP_KEYWORD + bytes(5) + metadata.xmp))
    comments = [payload for marker, payload in metadata.segments if marker == COM and _is_text(payload)]
    chunks += [(b"iTXt", b"Comment" + bytes(5) + comment) for comment in comments]
    if mark is not None:
        chunks.append((PNG_MARK, mark_payload(mark)))
    return chunks


def _is_text(comment: bytes) -> bool:
    try:
        return "\0" not in comment.decode("utf-8")
    except UnicodeDecodeError:
        return False
