"""Pictures in formats that are not read: whether they are whole, as far as a decoder is at hand."""

import io

from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image.containers import boxes

_PILLOW = {"jp2": "JPEG2000", "ico": "ICO", "psd": "PSD", "qoi": "QOI", "ppm": "PPM"}
_CODESTREAM = b"\xff\x0a"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def size_of_other(data: bytes, form: str) -> tuple[int, int] | tuple[None, None]:
    """Width and height of a picture, without decoding it; None where there is no decoder for it.

    Args:
        data: the file.
        form: a format of ``format_of`` that is not read.

    Raises:
        PictureError: DECODE_ERROR, the header is damaged.
    """
    if form == "jxl":
        return _jxl_size(data)
    if form not in _PILLOW:
        return None, None
    try:
        with Image.open(io.BytesIO(data), formats=(_PILLOW[form],)) as image:
            return image.size
    except Exception as error:  # what a decoder raises is not documented
        raise PictureError(Reason.DECODE_ERROR, f"the {form} file cannot be read: {error}") from error


def check_other(data: bytes, form: str) -> None:
    """Decode a picture of bounded size, to know that it is whole; threads may call this at once.

    Raises:
        PictureError: DECODE_ERROR.
    """
    import imagecodecs

    try:
        if form == "jxl":
            imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
        else:
            with Image.open(io.BytesIO(data), formats=(_PILLOW[form],)) as image:
                image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise PictureError(Reason.DECODE_ERROR, f"the {form} file cannot be decoded: {error}") from error


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Source: ISO/IEC 18181-1, SizeHeader; 18181-2 for the boxes."""
    start = 0
    if data[:2] != _CODESTREAM:
        starts = {kind: begin for kind, begin, _ in reversed(list(boxes(data, 0, len(data))))}
        start = starts.get(b"jxlc", starts.get(b"jxlp", len(data)) + 4)
    if data[start : start + 2] != _CODESTREAM or len(data) < start + 12:
        raise PictureError(Reason.DECODE_ERROR, "the jxl file is truncated")
    bits = int.from_bytes(data[start + 2 : start + 12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio]
    return height * across // down, height
