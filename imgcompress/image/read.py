"""From a file's bytes to a picture: by content, within limits, and strictly, as missing data is a failure."""

import io
from dataclasses import replace

# Importing it replaces Pillow's own AVIF reader and writer with libavif's full set of codecs; only here.
import pillow_avif  # noqa: F401
from PIL import Image

from imgcompress.errors import PictureError, Reason
from imgcompress.image import metadata as meta
from imgcompress.image.bmp_file import read_bmp_header, spare_bytes
from imgcompress.image.color_space import other_code_points
from imgcompress.image.containers import READ, avif_properties, format_of, webp_chunks, webp_size
from imgcompress.image.decoded import Probe, decoded_picture, in_other_colors, plain, stand_in
from imgcompress.image.gif_file import read_gif
from imgcompress.image.mark import avif_is_marked, chunks_are_marked
from imgcompress.image.other_formats import check_other, size_of_other
from imgcompress.image.picture import Metadata, Picture
from imgcompress.image.read_jpeg import probe_jpeg, read_jpeg
from imgcompress.image.read_png import probe_png, read_png
from imgcompress.image.tiff_file import check_other_page, decode_page, read_page

# Pillow's guard prints warnings and is the same for all callers; sizes are checked here instead.
Image.MAX_IMAGE_PIXELS = None

_LONGEST_SIDE = 65535
DEFAULT_MAX_MEGAPIXELS = 178.0


def probe(data: bytes) -> Probe:
    """Read format, size and number of pictures, without decoding.

    Args:
        data: the file.

    Raises:
        PictureError: DECODE_ERROR, the header is damaged, or this is no picture.
    """
    form = format_of(data)
    if form not in READ:
        return Probe(form, *size_of_other(data, form))
    return _PROBES[form](data)


def read_picture(data: bytes, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Picture:
    """Decode a file's first picture, and take along all that the file says about it.

    Threads may call this at once.

    Args:
        data: the file.
        max_megapixels: larger pictures are refused before they are decoded.

    Returns:
        The picture on the CPU, orientation not applied. ``keep`` says why a file is not for coding anew.

    Raises:
        PictureError: TOO_LARGE; DECODE_ERROR, data is damaged or missing, or this is no picture. Damage
            inside uncompressed, WebP and AVIF data, or JPEG data that happen to decode in full, cannot be
            told.
    """
    size = probe(data)
    width, height = size.width, size.height
    if width is None or height is None:
        message = f"{_NAMES.get(size.format, size.format)} is not read: the file was not looked into"
        return stand_in(size, Reason.UNCHECKED, message)
    if max(width, height) > _LONGEST_SIDE or width * height > max_megapixels * 1e6:
        raise PictureError(
            Reason.TOO_LARGE,
            f"{width} x {height} pixels are more than the limit of {max_megapixels:g} megapixels",
        )
    if width == 0 or height == 0:
        raise PictureError(Reason.DECODE_ERROR, "the file gives a width or height of 0")
    try:
        if size.format == "tiff":
            return _read_tiff(data, size, max_megapixels)
        return _READERS.get(size.format, _read_other)(data, size)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # a decoder's exceptions are not documented; each is about this file only
        raise PictureError(
            Reason.DECODE_ERROR, f"the {size.format} file cannot be decoded: {error}"
        ) from error


_NAMES = {
    "heic": "HEIC",
    "jxr": "JPEG XR",
    "exr": "OpenEXR",
    "jxl": "JPEG XL",
    "jp2": "JPEG 2000",
    "jpeg": "This kind of JPEG",
}


def _read_other(data: bytes, size: Probe) -> Picture:
    check_other(data, size.format)
    name = _NAMES.get(size.format, size.format.upper())
    return stand_in(size, Reason.UNSUPPORTED, f"{name} is not read, only copied; it decodes")


def _probe_webp(data: bytes) -> Probe:
    chunks = webp_chunks(data)
    frames = sum(kind == b"ANMF" for kind, _ in chunks)
    return Probe("webp", *webp_size(chunks), max(frames, 1))


def _read_webp(data: bytes, size: Probe) -> Picture:
    import numpy as np

    with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        samples = np.array(plain(image))
    chunks = webp_chunks(data)
    picture = decoded_picture(samples, None, size, 8, meta.from_webp(chunks))
    return replace(picture, marked=chunks_are_marked(chunks))


def _open_avif(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("AVIF",))
    except Exception as error:
        raise PictureError(Reason.DECODE_ERROR, f"the AVIF file cannot be read: {error}") from error


def _probe_avif(data: bytes) -> Probe:
    with _open_avif(data) as image:
        return Probe("avif", image.width, image.height, getattr(image, "n_frames", 1))


def _read_avif(data: bytes, size: Probe) -> Picture:
    import imagecodecs
    import numpy as np

    about = avif_properties(data)
    depth = about.bit_depth
    with _open_avif(data) as image:
        # The plugin writes the orientation of the irot and imir boxes into the EXIF data that it hands over.
        metadata = meta.from_blobs(*(image.info.get(key) for key in ("exif", "icc_profile", "xmp")))
        samples = np.array(plain(image)) if depth == 8 else None
    if samples is None:
        samples = imagecodecs.avif_decode(data, index=0 if size.frames > 1 else None, numthreads=1)
    picture = decoded_picture(samples, None, size, depth, metadata)
    picture = replace(picture, marked=avif_is_marked(data))
    if about.has_gain_map:
        return replace(picture, keep=(Reason.GAIN_MAP, "the file holds a gain map for brighter displays"))
    if about.is_cropped:
        return replace(
            picture, keep=(Reason.UNSUPPORTED, "the picture is to be cropped, which decoders differ on")
        )
    others = filter(None, (other_code_points(*pair) for pair in about.code_points))
    other = next(others, None) if metadata.icc is None else None
    return picture if other is None else in_other_colors(picture, other)


def _probe_tiff(data: bytes) -> Probe:
    page = read_page(data)
    return Probe("tiff", page.width, page.height, page.pages)


def _read_tiff(data: bytes, size: Probe, max_megapixels: float) -> Picture:
    page = read_page(data)
    if page.decoded_pixels > max_megapixels * 1e6:
        raise PictureError(Reason.TOO_LARGE, "a tile of the TIFF file is larger than the limit")
    if page.keep is not None:
        reason, message = page.keep
        if reason is not Reason.UNCHECKED and not check_other_page(data):
            reason, message = Reason.UNCHECKED, f"{message}; no decoder here reads it"
        return stand_in(size, reason, message, _tiff_metadata(data, size))
    samples, alpha = decode_page(data, page)
    return decoded_picture(samples, alpha, size, 16 if page.bits == 16 else 8, _tiff_metadata(data, size))


def _tiff_metadata(data: bytes, size: Probe) -> Metadata:
    return replace(meta.from_tiff(data), complete=size.frames == 1)


def _probe_gif(data: bytes) -> Probe:
    file = read_gif(data)
    return Probe("gif", file.width, file.height, len(file.frames))


def _read_gif(data: bytes, size: Probe) -> Picture:
    import numpy as np

    file = read_gif(data)
    with Image.open(io.BytesIO(data), formats=("GIF",)) as image:
        samples = np.array(plain(image))
    picture = decoded_picture(samples, None, size, 8, meta.from_gif(file))
    if file.frames[0] != (0, 0, size.width, size.height):
        return replace(picture, keep=(Reason.ALPHA, "nothing covers a part of the GIF file's canvas"))
    return picture


def _probe_bmp(data: bytes) -> Probe:
    header = read_bmp_header(data)
    return Probe("bmp", header.width, header.height)


def _read_bmp(data: bytes, size: Probe) -> Picture:
    import numpy as np

    header = read_bmp_header(data)
    metadata = meta.from_bmp(header)
    if header.compression in (4, 5):
        return stand_in(
            size, Reason.UNCHECKED, "a JPEG or PNG within a BMP file is not looked into", metadata
        )
    with Image.open(io.BytesIO(data), formats=("BMP",)) as image:
        samples = np.array(plain(image))
    picture = decoded_picture(samples, None, size, 8, metadata)
    if spare_bytes(data, header) not in ({0}, {255}, set()):
        return replace(picture, keep=(Reason.ALPHA, "the fourth byte of the pixels may be alpha"))
    return in_other_colors(picture, "calibrated, or by another file") if header.other_colors else picture


_PROBES = {
    "jpeg": probe_jpeg,
    "png": probe_png,
    "webp": _probe_webp,
    "avif": _probe_avif,
    "tiff": _probe_tiff,
    "gif": _probe_gif,
    "bmp": _probe_bmp,
}
_READERS = {
    "jpeg": read_jpeg,
    "png": read_png,
    "webp": _read_webp,
    "avif": _read_avif,
    "gif": _read_gif,
    "bmp": _read_bmp,
}
