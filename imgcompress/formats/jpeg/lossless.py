"""Other codings of the same coefficients: the scans that cost least, and a source JPEG without its waste."""

import mozjpeg_lossless_optimization as mozjpeg

from imgcompress.formats.jpeg.markers import APP0, APP15, metadata_segments
from imgcompress.image.picture import Metadata


def pack_progressive(jpeg: bytes) -> bytes:
    """Codes a JPEG again with the scans that cost least; every pixel and metadata byte stays.

    Args:
        jpeg: one of our own baseline files.

    Returns:
        The smaller of the two codings: for a few blocks the baseline wins.
    """
    packed: bytes = mozjpeg.optimize(jpeg)
    return min(jpeg, packed, key=len)


def optimize_losslessly(jpeg: bytes, metadata: Metadata) -> bytes | None:
    """Codes a source JPEG again without loss.

    Args:
        jpeg: a source file that decodes.
        metadata: what the result carries instead of the source's own segments.

    Returns:
        The file, or None where the optimizer does not take this kind of JPEG.

    Raises:
        PictureError: the metadata do not fit (``metadata_too_large``).
    """
    try:
        bare: bytes = mozjpeg.optimize(jpeg, copy=mozjpeg.COPY_MARKERS.NONE)
    except ValueError:
        return None
    end = _end_of_application_segments(bare)
    return bare[:end] + metadata_segments(metadata) + bare[end:]


def _end_of_application_segments(jpeg: bytes) -> int:
    """The offset behind JFIF and Adobe, which the optimizer writes itself: they say what the colors are."""
    at = 2
    while APP0 <= jpeg[at + 1] <= APP15:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return at
