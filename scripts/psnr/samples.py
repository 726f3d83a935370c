"""Files whose PSNR is known, made from photographs at hand."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from imgcompress.forensics.histograms import band_histograms
from imgcompress.forensics.psnr import document_psnr
from imgcompress.image.color import BLUE, GREEN, RED
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients

Pixels = NDArray[np.uint8]
QUALITIES = (20, 35, 50, 65, 75, 85, 90, 95, 98)
SAMPLINGS = ("420", "444")
PRISTINE = (3, 5)
"""How far lossy photographs are shrunk along each side before they count as originals: each gives two."""


@dataclass(frozen=True)
class Original:
    """Pixels to encode, and what to call them: two of one photograph share its name."""

    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Sample:
    """A file's histograms and tables, and what its PSNR is.

    Attributes:
        name: the photograph.
        encoder: of ENCODERS.
        subsampling: "420" or "444".
        quality: the encoder's number.
        histograms: [3, 64, 2047], int64.
        tables: [3, 8, 8].
        luma: PSNR of BT.601 luma, dB.
        rgb: PSNR over R, G and B, dB.
        document: what the source document's rule says, dB.
    """

    name: str
    encoder: str
    subsampling: str
    quality: int
    histograms: Tensor
    tables: Tensor
    luma: float
    rgb: float
    document: float


def _libjpeg_turbo(pixels: Pixels, quality: int, subsampling: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=":".join(subsampling))
    return buffer.getvalue()


def _mozjpeg(pixels: Pixels, quality: int, subsampling: str) -> bytes:
    import pyvips

    data: bytes = pyvips.Image.new_from_array(pixels).jpegsave_buffer(
        Q=quality,
        subsample_mode="on" if subsampling == "420" else "off",
        trellis_quant=True,
        overshoot_deringing=True,
        optimize_coding=True,
        quant_table=3,
    )
    return data


def _jpegli(pixels: Pixels, quality: int, subsampling: str) -> bytes:
    import ajpegli

    data: bytes = ajpegli.encode(np.ascontiguousarray(pixels), quality=quality, subsampling=subsampling)
    return data


ENCODERS: dict[str, Callable[[Pixels, int, str], bytes]] = {
    "libjpeg-turbo": _libjpeg_turbo,
    "mozjpeg": _mozjpeg,
    "jpegli": _jpegli,
}


def originals(folders: Sequence[Path], crop: tuple[int, int] | None, limit: int | None) -> list[Original]:
    """The photographs of folders: lossless ones as they are, JPEGs shrunk until their past is gone.

    Args:
        folders: each in turn, by name.
        crop: width and height cut from the middle; None takes all.
        limit: how many of each folder; None for all.

    Raises:
        SystemExit: there are none.
    """
    found = []
    for folder in folders:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".png", ".jpg")]
        for path in paths[:limit]:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            sizes = [image.reduce(by) for by in PRISTINE] if path.suffix.lower() == ".jpg" else [image]
            found += [Original(path.stem[:12], _middle(each, crop)) for each in sizes]
    if not found:
        raise SystemExit(f"{', '.join(map(str, folders))}: no photographs (.png, .jpg)")
    return found


def _middle(image: Image.Image, crop: tuple[int, int] | None) -> Pixels:
    if crop is not None:
        width, height = (min(a, b) for a, b in zip(crop, image.size, strict=True))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.array(image)


def samples(
    pictures: Sequence[Original],
    qualities: Sequence[int] = QUALITIES,
    encoders: Sequence[str] = tuple(ENCODERS),
    subsamplings: Sequence[str] = SAMPLINGS,
) -> Iterator[Sample]:
    """Every picture by every encoder at every quality and subsampling."""
    for picture in pictures:
        for encoder in encoders:
            for subsampling in subsamplings:
                for quality in qualities:
                    data = ENCODERS[encoder](picture.pixels, quality, subsampling)
                    yield _sample(picture, encoder, subsampling, quality, data)


def _sample(picture: Original, encoder: str, subsampling: str, quality: int, data: bytes) -> Sample:
    header = parse_jpeg(data)
    coefficients = read_coefficients(data, header)
    if coefficients is None:
        raise RuntimeError("coefficients cannot be read: is jpeglib installed?")
    if header.subsampling != subsampling:
        raise RuntimeError(f"{encoder} wrote {header.subsampling} instead of {subsampling}")
    with Image.open(io.BytesIO(data)) as image:
        error = np.asarray(image).astype(np.float64) - picture.pixels
    luma = error @ np.array((RED, GREEN, BLUE))
    histograms = torch.stack([band_histograms(each) for each in coefficients])
    document = document_psnr(histograms[0], header.tables[0]).psnr
    return Sample(
        picture.name,
        encoder,
        subsampling,
        quality,
        histograms,
        header.tables,
        _db(luma),
        _db(error),
        document,
    )


def _db(error: NDArray[np.float64]) -> float:
    squared = float(np.square(error).mean())
    return 100.0 if squared == 0 else min(100.0, 20 * math.log10(255) - 10 * math.log10(squared))
