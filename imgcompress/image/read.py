"""From a file's bytes to a picture: by content, within limits, and strictly, as missing data is a failure."""

import io
import zlib
from dataclasses import dataclass
from typing import Any

# Importing it replaces Pillow's own AVIF reader and writer with libavif's full set of codecs; only here.
import pillow_avif  # noqa: F401
import torch
from PIL import Image
from torch import Tensor

from imgcompress.errors import PictureError, Reason
from imgcompress.image import metadata as meta
from imgcompress.image.containers import (
    avif_bit_depth,
    format_of,
    png_chunks,
    png_file,
    webp_chunks,
    webp_size,
)
from imgcompress.image.exif import ExifError, TiffStructure
from imgcompress.image.jpeg_check import decode_strictly
from imgcompress.image.jpeg_file import JpegHeader, made_by_us, parse_jpeg, read_coefficients
from imgcompress.image.jpeg_markers import APP2, SOF0, SOF1, SOF2
from imgcompress.image.picture import JpegSource, Metadata, Picture
from imgcompress.image.tiff_file import TiffPage, decode_page, read_page

# Pillow's guard prints warnings and is the same for all callers; sizes are checked here instead.
Image.MAX_IMAGE_PIXELS = None

_LONGEST_SIDE = 65535
DEFAULT_MAX_MEGAPIXELS = 178.0


@dataclass(frozen=True)
class Probe:
    """What a file says about itself before decoding.

    Attributes:
        format: "jpeg", "png", "webp", "avif" or "tiff".
        width: pixels, as stored.
        height: pixels, as stored.
        frames: how many pictures the file holds.
    """

    format: str
    width: int
    height: int
    frames: int


def probe(data: bytes) -> Probe:
    """Read format, size and number of pictures, without decoding.

    Args:
        data: the file.

    Raises:
        PictureError: UNSUPPORTED, a known format that is not read; DECODE_ERROR, the header is damaged.
    """
    form = format_of(data)
    if form == "jpeg":
        header = parse_jpeg(data)
        return Probe(form, header.width, header.height, _mpf_pictures(header))
    if form == "png":
        return _probe_png(png_chunks(data))
    if form == "webp":
        chunks = webp_chunks(data)
        frames = sum(kind == b"ANMF" for kind, _ in chunks)
        return Probe(form, *webp_size(chunks), max(frames, 1))
    if form == "tiff":
        page = read_page(data)
        return Probe(form, page.width, page.height, page.pages)
    with _open_avif(data) as image:
        return Probe(form, image.width, image.height, getattr(image, "n_frames", 1))


def read_picture(data: bytes, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Picture:
    """Decode a file's first picture, and take along all that the file says about it.

    Threads may call this at once.

    Args:
        data: the file.
        max_megapixels: larger pictures are refused before they are decoded.

    Returns:
        The picture on the CPU, orientation not applied.

    Raises:
        PictureError: TOO_LARGE; UNSUPPORTED, a format or kind of samples that is not read; DECODE_ERROR, data
            is damaged or missing. Damage inside uncompressed, WebP and AVIF data, or JPEG data that happen to
            decode in full, cannot be told.
    """
    size = probe(data)
    if max(size.width, size.height) > _LONGEST_SIDE or size.width * size.height > max_megapixels * 1e6:
        raise PictureError(
            Reason.TOO_LARGE,
            f"{size.width} x {size.height} pixels are more than the limit of {max_megapixels:g} megapixels",
        )
    if size.width == 0 or size.height == 0:
        raise PictureError(Reason.DECODE_ERROR, "the file gives a width or height of 0")
    reader = {"jpeg": _read_jpeg, "png": _read_png, "webp": _read_webp, "avif": _read_avif}.get(size.format)
    try:
        return reader(data, size) if reader is not None else _read_tiff(data, size, max_megapixels)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # a decoder's exceptions are not documented; each is about this file only
        raise PictureError(
            Reason.DECODE_ERROR, f"the {size.format} file cannot be decoded: {error}"
        ) from error


def _planes(samples: Any) -> Tensor:
    """Channels first, from a numpy array (height, width) or (height, width, channels)."""
    tensor = torch.from_numpy(samples)
    return tensor[None].clone() if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def _picture(samples: Any, alpha: Any, size: Probe, depth: int, metadata: Metadata) -> Picture:
    """A picture of numpy samples; where they have 2 or 4 channels, the last one is alpha."""
    import numpy as np

    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    if samples.shape[:2] != (size.height, size.width):
        raise PictureError(Reason.DECODE_ERROR, "the file decodes to another size than it says")
    opaque = alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all())
    return Picture(
        _planes(np.ascontiguousarray(samples)),
        size.format,
        depth,
        None if opaque else torch.from_numpy(np.array(alpha)),
        metadata,
        frames=size.frames,
    )


# JPEG


def _unsupported_process(header: JpegHeader) -> str | None:
    marker, count = header.frame_marker, len(header.components)
    if marker in (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF):
        return "arithmetic-coded JPEG is not read: whether its data are complete cannot be told"
    if marker == 0xC3:
        return "lossless JPEG is not read yet"
    if marker not in (SOF0, SOF1, SOF2):
        return "hierarchical JPEG is not read yet"
    if header.precision != 8:
        return f"JPEG of {header.precision} bits a sample is not read yet"
    if count == 4:
        return "YCCK JPEG is not read yet" if header.adobe_transform == 2 else "CMYK JPEG is not read yet"
    return None if count in (1, 3) else f"JPEG with {count} components is not read"


def _read_jpeg(data: bytes, size: Probe) -> Picture:
    header = parse_jpeg(data)
    problem = _unsupported_process(header)
    if problem is not None:
        raise PictureError(Reason.UNSUPPORTED, problem)
    samples = decode_strictly(data, header)
    source = JpegSource(
        header.subsampling,
        header.tables,
        header.progressive,
        made_by_us(header),
        read_coefficients(data, header),
    )
    return Picture(_planes(samples), "jpeg", metadata=meta.from_jpeg(header), jpeg=source, frames=size.frames)


def _mpf_pictures(header: JpegHeader) -> int:
    """Pictures by the multi-picture format's index (CIPA DC-007, 5.2.2.2)."""
    for marker, payload in header.segments:
        if marker == APP2 and payload.startswith(b"MPF\0"):
            try:
                tiff = TiffStructure(payload[4:])
                entry = tiff.ifd(tiff.first_at).find(0xB001)
                return max(tiff.integers(entry)[0], 1) if entry is not None else 1
            except (ExifError, IndexError):
                return 1
    return 1


# PNG


def _probe_png(chunks: list[tuple[bytes, bytes]]) -> Probe:
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


def _read_png(data: bytes, size: Probe) -> Picture:
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
    metadata = meta.from_png(chunks)
    if interlaced and depth <= 8:
        # imagecodecs reads these too, and strictly, but with a warning of libpng's on stderr.
        _check_interlaced_rows(head, b"".join(body for kind, body in kept if kind == b"IDAT"))
        with Image.open(io.BytesIO(png_file(kept)), formats=("PNG",)) as image:
            samples = np.array(_plain(image))
    else:
        samples = imagecodecs.png_decode(png_file(kept))
    return _picture(samples, None, size, 16 if depth == 16 else 8, metadata)


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


def _plain(image: Image.Image) -> Image.Image:
    """Gray or RGB, with alpha where the file has transparency in any form."""
    transparent = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa")
    gray = image.mode in ("1", "L", "LA", "La")
    return image.convert(("LA" if gray else "RGBA") if transparent else ("L" if gray else "RGB"))


# WebP, AVIF, TIFF


def _read_webp(data: bytes, size: Probe) -> Picture:
    import numpy as np

    with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        samples = np.array(_plain(image))
    return _picture(samples, None, size, 8, meta.from_webp(webp_chunks(data)))


def _open_avif(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("AVIF",))
    except Exception as error:
        raise PictureError(Reason.DECODE_ERROR, f"the AVIF file cannot be read: {error}") from error


def _read_avif(data: bytes, size: Probe) -> Picture:
    import imagecodecs
    import numpy as np

    depth = avif_bit_depth(data)
    with _open_avif(data) as image:
        # The plugin writes the orientation of the irot and imir boxes into the EXIF data that it hands over.
        metadata = meta.from_blobs(*(image.info.get(key) for key in ("exif", "icc_profile", "xmp")))
        samples = np.array(_plain(image)) if depth == 8 else None
    if samples is None:
        samples = imagecodecs.avif_decode(data, index=0 if size.frames > 1 else None, numthreads=1)
        most = (1 << depth) - 1
        samples = ((samples.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)
    return _picture(samples, None, size, depth, metadata)


def _read_tiff(data: bytes, size: Probe, max_megapixels: float) -> Picture:
    page: TiffPage = read_page(data)
    if page.problem is not None:
        raise PictureError(Reason.UNSUPPORTED, page.problem)
    if page.decoded_pixels > max_megapixels * 1e6:
        raise PictureError(Reason.TOO_LARGE, "a tile of the TIFF file is larger than the limit")
    samples, alpha = decode_page(data, page)
    return _picture(samples, alpha, size, 16 if page.bits == 16 else 8, meta.from_tiff(data))
