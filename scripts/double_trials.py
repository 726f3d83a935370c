"""Files with a known past: compressed once, twice on the same grid, with a crop between, or not at all."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from rd.cache import Encoded
from rd.encoders import EncoderSpec
from rd.pictures import Pixels

from imgcompress.forensics.earlier_steps import SPREADS, StepFit, fit_steps
from imgcompress.forensics.histograms import band_histograms
from imgcompress.forensics.shifted_grid import fit_pixels
from imgcompress.image.color import rgb_to_gray
from imgcompress.image.jpeg_file import parse_jpeg, read_coefficients

OWN = "the folder's own JPEG files, past unknown"
ALIGNED, SHIFTED, PIXELS = "aligned", "shifted", "pixels"
FIRSTS, APART = (50, 65, 75, 85, 90), (-20, -10, -4, 0, 3, 6, 10, 20)
SINGLES = (35, 50, 65, 75, 85, 92, 97)
SHIFTED_FIRSTS, SHIFTED_SECONDS = (50, 65, 80), (65, 75, 85, 95)
CROP = (3, 5)
"""Columns and rows cut off between two compressions: the first grid begins at row 3, column 5 then."""


@dataclass(frozen=True)
class Trial:
    """What was found in one file.

    Attributes:
        way: how it was looked at: aligned, shifted or pixels.
        kind: how it was made, for the tables.
        first: the first quality; None where there was one compression, or none in the way "pixels".
        second: the last quality; None where the file is no JPEG.
        fit: what was found.
        offset: where the earlier grid was looked for at last.
    """

    way: str
    kind: str
    first: int | None
    second: int | None
    fit: StepFit
    offset: tuple[int, int]


def trials(pixels: Pixels, encoders: list[EncoderSpec], *, shifted: bool) -> Iterator[Trial]:
    """All trials of one picture that was never compressed, or so long ago that it is taken for such.

    Args:
        pixels: RGB, at least 16x16.
        encoders: of ``installed_peers``, libjpeg-turbo first.
        shifted: whether to look in decoded pixels too, which takes a second a file.
    """
    encode = {spec.name: spec.build() for spec in encoders}
    libjpeg = partial(_encode, encode[encoders[0].name])
    for name, build in encode.items():
        for quality in SINGLES:
            yield _aligned(f"once, {name}", None, quality, _encode(build, pixels, quality))
    for first in FIRSTS:
        before = _decode(libjpeg(pixels, first))
        for second in (first + apart for apart in APART if first + apart <= 98):
            yield _aligned("twice", first, second, libjpeg(before, second))
    for name in list(encode)[1:]:
        for first, second in ((60, 85), (85, 75)):
            data = _encode(encode[name], _decode(libjpeg(pixels, first)), second)
            yield _aligned(f"{encoders[0].name}, then {name}", first, second, data)
            data = libjpeg(_decode(_encode(encode[name], pixels, first)), second)
            yield _aligned(f"{name}, then {encoders[0].name}", first, second, data)
    for kind, changed in _edited(pixels):
        for quality in (60, 80, 95):
            yield _aligned(f"{kind}, once", None, quality, libjpeg(changed, quality))
    if shifted:
        yield from _in_pixels(pixels, libjpeg)


def as_it_is(data: bytes) -> Iterator[Trial]:
    """A photographer's JPEG file, whose past nobody knows."""
    yield _aligned(OWN, None, 0, data)
    yield _pixels(SHIFTED, OWN, None, 0, _decode(data))


def _in_pixels(pixels: Pixels, libjpeg: Callable[[Pixels, int], bytes]) -> Iterator[Trial]:
    columns, rows = CROP
    for second in SHIFTED_SECONDS:
        yield _pixels(SHIFTED, "once", None, second, _decode(libjpeg(pixels, second)))
    for first in SHIFTED_FIRSTS:
        before = _decode(libjpeg(pixels, first))[rows:, columns:]
        for second in SHIFTED_SECONDS:
            yield _pixels(SHIFTED, "twice", first, second, _decode(libjpeg(before, second)))
    for kind, changed in (("as it is", pixels), *_edited(pixels)):
        yield _pixels(PIXELS, kind, None, None, changed)
    for first in (50, 80, 95):
        yield _pixels(PIXELS, "was a JPEG", first, None, _decode(libjpeg(pixels, first)))
        yield _pixels(PIXELS, "was a JPEG, cropped", first, None, _decode(libjpeg(pixels, first))[5:, 3:])


def _edited(pixels: Pixels) -> Iterator[tuple[str, Pixels]]:
    """What may look compressed and is not."""
    image = Image.fromarray(pixels)
    yield "blurred", np.array(image.filter(ImageFilter.GaussianBlur(1.5)))
    larger, doubled = (image.width * 4 // 3, image.height * 4 // 3), (image.width * 2, image.height * 2)
    yield "enlarged", np.array(image.resize(larger, Image.Resampling.BICUBIC))
    yield "doubled", np.array(image.resize(doubled, Image.Resampling.NEAREST))
    yield "median", np.array(image.filter(ImageFilter.MedianFilter(3)))
    yield "16 colors", np.array(image.quantize(16).convert("RGB"))
    drawn = image.filter(ImageFilter.GaussianBlur(8))
    draw = ImageDraw.Draw(drawn)
    for line in range(0, drawn.height, 24):
        draw.text((line % 40, line), "The quick brown fox jumps over the lazy dog. " * 3, fill=(20, 20, 30))
        draw.rectangle((8 * line % 300, line, 8 * line % 300 + 60, line + 9), outline=(220, 30, 30))
    yield "drawn on", np.array(drawn)


def _aligned(kind: str, first: int | None, second: int, data: bytes) -> Trial:
    header = parse_jpeg(data)
    coefficients = read_coefficients(data, header)
    assert coefficients is not None
    fit = fit_steps(band_histograms(coefficients[0]), header.tables[0], SPREADS)
    return Trial(ALIGNED, kind, first, second, fit, (0, 0))


def _pixels(way: str, kind: str, first: int | None, second: int | None, pixels: Pixels) -> Trial:
    planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    found = fit_pixels(rgb_to_gray(planes)[0], later_grid=way == SHIFTED)
    assert found is not None
    offset, fit = found
    return Trial(way, kind, first, second, fit, offset)


def _encode(build: Callable[[Pixels, int], Encoded], pixels: Pixels, quality: int) -> bytes:
    return build(np.ascontiguousarray(pixels), quality).data


def _decode(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))
