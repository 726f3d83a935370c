"""JPEG files as pictures: which are coded anew, and which are kept."""

from imgcompress.errors import PictureError, Reason
from imgcompress.image import metadata as meta
from imgcompress.image.decoded import Probe, planes, stand_in
from imgcompress.image.exif import pictures_in_index
from imgcompress.image.jpeg_check import check_other_process, decode_strictly
from imgcompress.image.jpeg_file import JpegHeader, made_by_us, parse_jpeg, read_coefficients
from imgcompress.image.jpeg_markers import APP1, APP2, SOF0, SOF1, SOF2
from imgcompress.image.picture import JpegSource, Picture

_GAIN_MAPS = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"urn:iso:std:iso:ts:21496:-1\0")


def probe_jpeg(data: bytes) -> Probe:
    """Size and number of pictures; of a kind that is not looked into, neither."""
    try:
        header = parse_jpeg(data)
    except PictureError as error:
        if error.reason is not Reason.UNCHECKED:
            raise
        return Probe("jpeg", None, None)
    return Probe("jpeg", header.width, header.height, _pictures(header))


def read_jpeg(data: bytes, size: Probe) -> Picture:
    """Decode a JPEG file strictly.

    Args:
        data: the file.
        size: of ``probe_jpeg``.

    Raises:
        PictureError: DECODE_ERROR.
    """
    header = parse_jpeg(data)
    metadata = meta.from_jpeg(header, data[header.end :])
    other = _other_process(data, header)
    if other is not None:
        return stand_in(size, *other, metadata)
    samples = decode_strictly(data, header)
    if len(header.components) == 4:
        kind = "YCCK" if header.adobe_transform == 2 else "CMYK"
        return stand_in(size, Reason.COLOR_SPACE, f"the JPEG file is in {kind}", metadata)
    source = JpegSource(
        header.subsampling,
        header.tables,
        header.progressive,
        read_coefficients(data, header),
    )
    keep = None
    if _has_gain_map(header):
        keep = Reason.GAIN_MAP, "the file holds a gain map for brighter displays"
    return Picture(
        planes(samples),
        "jpeg",
        metadata=metadata,
        jpeg=source,
        frames=size.frames,
        marked=made_by_us(header),
        keep=keep,
    )


def _other_process(data: bytes, header: JpegHeader) -> tuple[Reason, str] | None:
    """Why a file is not coded anew by how it is coded itself; it is whole then, as far as can be told."""
    marker = header.frame_marker
    if marker not in (SOF0, SOF1, SOF2, 0xC3, 0xC9, 0xCA, 0xCB):
        return Reason.UNCHECKED, "hierarchical JPEG is not looked into"
    if header.precision != 8:
        found = Reason.DEEP_COLOR, f"the JPEG file has {header.precision} bits a sample"
    elif header.is_arithmetic:
        found = (
            Reason.UNSUPPORTED,
            "arithmetic-coded JPEG is only copied: an end that is missing does not show",
        )
    elif marker == 0xC3:
        found = Reason.UNSUPPORTED, "lossless JPEG is only copied; it decodes"
    elif len(header.components) == 2:
        found = Reason.UNSUPPORTED, "JPEG of two components is only copied; it decodes"
    else:
        return None
    check_other_process(data, header)
    return found


def _has_gain_map(header: JpegHeader) -> bool:
    """By the XMP of Adobe's gain map specification, or ISO 21496-1's segment."""
    in_xmp, in_segment = _GAIN_MAPS
    return any(
        (marker == APP1 and in_xmp in payload) or (marker == APP2 and payload.startswith(in_segment))
        for marker, payload in header.segments
    )


def _pictures(header: JpegHeader) -> int:
    """Pictures by the multi-picture format's index."""
    for marker, payload in header.segments:
        if marker == APP2 and payload.startswith(b"MPF\0"):
            return pictures_in_index(payload[4:])
    return 1
