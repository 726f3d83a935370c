"""Other codings of the same coefficients: the scans that cost least, and a source JPEG without its waste."""

from contextlib import suppress
from dataclasses import replace

import mozjpeg_lossless_optimization as mozjpeg

from imgcompress.formats.jpeg.markers import metadata_segments
from imgcompress.image.jpeg_file import JpegHeader, bare_jpeg, is_our_segment, parse_jpeg
from imgcompress.image.jpeg_markers import APP0, APP14, APP15
from imgcompress.image.picture import Metadata, Segment


def pack_progressive(jpeg: bytes) -> bytes:
    """Codes a JPEG again with the scans that cost least; every pixel and metadata byte stays.

    Args:
        jpeg: one of our own baseline files.

    Returns:
        The smaller of the two codings: for a few blocks the baseline wins.
    """
    packed: bytes = mozjpeg.optimize(jpeg, copy=mozjpeg.COPY_MARKERS.ALL)
    return min(jpeg, packed, key=len)


def optimize_losslessly(jpeg: bytes, metadata: Metadata) -> bytes:
    """Codes a source JPEG again without loss.

    Args:
        jpeg: a source file that decodes.
        metadata: what the result carries instead of the source's own segments. Our mark stays.

    Returns:
        The smaller of two files: coded with the scans that cost least, or as the source was.

    Raises:
        PictureError: the metadata do not fit (``metadata_too_large``).
    """
    header = parse_jpeg(jpeg)
    codings = [bare_jpeg(jpeg, replace(header, segments=_decoding_segments(header)))]
    with suppress(ValueError):  # it does not take every kind of JPEG
        codings.append(mozjpeg.optimize(jpeg, copy=mozjpeg.COPY_MARKERS.NONE))
    bare = min(codings, key=len)
    end = _end_of_application_segments(bare)
    marks = [segment for segment in header.segments if is_our_segment(segment)]
    return bare[:end] + metadata_segments(metadata, marks) + bare[end:] + metadata.trailer


def _decoding_segments(header: JpegHeader) -> tuple[Segment, ...]:
    """All but application data, of which JFIF (without its thumbnail) and Adobe stay."""
    segments = []
    for marker, payload in header.segments:
        if marker == APP0 and payload.startswith(b"JFIF\0"):
            segments.append((marker, payload[:12] + bytes(2)))
        elif (marker == APP14 and payload.startswith(b"Adobe")) or not APP0 <= marker <= APP15:
            segments.append((marker, payload))
    return tuple(segments)


def _end_of_application_segments(jpeg: bytes) -> int:
    """The offset behind JFIF and Adobe: they say what the colors are."""
    at = 2
    while APP0 <= jpeg[at + 1] <= APP15:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return at
