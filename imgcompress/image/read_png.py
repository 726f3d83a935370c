"""PNG files as pictures."""

import io
import zlib
from dataclasses import replace

from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.color_space import other_png_colors
from imgcompress.image.containers import png_chunks, png_file
from imgcompress.image.decoded import Probe, decoded_picture, in_other_colors, plain
from imgcompress.image.mark import chunks_are_marked
from imgcompress.image.picture import Picture
from imgcompress.image.png_metadata import from_png


def probe_png(data: bytes) -> Probe:
    """Size and number of pictures.

    Raises:
        PictureError: DECODE_ERROR.
    """
    chunks = png_chunks(data)
    kind, head = chunks[0]
    if kind != b"IHDR" or len(head) != 13:
        raise PictureError(Reason.DECODE_ERROR, "the PNG file does not begin with its header")
    frames, animated_from = 1, None
    for index, (kind, body) in enumerate(chunks):
        if kind == b"acTL" and len(body) == 8:
            frames = max(int.from_bytes(body[:4], "big"), 1)
        elif kind == b"fcTL" and animated_from is None:
            animated_from = index
    # Where the default picture is no frame of the animation it is one more.
    first_data = next((index for index, (kind, _) in enumerate(chunks) if kind == b"IDAT"), len(chunks))
    extra = frames > 1 and animated_from is not None and animated_from > first_data
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    return Probe("png", width, height, frames + extra)


def read_png(data: bytes, size: Probe) -> Picture:
    """Decode a PNG file.

    Args:
        data: the file.
        size: of ``probe_png``.

    Raises:
        PictureError: DECODE_ERROR.
    """
    import imagecodecs
    import numpy as np

    chunks = png_chunks(data)
    head = chunks[0][1]
    depth, interlaced = head[8], head[12] == 1
    if depth not in _PNG_DEPTHS.get(head[9], ()) or head[12] > 1:
        raise PictureError(Reason.DECODE_ERROR, "the PNG file's header is damaged")
    if not any(kind == b"IDAT" for kind, _ in chunks):
        raise PictureError(Reason.DECODE_ERROR, "the PNG file has no picture data")
    kept = [chunk for chunk in chunks if chunk[0] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")]
    metadata = from_png(chunks)
    other = other_png_colors(chunks, has_profile=metadata.icc is not None)
    if interlaced and depth <= 8:
        # imagecodecs reads these too, and strictly, but with a warning of libpng's on stderr.
        _check_interlaced_rows(head, b"".join(body for kind, body in kept if kind == b"IDAT"))
        with Image.open(io.BytesIO(png_file(kept)), formats=("PNG",)) as image:
            samples = np.array(plain(image))
    else:
        samples = imagecodecs.png_decode(png_file(kept))
    picture = decoded_picture(samples, None, size, 16 if depth == 16 else 8, metadata)
    picture = replace(picture, marked=chunks_are_marked(chunks))
    return picture if other is None else in_other_colors(picture, other)


_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _check_interlaced_rows(head: bytes, compressed: bytes) -> None:
    """Refuse an interlaced file with fewer rows than the header says: Pillow fills up silently.

    Source: PNG, third edition (W3C), 7.2, 8.1 and 10.
    """
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    bits = head[8] * _PNG_CHANNELS[head[9]]
    needed = 0
    for left, top, step_x, step_y in _ADAM7:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            needed += rows * (1 + -(-columns * bits // 8))
    inflater, piece, total = zlib.decompressobj(), compressed, 0
    try:
        while not inflater.eof and total < needed:
            count = len(inflater.decompress(piece, min(needed - total, 1 << 20)))
            piece, total = inflater.unconsumed_tail, total + count
            if not piece and not count:
                break
    except zlib.error as error:
        raise PictureError(Reason.DECODE_ERROR, f"the PNG file's data is damaged: {error}") from error
    if total < needed:
        raise PictureError(Reason.DECODE_ERROR, "the PNG file has fewer rows than it says")
