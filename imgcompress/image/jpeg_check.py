"""Whether a JPEG file holds all of its picture. Decoders fill what is missing with gray and say nothing."""

import io
import re
from typing import Any

from imgcompress.errors import PictureError, Reason
from imgcompress.image.jpeg_file import JpegHeader, bare_jpeg
from imgcompress.image.jpeg_markers import APP14, EOI

_LARGEST_FULL_CHECK = 40_000_000
"""Pixels. Coding a picture as JPEG XL takes about 20 bytes a pixel (measured at 9 and 13 Mpx)."""

_RESTART_OR_END = re.compile(rb"\xff+[\xd0-\xd7]", re.DOTALL)
_SENTINEL = bytes.fromhex("5aa6396bd21c87e3495ab41de8735ac6962d3bd14e81b75ce92a") * 4
"""Bits that are as good as never the code of a run of zero coefficients, without the byte 0xFF."""


def _missing(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


def _check_plausible(header: JpegHeader) -> None:
    """Refuse, before decoding, files with fewer bits than their blocks need, or with scans missing.

    Args:
        header: of a Huffman-coded file.

    Raises:
        PictureError: DECODE_ERROR.

    Source: T.81, F.1.2 and G.1.2: a block takes at least a DC and an end-of-block code in sequential scans,
    one bit in a progressive DC scan, and next to nothing in a progressive AC scan.
    """
    for scan in header.scans:
        bits_a_block = 2 if not header.progressive else 1 if scan.header.first == 0 else 0
        if 8 * (scan.end - scan.start) < bits_a_block * header.scan_blocks(scan):
            raise _missing("picture data is missing: the file is too small for the size it claims")
    if header.progressive:
        _check_all_bits_sent(header)


def _check_all_bits_sent(header: JpegHeader) -> None:
    """Every coefficient of every component must have been sent down to its last bit (T.81, G.1.1.1)."""
    not_sent = 14
    low = [[not_sent] * 64 for _ in header.components]
    for scan in header.scans:
        for component in scan.components:
            for index in range(scan.header.first, min(scan.header.last, 63) + 1):
                low[component][index] = scan.header.low
    if any(any(bits) for bits in low):
        raise _missing("picture data is missing: the last scans of a progressive file are not there")


def decode_strictly(data: bytes, header: JpegHeader) -> Any:
    """Decode a file; refuse it if its entropy-coded data end early or do not follow its tables.

    Two witnesses. The JPEG reader of libjxl, through imagecodecs, reads every coefficient strictly. Its
    encoder, which would run next and take most of the time, gives up at once on subsampled RGB; so subsampled
    files are presented to it as RGB, which changes nothing for the reader. What it cannot take (sampling
    factors over 2, very large files) is decoded a second time with a sentinel put at the end of all
    entropy-coded data: if that changes any pixel, a decoder went on reading there, and data is missing.

    Stray bytes after a scan are harmless. Before a restart marker they are taken for damage, as a flipped bit
    looks the same.

    Args:
        data: the file.
        header: of a baseline, extended or progressive Huffman-coded file of 8 bits.

    Returns:
        A numpy array, uint8, (height, width) or (height, width, 3 or 4).

    Raises:
        PictureError: DECODE_ERROR.
    """
    import numpy as np

    _check_plausible(header)
    factors = {(c.horizontal, c.vertical) for c in header.components}
    subsampled = len(header.components) == 3 and len(factors) > 1
    # libjxl has no JPEG of four components; it gives up on them after reading, as on damage.
    within_reach = max(max(pair) for pair in factors) <= 2 and len(header.components) <= 3
    if within_reach and (subsampled or header.width * header.height <= _LARGEST_FULL_CHECK):
        complete = _libjxl_reads(data, header, as_rgb=subsampled)
        samples = _decode(bare_jpeg(data, header)) if complete else None
    else:
        samples = _decode(bare_jpeg(data, header))
        complete = np.array_equal(_decode(with_sentinels(data, header)), samples)
    if not complete:
        raise _missing("picture data is missing or damaged")
    return samples


def _libjxl_reads(data: bytes, header: JpegHeader, *, as_rgb: bool) -> bool:
    import imagecodecs

    extra = [(APP14, b"Adobe\0\x64\0\0\0\0\0")] if as_rgb else []
    try:
        imagecodecs.jpegxl_encode_jpeg(bare_jpeg(data, header, *extra, keep_color=False), numthreads=1)
    except imagecodecs.JpegxlError as error:
        # Reading is done by this call, which takes the file over; other calls fail in the encoder only.
        return "JxlEncoderAddJPEGFrame" not in str(error)
    return True


def check_other_process(data: bytes, header: JpegHeader) -> None:
    """Decode a file of a process that is not coded anew, by libjpeg-turbo, to know that it is whole.

    Args:
        data: the file.
        header: of a file of more than 8 bits, of lossless or of arithmetic coding. In the last, zeros at the
            end may be left out (T.81, D.1.8): data that are missing there do not show.

    Raises:
        PictureError: DECODE_ERROR.
    """
    import imagecodecs
    import numpy as np

    try:
        samples = imagecodecs.jpeg8_decode(bare_jpeg(data, header))
        if header.is_arithmetic:
            return
        complete = np.array_equal(imagecodecs.jpeg8_decode(with_sentinels(data, header)), samples)
    except Exception as error:  # a decoder's exceptions are not documented
        raise PictureError(Reason.DECODE_ERROR, f"the picture data cannot be decoded: {error}") from error
    if not complete:
        raise _missing("picture data is missing or damaged")


def with_sentinels(data: bytes, header: JpegHeader) -> bytes:
    """The file, bare, with bits behind all of its entropy-coded data that show if they are read."""
    parts, done = [], 0
    bare = bare_jpeg(data, header)
    for scan in header.scans:
        coded = data[scan.start : scan.end]
        position = bare.index(coded, done) if coded else done
        parts.append(bare[done:position])
        parts.append(_RESTART_OR_END.sub(lambda found: _SENTINEL + found[0], coded) + _SENTINEL)
        done = position + len(coded)
    assert bare.endswith(bytes([0xFF, EOI]))
    return b"".join([*parts, bare[done:]])


def _decode(bare: bytes) -> Any:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(bare), formats=("JPEG",)) as image:
            return np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(Reason.DECODE_ERROR, f"the picture data cannot be decoded: {error}") from error
