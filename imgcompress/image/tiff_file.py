"""Reading the first page of a TIFF file. The tags are read here, the samples by libtiff."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imgcompress.errors import PictureError, Reason
from imgcompress.image.exif import ExifError, Ifd, TiffStructure
from imgcompress.image.jpeg_check import decode_strictly
from imgcompress.image.jpeg_file import parse_jpeg
from imgcompress.image.jpeg_markers import EOI, SOI

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG, _DEFLATE, _OLD_DEFLATE = 7, 8, 32946
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, _JPEG, _DEFLATE, 32773, _OLD_DEFLATE, 34925, 50000})
_DNG_VERSION = 50706
_OTHER_COLORS = {5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab", 32844: "LogL", 32845: "LogLuv"}
_SUB_IFDS, _LAYERS = 330, 37724
_SAMPLE_FORMATS = {2: "signed integers", 3: "floating point", 5: "complex integers", 6: "complex numbers"}


@dataclass(frozen=True)
class TiffPage:
    """What the tags of the first page say.

    Attributes:
        width: pixels.
        height: pixels.
        pages: pictures in the file, Photoshop's layers among them, thumbnails and masks not.
        bits: bits a sample.
        channels: samples a pixel.
        photometric: the meaning of the samples (TIFF 6.0, tag 262).
        compression: tag 259.
        extra: what the sample after the colors is: 0 nothing known, 1 premultiplied, 2 straight alpha.
        planar: whether channels lie apart.
        decoded_pixels: pixels in the largest strip or tile, which the decoder has to hold whole.
        palette: the color map, or ().
        keep: why it is not decoded, and that as a sentence; None if it is.
    """

    width: int
    height: int
    pages: int
    bits: int
    channels: int
    photometric: int
    compression: int
    extra: int
    planar: bool
    decoded_pixels: int
    palette: tuple[int, ...]
    keep: tuple[Reason, str] | None


def _damaged(message: str) -> PictureError:
    return PictureError(Reason.DECODE_ERROR, message)


def read_page(data: bytes) -> TiffPage:
    """Read the tags of the first page, and count the pages.

    Raises:
        PictureError: DECODE_ERROR.

    Source: TIFF 6.0, section 8; Adobe PageMaker 6.0 TIFF technical notes; BigTIFF.
    """
    try:
        tiff = TiffStructure(data)
        main = tiff.ifd(tiff.first_at)
        pages = 0
        try:
            for page in tiff.chain():
                pages += _is_picture(tiff, page) + _pictures_below(tiff, page)
        except ExifError:
            pages = max(pages, 1) + 1  # a second page is there, but cannot be read
        return _page(tiff, main, max(pages, 1))
    except (ExifError, IndexError) as error:
        raise _damaged(f"the TIFF file is damaged: {error}") from error


def _is_picture(tiff: TiffStructure, page: Ifd) -> bool:
    return not _numbers(tiff, page, 254, (0,))[0] & 0b101


def _pictures_below(tiff: TiffStructure, page: Ifd) -> int:
    """Raw data and layers of equal standing lie there; smaller renditions do too."""
    entry = page.find(_SUB_IFDS)
    below = () if entry is None else tiff.integers(entry)
    layers = page.find(_LAYERS)
    has_layers = layers is not None and any(
        key in tiff.raw(layers)
        for key in (b"8BIMLayr", b"8BIMLr16", b"8BIMLr32", b"MIB8ryaL", b"MIB861rL", b"MIB823rL")
    )
    return sum(_is_picture(tiff, tiff.ifd(at)) for at in below) + has_layers


def _numbers(tiff: TiffStructure, directory: Ifd, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    entry = directory.find(tag)
    return default if entry is None else tiff.integers(entry)


def _page(tiff: TiffStructure, main: Ifd, pages: int) -> TiffPage:
    def one(tag: int, default: int) -> int:
        return _numbers(tiff, main, tag, (default,))[0]

    width, height = one(256, 0), one(257, 0)
    if not width or not height:
        raise _damaged("the TIFF file gives no size")
    channels = one(277, 1)
    bits = _numbers(tiff, main, 258, (1,))
    formats = _numbers(tiff, main, 339, (1,))
    tile = (one(322, 0), one(323, 0))
    extra = _numbers(tiff, main, 338, (0,))
    photometric, compression = one(262, _BLACK_IS_ZERO), one(259, 1)
    colors = 3 if photometric in (_RGB, _YCBCR) else 1
    depths = (
        (1, 8, 16) if colors == 1 and photometric != _PALETTE else (8, 16) if photometric == _RGB else (8,)
    )
    numbers = sorted(set(formats) & _SAMPLE_FORMATS.keys())
    keep = None
    if main.find(_DNG_VERSION) is not None or one(254, 0) & 1:
        keep = Reason.UNCHECKED, "raw camera files are not looked into"
    elif photometric in _OTHER_COLORS:
        keep = Reason.COLOR_SPACE, f"the TIFF file is in {_OTHER_COLORS[photometric]}"
    elif photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR):
        keep = Reason.COLOR_SPACE, f"TIFF with color coding {photometric} is not read"
    elif numbers:
        keep = Reason.DEEP_COLOR, f"the TIFF file holds {_SAMPLE_FORMATS[numbers[0]]}"
    elif compression not in _COMPRESSIONS or (photometric == _YCBCR and compression != _JPEG):
        keep = Reason.UNSUPPORTED, f"TIFF with compression {compression} is not read"
    elif len(set(bits)) > 1 or bits[0] not in depths:
        reason = Reason.DEEP_COLOR if max(bits) > 8 else Reason.UNSUPPORTED
        keep = reason, f"TIFF of {'/'.join(map(str, sorted(set(bits))))} bits a sample is not read"
    elif not colors <= channels <= colors + 1:
        keep = Reason.UNSUPPORTED, f"TIFF of {channels} samples a pixel is not read"
    return TiffPage(
        width,
        height,
        pages,
        bits[0],
        channels,
        photometric,
        compression,
        extra[0] if channels > colors else 0,
        one(284, 1) == 2 and channels > 1,
        tile[0] * tile[1] if tile[0] else width * min(one(278, height), height),
        _numbers(tiff, main, 320, ()),
        keep,
    )


def decode_page(data: bytes, page: TiffPage) -> tuple[Any, Any]:
    """Decode the first page.

    Returns:
        Colors (height, width) or (height, width, 3) and alpha (height, width) or None: numpy arrays of one
        type, uint8 or uint16. Alpha is straight.

    Raises:
        PictureError: DECODE_ERROR.
    """
    import imagecodecs
    import numpy as np

    _check_strips(data, page)
    try:
        samples = imagecodecs.tiff_decode(data, index=0)
    except Exception as error:
        raise _damaged(f"the TIFF file cannot be decoded: {error}") from error
    if page.planar and samples.shape == (page.channels, page.height, page.width):
        samples = np.moveaxis(samples, 0, -1)
    if page.bits == 1:
        samples = samples.astype(np.uint8) * 255
    expected = (page.height, page.width) + ((page.channels,) if page.channels > 1 else ())
    if samples.shape != expected or samples.dtype != (np.uint16 if page.bits == 16 else np.uint8):
        raise _damaged("the TIFF file decodes to another size than it says")
    alpha = None
    if page.channels in (2, 4):
        colors, alpha = samples[..., :-1], samples[..., -1]
        samples = colors if page.channels == 4 else colors[..., 0]
    if page.photometric == _WHITE_IS_ZERO:
        samples = ~samples
    if page.photometric == _PALETTE:
        samples = _expand(samples, page.palette)
    if page.extra == 1 and alpha is not None:
        samples = _unpremultiplied(samples, alpha)
    return samples, alpha if page.extra in (1, 2) else None


def check_other_page(data: bytes) -> bool:
    """Whether a decoder reads the first page of a kind that ``decode_page`` does not.

    Raises:
        PictureError: DECODE_ERROR, some of its data lie outside the file.
    """
    import imagecodecs

    for _ in _strips(data):
        pass
    try:
        imagecodecs.tiff_decode(data, index=0)
    except Exception:  # the decoder cannot say whether it is the file's fault or its own
        return False
    return True


def _expand(indices: Any, palette: tuple[int, ...]) -> Any:
    import numpy as np

    if len(palette) != 3 * 256:
        raise _damaged("the TIFF file's color map has a wrong size")
    table = np.array(palette, dtype=np.uint16).reshape(3, 256).T
    # The map has 16 bits, but many writers fill 8 of them.
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)[indices]


def _unpremultiplied(colors: Any, alpha: Any) -> Any:
    import numpy as np

    most = np.iinfo(colors.dtype).max
    over = alpha.astype(np.float32)
    over = over[..., None] if colors.ndim == 3 else over
    straight = np.divide(
        colors.astype(np.float32) * most, over, out=np.zeros(colors.shape, np.float32), where=over > 0
    )
    return np.clip(np.rint(straight), 0, most).astype(colors.dtype)


def _check_strips(data: bytes, page: TiffPage) -> None:
    """libtiff lets damaged Deflate and JPEG strips pass, so those are checked beforehand."""
    if page.compression not in (_JPEG, _DEFLATE, _OLD_DEFLATE):
        return
    tiff = TiffStructure(data)
    tables_entry = tiff.ifd(tiff.first_at).find(347)
    tables = b"" if tables_entry is None else tiff.raw(tables_entry)
    for strip in _strips(data):
        if page.compression == _JPEG:
            _check_jpeg(tables, strip, page.decoded_pixels)
        else:
            _check_deflate(strip, 8 * page.decoded_pixels * max(1, page.channels) + 65536)


def _strips(data: bytes) -> Iterator[bytes]:
    """The first page's strips or tiles as they are stored.

    Raises:
        PictureError: DECODE_ERROR, one lies outside the file.
    """
    tiff = TiffStructure(data)
    main = tiff.ifd(tiff.first_at)
    try:
        tiled = main.find(324) is not None
        offsets = _numbers(tiff, main, 324 if tiled else 273, ())
        sizes = _numbers(tiff, main, 325 if tiled else 279, ())
    except ExifError as error:
        raise _damaged(f"the TIFF file is damaged: {error}") from error
    if len(offsets) != len(sizes):
        raise _damaged("the TIFF file is damaged: strips and their sizes do not match")
    for offset, size in zip(offsets, sizes, strict=True):
        strip = data[offset : offset + size]
        if len(strip) < size:
            raise _damaged("the TIFF file is truncated")
        yield strip


def _check_jpeg(tables: bytes, strip: bytes, most_pixels: int) -> None:
    ends = bytes([0xFF, EOI])
    data = tables.removesuffix(ends) + strip[2:] if tables[:2] == bytes([0xFF, SOI]) else strip
    header = parse_jpeg(data if data.rstrip(b"\0").endswith(ends) else data + ends)
    if header.width * header.height > most_pixels:
        raise _damaged("a strip of the TIFF file is larger than the file says")
    decode_strictly(data, header)


def _check_deflate(strip: bytes, most: int) -> None:
    inflater, piece, total = zlib.decompressobj(), strip, 0
    try:
        while not inflater.eof and total <= most:
            count = len(inflater.decompress(piece, 1 << 20))
            piece, total = inflater.unconsumed_tail, total + count
            if not piece and not count:
                break
    except zlib.error as error:
        raise _damaged(f"the TIFF file's compressed data is damaged: {error}") from error
    if not inflater.eof:
        raise _damaged("the TIFF file's compressed data is cut off")
